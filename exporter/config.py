"""The configuration: YAML into frozen dataclasses, or every problem of the file, each in a line of its own.

A line names the file, the line, the key, what was found and what was expected.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from string import Formatter
from typing import Any

import yaml

from exporter.catalog import METRICS
from exporter.watch.glob import Glob, compile_glob
from exporter.watch.presets import PRESETS
from exporter.yaml_reader import Invalid, Read, Reader, bind, compose, join, printable, read_bytes

COMM_BYTES = 15
"""TASK_COMM_LEN of the kernel, less the closing zero byte."""

FACTS = ("comm", "exe", "argv0", "argv0_base", "user", "cgroup")
"""What a name may use besides the captures of its entry."""

OTHER = "other"
"""The group of everything beyond max_groups."""


@dataclass(frozen=True, slots=True)
class Selectors:
    """What a process must be like. The values of one selector are alternatives, but for `cmdline`, which is all."""

    comm: tuple[bytes, ...] = ()
    exe: tuple[Glob, ...] = ()
    argv0: tuple[Glob, ...] = ()
    cmdline: tuple[re.Pattern[str], ...] = ()
    user: tuple[str, ...] = ()
    cgroup: tuple[Glob, ...] = ()


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """One entry of `processes`."""

    name: str
    select: Selectors = Selectors()
    exclude: Selectors = Selectors()
    labels: tuple[tuple[str, str], ...] = ()
    smaps: bool = False
    oom_score: bool = False
    delays: bool = False
    per_process: bool = False
    by_cgroup: bool = False
    max_processes: int = 20

    @property
    def fixed(self) -> bool:
        """Whether there is one group, the same for every process."""
        return not self.by_cgroup and not self.templated

    @property
    def templated(self) -> bool:
        """Whether the name has variables."""
        return any(True for _ in variables(self.name))

    @property
    def but_selectors(self) -> ProcessEntry:
        """What entries that fill one group have in common."""
        return replace(self, select=Selectors(), exclude=Selectors())

    @property
    def group(self) -> str:
        """The name of a fixed entry, its braces undoubled."""
        return "".join(literal for literal, *_ in Formatter().parse(self.name))


@dataclass(frozen=True, slots=True)
class CgroupEntry:
    """One entry of `cgroups`: a path or glob below the cgroup root, or a preset, whose expression is `labels_from`."""

    name: str
    path: str = ""
    preset: str = ""
    exclude: tuple[Glob, ...] = ()
    labels_from: re.Pattern[str] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    max_cgroups: int = 500


@dataclass(frozen=True, slots=True)
class Collectors:
    """Which collectors run."""

    process: bool = True
    cgroup: bool = True
    host: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration."""

    processes: tuple[ProcessEntry, ...] = ()
    cgroups: tuple[CgroupEntry, ...] = ()
    max_groups: int = 200
    collectors: Collectors = Collectors()

    @property
    def summary(self) -> str:
        """What it watches, in a few words."""
        if self is DEFAULT:
            return "every process, grouped by comm (no --config.file given)"
        return "; ".join(
            f"{kind}: {', '.join(entry.name for entry in entries) or 'none'}"
            for kind, entries in (("processes", self.processes), ("cgroups", self.cgroups))
        )


DEFAULT = Config(processes=(ProcessEntry(name="{comm}"),))
"""What is watched without a configuration file: every process, grouped by name."""


def variables(name: str) -> Iterator[str]:
    """The variables of a templated name. Raises ValueError where it is not a template."""
    for _, variable, spec, conversion in Formatter().parse(name):
        if variable is not None:
            if not variable.isidentifier() or spec or conversion:
                raise ValueError(f"{{{variable}}} is not a plain variable")
            yield variable


def load(path: str) -> Config:
    """Read a configuration file. Raises ConfigError with all that is wrong in it."""
    return parse(read_bytes(path), path)


def parse(text: bytes, path: str) -> Config:
    """Parse the bytes of a configuration file; `path` is for the errors. Raises ConfigError."""
    root = compose(text, path)
    reader = _Reader(path)
    config = Config() if root is None else reader.config(root)
    reader.check()
    return config


