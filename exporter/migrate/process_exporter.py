"""A configuration of process-exporter, as this exporter's: the same groups of the same processes.

https://github.com/ncabatoff/process-exporter, config/config.go: comm and exe are lists of alternatives, cmdline is a
list of which all must match; exe is compared with argv[0], by its last part where the rule has no slash.
"""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import yaml

from exporter.config import COMM_BYTES, FACTS, OTHER, variables
from exporter.migrate import go_template
from exporter.migrate.go_regexp import NoCounterpart, translate
from exporter.yaml_reader import Invalid, Reader, compose, join
from exporter.yaml_writer import dumped

NAME = "{{.ExeBase}}"
"""What process-exporter calls a group without a name."""

MATCHED = "matched"
"""The capture of what process-exporter finds without a name."""

MAX_GROUPS = 2000
"""For names that are made as processes come: process-exporter has no limit, and this exporter's own is 200."""

HEADER = """\
# The groups of {path}, a configuration of process-exporter.
#
# process-exporter counts a process's children with it unless it runs with -children=false; here a process is only in a
# group that selects it. It shows proportional sizes unless it runs with -gather-smaps=false; here an entry asks for
# them: smaps: true. {{user}} is the real user, and {{{{.Username}}}} the effective one. docs/MIGRATING.md has the rest.
"""


@dataclass(slots=True)
class _Entry:
    """What is written for one rule: its keys, and what had no counterpart."""

    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    nothing: bool = False


def convert(text: bytes, path: str) -> tuple[str, list[str]]:
    """The YAML for this exporter, and a line (file:line) for each thing that has no counterpart.

    Raises ConfigError where process-exporter wouldn't take the file either.
    """
    reader = _Reader(path)
    root = compose(text, path)
    entries: list[_Entry] = []
    if root is None:
        reader.problems.append((1, f"{path}:1: found nothing, expected process_names"))
    else:
        with suppress(Invalid):
            entries = reader.root(root)
    reader.check()
    problems = [problem for entry in entries for problem in entry.problems]
    parts = [HEADER.format(path=path)]
    written = [entry for entry in entries if not entry.nothing]
    if any(True for entry in written for _ in variables(entry.values["name"])):
        parts.append(f"max_groups: {MAX_GROUPS}\n")
    parts.append("processes:" + " []" * (not written) + "\n")
    for entry in entries:
        parts += [f"# {problem}\n" for problem in entry.problems]
        if not entry.nothing:
            parts.append(dumped([entry.values]))
    return "".join(parts), problems


