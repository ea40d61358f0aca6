"""Names in Go's text/template, as process-exporter uses them, in this exporter's {variables}."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

VARIABLES = {"Comm": "comm", "ExeBase": "argv0_base", "ExeFull": "argv0", "Username": "user"}
"""Fields of process-exporter and the variables that come to the same."""

_ACTION = re.compile(r"(\s*)\{\{(?:-\s)?(.*?)(?:\s-)?\}\}(\s*)", re.S)
_FIELD = re.compile(r"\$?\.(\w+)")
_MATCH = re.compile(r'\$?\.Matches\.(\w+)|index\s+\$?\.Matches\s+["`](\w+)["`]')
_MATCHES = re.compile(r"\$?\.Matches")
_CGROUPS = re.compile(r"\$?\.Cgroups|index\s+\$?\.Cgroups\s+\d+")
_STRING = re.compile(r'"([^"\\]*)"|`([^`]*)`')
_COMMENT = re.compile(r"/\*.*\*/", re.S)


@dataclass(slots=True)
class Name:
    """A converted name; `problems` say what of it has no counterpart."""

    text: str = ""
    per_process: bool = False
    problems: list[str] = field(default_factory=list)


def convert(template: str, captures: Mapping[str, str]) -> Name:
    """The name, for the captures that the entry's regular expressions make, each with what it is called here."""
    name = Name()
    at, dropped = 0, False
    for action in _ACTION.finditer(template):
        before = template[at : action.start()] + ("" if action[0].lstrip().startswith("{{- ") else action[1])
        name.text += _literal(before)
        value = _value(action[2].strip(), captures, name)
        dropped = dropped or value is None
        name.text += value or ""
        # The space behind it belongs to what follows, unless the action trims it.
        at = action.end() if action[0].rstrip().endswith(" -}}") else action.end() - len(action[3])
    name.text += _literal(template[at:])
    if dropped:
        name.text = name.text.strip(" :-_./") or "{comm}"
    return name


def shows_all_matches(template: str) -> bool:
    """Whether the name has the whole map of what was found."""
    return any(_MATCHES.fullmatch(action[2].strip()) for action in _ACTION.finditer(template))


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _value(action: str, captures: Mapping[str, str], name: Name) -> str | None:
    """What stands for an action, None where nothing does."""
    if _COMMENT.fullmatch(action):
        return ""
    if found := _STRING.fullmatch(action):
        return _literal(found[1] or found[2] or "")
    if found := _MATCH.fullmatch(action):
        capture = found[1] or found[2]
        if capture in captures:
            return f"{{{captures[capture]}}}"
        name.problems.append(f"{{{{{action}}}}} is no capture of this entry's cmdline: <no value> there, left out here")
        return None
    if _MATCHES.fullmatch(action):
        # A map of Go as text; what was found without a name is under the empty one.
        return f"map[{' '.join(f'{_literal(key)}:{{{here}}}' for key, here in sorted(captures.items()))}]"
    if _CGROUPS.fullmatch(action):
        name.problems.append(f"{{{{{action}}}}} is {{cgroup}} here: the path of the memory controller's cgroup alone")
        return "{cgroup}"
    found = _FIELD.fullmatch(action)
    if found and found[1] in VARIABLES:
        return f"{{{VARIABLES[found[1]]}}}"
    if found and found[1] == "PID":
        name.per_process = True
        name.problems.append(
            "{{.PID}} makes a group of each process: per_process gives vmem_pid_... with the label pid"
        )
    else:
        name.problems.append(f"{{{{{action}}}}} has no counterpart and is left out")
    return None