class _Reader(Reader):
    """The kinds of value that a configuration has."""

    def comm(self, node: yaml.Node, key: str) -> bytes:
        text = self.string(node, key)
        comm = text.encode()
        if not 0 < len(comm) <= COMM_BYTES:
            raise self.problem(
                node, key, f"{text!r} of {len(comm)} bytes", f"1 to {COMM_BYTES} bytes, as the kernel cuts comm there"
            )
        return comm

    def regex(self, node: yaml.Node, key: str) -> re.Pattern[str]:
        text = self.string(node, key)
        try:
            with warnings.catch_warnings():
                # What a future Python may read otherwise is read as this one does.
                warnings.simplefilter("ignore")
                return re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.problem(node, key, f"{text!r} ({printable(str(error))})", "a regular expression") from None

    def glob(self, node: yaml.Node, key: str) -> Glob:
        text = self.string(node, key)
        if not text:
            raise self.problem(node, key, "''", "a path or a glob")
        try:
            return compile_glob(text)
        except re.error as error:
            raise self.problem(node, key, f"{text!r} ({printable(error.msg)})", "a glob") from None

    def name(self, node: yaml.Node, key: str) -> str:
        text = self.string(node, key)
        try:
            list(variables(text))
        except ValueError as error:
            raise self.problem(node, key, f"{text!r} ({error})", "a name, with variables in {braces}") from None
        if not text:
            raise self.problem(node, key, "''", "a name")
        return text

    # Lists of them, and the sections.

    def labels(self, node: yaml.Node, key: str) -> tuple[tuple[str, str], ...]:
        taken = reserved_labels()
        values = []
        for name, (key_node, value_node) in self.mapping(node, key, None).items():
            if not re.fullmatch("(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name):
                self.problem(key_node, join(key, name), repr(name), "a label name: letters, digits and _, not __ first")
            elif name in taken:
                self.problem(key_node, join(key, name), "a label that the exporter sets", "another name")
            else:
                try:
                    values.append((name, self.string(value_node, join(key, name))))
                except Invalid:
                    continue
        return tuple(sorted(values))

    def selectors(self) -> dict[str, Read[Any]]:
        kinds: dict[str, Read[Any]] = {
            "comm": self.comm,
            "exe": self.glob,
            "argv0": self.glob,
            "cmdline": self.regex,
            "user": self.string,
            "cgroup": self.glob,
        }
        return {name: bind(self.each, kind) for name, kind in kinds.items()}

    def process(self, node: yaml.Node, key: str) -> ProcessEntry:
        readers: dict[str, Read[Any]] = {
            "name": self.name,
            **self.selectors(),
            "exclude": lambda node, key: Selectors(**self.section(node, key, self.selectors())),
            "labels": self.labels,
            "smaps": self.boolean,
            "oom_score": self.boolean,
            "delays": self.boolean,
            "per_process": self.boolean,
            "by_cgroup": self.boolean,
            "max_processes": self.count,
        }
        before = len(self.problems)
        values = self.section(node, key, readers)
        if "name" not in values:
            if len(self.problems) == before:
                self.problem(node, join(key, "name"), "no name", "the group's name")
            raise Invalid
        select = Selectors(**{f.name: values.pop(f.name) for f in fields(Selectors) if f.name in values})
        entry = ProcessEntry(select=select, **values)
        captures = {name for pattern in select.cmdline for name in pattern.groupindex}
        name_node = next(value for name, value in node.value if name.value == "name")
        # A regular expression that was refused has been reported; what it would have captured isn't known.
        if len(self.problems) == before:
            for variable in variables(entry.name):
                if variable not in captures and variable not in FACTS:
                    found = f"{{{variable}}}"
                    wanted = "a named capture of this entry's cmdline, or " + ", ".join(f"{{{fact}}}" for fact in FACTS)
                    self.problem(name_node, join(key, "name"), found, wanted)
        return entry

    def processes(self, node: yaml.Node, key: str) -> tuple[ProcessEntry, ...]:
        entries: list[tuple[yaml.Node, str, ProcessEntry]] = []
        for item_key, item in self.items(node, key):
            try:
                entries.append((item, f"{item_key}.name", self.process(item, item_key)))
            except Invalid:
                continue
        seen: dict[str, tuple[int, ProcessEntry]] = {}
        for item, name_key, entry in entries:
            if not entry.fixed:
                continue
            line, first = seen.setdefault(entry.group, (item.start_mark.line + 1, entry))
            if entry.but_selectors != first.but_selectors:
                found = f"{entry.group!r} again, with other options"
                self.problem(item, name_key, found, f"those of line {line}, or another name")
            elif entry.group == OTHER:
                self.problem(item, name_key, repr(OTHER), "another name: it is the group of what max_groups folds")
        return tuple(entry for *_, entry in entries)

    def cgroup_path(self, node: yaml.Node, key: str) -> str:
        text = self.string(node, key)
        self.glob(node, key)
        if not text.startswith("/"):
            raise self.problem(node, key, repr(text), "a path below the cgroup root, which starts with /")
        return text

    def preset(self, node: yaml.Node, key: str) -> str:
        text = self.string(node, key)
        if text not in PRESETS:
            raise self.problem(node, key, repr(text), "one of " + ", ".join(PRESETS))
        return text

    def captures(self, node: yaml.Node, key: str) -> re.Pattern[str]:
        pattern = self.regex(node, key)
        if not pattern.groupindex:
            raise self.problem(node, key, repr(pattern.pattern), "named captures, (?P<label>...)")
        for name in pattern.groupindex:
            if name in reserved_labels() or name.startswith("__") or not name.isascii():
                raise self.problem(node, key, repr(name), "captures named as labels that the exporter doesn't set")
        return pattern

    def cgroup(self, node: yaml.Node, key: str) -> CgroupEntry:
        before = len(self.problems)
        values = self.section(
            node,
            key,
            {
                "name": self.string,
                "path": self.cgroup_path,
                "preset": self.preset,
                "exclude": bind(self.each, self.glob),
                "labels_from": self.captures,
                "labels": self.labels,
                "max_cgroups": self.count,
            },
        )
        if len(self.problems) > before:
            raise Invalid
        if not values.get("name"):
            raise self.problem(node, join(key, "name"), "no name", "the group's name")
        if ("path" in values) == ("preset" in values):
            found = "both path and preset" if "path" in values else "neither path nor preset"
            raise self.problem(node, key, found, "one of them")
        if "preset" in values and "labels_from" in values:
            raise self.problem(node, join(key, "labels_from"), "it beside a preset", "the preset's own labels")
        entry = CgroupEntry(**{"labels_from": PRESETS.get(values.get("preset", "")), **values})
        twice = sorted(set(entry.labels_from.groupindex if entry.labels_from else ()) & dict(entry.labels).keys())
        if twice:
            raise self.problem(node, join(key, "labels"), f"{twice[0]!r}, which is captured", "another name")
        return entry

    def cgroups(self, node: yaml.Node, key: str) -> tuple[CgroupEntry, ...]:
        seen: dict[str, int] = {}

        def read(item: yaml.Node, item_key: str) -> CgroupEntry:
            entry = self.cgroup(item, item_key)
            line = seen.setdefault(entry.name, item.start_mark.line + 1)
            if line != item.start_mark.line + 1:
                raise self.problem(
                    item, f"{item_key}.name", f"{entry.name!r} again", f"another name than that of line {line}"
                )
            return entry

        return self.each(node, key, read)

    def config(self, root: yaml.Node) -> Config:
        collectors = {f.name: self.boolean for f in fields(Collectors)}
        readers: dict[str, Read[Any]] = {
            "processes": self.processes,
            "cgroups": self.cgroups,
            "max_groups": self.count,
            "collectors": lambda node, key: Collectors(**self.section(node, key, collectors)),
        }
        try:
            return Config(**self.section(root, "", readers))
        except Invalid:
            return Config()


def reserved_labels() -> frozenset[str]:
    """The labels that the exporter itself sets on what it watches, which an entry can't."""
    watched = ("vmem_process_", "vmem_pid_", "vmem_cgroup_")
    return frozenset(label for metric in METRICS.values() if metric.name.startswith(watched) for label in metric.labels)