class _Reader(Reader):
    """Reads as yaml.v2 does into Go's structs: keys that aren't known are passed over."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.entry = _Entry()

    def differs(self, node: yaml.Node, key: str, what: str) -> None:
        """Something that this exporter can't do as process-exporter does."""
        self.entry.problems.append(f"{self.path}:{node.start_mark.line + 1}: {key}: {what}")

    def root(self, node: yaml.Node) -> list[_Entry]:
        found = self.mapping(node, "", None)
        if "process_names" not in found:
            raise self.problem(node, "process_names", "no such key", "the list of process-exporter's groups")
        entries: list[_Entry] = []
        if _null(found["process_names"][1]):
            return entries
        for key, item in self.items(found["process_names"][1], "process_names"):
            self.entry = _Entry()
            try:
                self.rule(item, key)
            except Invalid:
                continue
            entries.append(self.entry)
        return entries

    def string(self, node: yaml.Node, key: str) -> str:
        """Any scalar: into a string, yaml.v2 takes a number as it is written."""
        if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null":
            return str(node.value)
        return super().string(node, key)

    def rules(self, found: dict[str, tuple[yaml.Node, yaml.Node]], name: str, key: str) -> list[tuple[yaml.Node, str]]:
        return [(item, self.string(item, item_key)) for item_key, item in self.items(found[name][1], join(key, name))]

    def rule(self, node: yaml.Node, key: str) -> None:
        found = {name: nodes for name, nodes in self.mapping(node, key, None).items() if not _null(nodes[1])}
        for name in found.keys() - {"name", "comm", "exe", "cmdline"}:
            self.differs(found[name][0], join(key, name), "process-exporter has no such key and passes it over")
        if not found.keys() & {"comm", "exe", "cmdline"}:
            raise self.problem(node, key, "no selector", "comm, exe or cmdline")
        values = self.entry.values
        values["name"] = ""
        if "comm" in found:
            values["comm"] = self.comm(found, key)
        if "exe" in found:
            values["argv0"] = self.exe(found, key)
        template = self.string(found["name"][1], join(key, "name")) if "name" in found else ""
        captures: dict[str, str] = {}
        if "cmdline" in found:
            rules = self.rules(found, "cmdline", key)
            values["cmdline"] = self.cmdline(rules, key, captures, go_template.shows_all_matches(template))
        self.entry.nothing = any(values.get(name) == [] for name in ("comm", "argv0")) or self.entry.nothing
        if self.entry.nothing:
            self.differs(node, key, "the entry is left out: it matches no process, or can't be said")
            return
        if not values.get("cmdline", True):
            del values["cmdline"]
        takes_empty = all(re.search(pattern, "") for pattern in values.get("cmdline", ()))
        if "comm" not in found and "exe" not in found and takes_empty:
            self.differs(
                found["cmdline"][0],
                join(key, "cmdline"),
                "it takes kernel threads too, whose command line is empty; here only comm takes one",
            )
        group = go_template.convert(template or NAME, captures)
        for problem in group.problems:
            self.differs(found["name"][1] if "name" in found else node, join(key, "name"), problem)
        values["name"] = group.text
        if group.text == OTHER:
            values["name"] = f"{OTHER}_processes"
            what = f"{OTHER!r} is the group of what max_groups folds here: called {values['name']!r}"
            self.differs(found["name"][1], join(key, "name"), what)
        if group.per_process:
            values["per_process"] = True

    def comm(self, found: dict[str, tuple[yaml.Node, yaml.Node]], key: str) -> list[str]:
        comms = []
        for node, comm in self.rules(found, "comm", key):
            if 0 < len(comm.encode("utf-8", "surrogatepass")) <= COMM_BYTES:
                comms.append(comm)
            else:
                what = f"{comm!r} is no name of 1 to {COMM_BYTES} bytes, as the kernel has them: it matched nothing"
                self.differs(node, join(key, "comm"), what)
        return comms

    def exe(self, found: dict[str, tuple[yaml.Node, yaml.Node]], key: str) -> list[str]:
        by_base: dict[str, str] = {}
        for node, exe in self.rules(found, "exe", key):
            base = posixpath.basename(exe.rstrip("/")) or "/"
            glob = ("" if "/" in exe else "**/") + re.sub(r"[*?\[]", r"[\g<0>]", exe)
            if by_base.get(base, glob) != glob:
                what = f"process-exporter keeps one rule for each last part of a path: of those for {base!r}, this one"
                self.differs(node, join(key, "exe"), what)
            by_base[base] = glob
        return list(by_base.values())

    def cmdline(
        self, rules: list[tuple[yaml.Node, str]], key: str, captures: dict[str, str], all_matches: bool
    ) -> list[str]:
        patterns = []
        for place, (node, pattern) in enumerate(rules, 1):
            # What is found without a name, each expression writes over: the last one's stays.
            matched = MATCHED if all_matches and place == len(rules) else ""
            try:
                python, names = translate(pattern, (*FACTS, MATCHED), matched)
            except NoCounterpart as error:
                self.differs(node, join(key, "cmdline"), f"{pattern!r}: {error}")
                self.entry.nothing = True
            else:
                patterns.append(python)
                captures.update(names | ({"": matched} if matched else {}))
        return patterns


def _null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"
