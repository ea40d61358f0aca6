"""Which entry takes a process, and the name of its group. Pure: it sees a process only through `Facts`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from exporter.config import ProcessEntry, Selectors, variables
from exporter.errors import Refused


class Facts(Protocol):
    """What is known of a process. Each is read when it is first asked for, and may raise Refused."""

    @property
    def comm(self) -> bytes: ...
    @property
    def kernel_thread(self) -> bool: ...
    @property
    def exe(self) -> str: ...
    @property
    def argv(self) -> tuple[str, ...]: ...
    @property
    def user(self) -> tuple[str, ...]: ...
    @property
    def cgroup(self) -> str: ...


class Decision(NamedTuple):
    """The entry that takes a process, by its place in the list, and the group's name."""

    entry: int
    name: str


def decide(entries: Sequence[ProcessEntry], facts: Facts) -> tuple[Decision | None, list[Refused]]:
    """The first entry that takes the process, and what could not be read on the way.

    An entry whose selectors can't be answered doesn't take the process.
    """
    refused: list[Refused] = []
    for index, entry in enumerate(entries):
        try:
            captures = selected(entry, facts)
            name = None if captures is None else _name(entry, captures, facts)
        except Refused as error:
            refused.append(error)
            continue
        if name:
            return Decision(index, name), refused
    return None, refused


def selected(entry: ProcessEntry, facts: Facts) -> dict[str, str] | None:
    """The captures of an entry that takes the process, None from one that doesn't. Raises Refused.

    The cheapest questions come first. A kernel thread is only taken by an entry that asks for it by comm.
    """
    select = entry.select
    if select.comm:
        if facts.comm not in select.comm:
            return None
    elif facts.kernel_thread:
        return None
    for name in ("user", "cgroup", "exe", "argv0"):
        if getattr(select, name) and not _any(select, name, facts):
            return None
    captures: dict[str, str] = {}
    for pattern in select.cmdline:
        found = pattern.search(" ".join(facts.argv))
        if found is None:
            return None
        captures.update({name: value or "" for name, value in found.groupdict().items()})
    return None if excluded(entry.exclude, facts) else captures


def excluded(exclude: Selectors, facts: Facts) -> bool:
    """Whether any selector of an `exclude` holds. Raises Refused."""
    if exclude.comm and facts.comm in exclude.comm:
        return True
    if any(_any(exclude, name, facts) for name in ("user", "cgroup", "exe", "argv0") if getattr(exclude, name)):
        return True
    return any(pattern.search(" ".join(facts.argv)) for pattern in exclude.cmdline)


def _any(select: Selectors, name: str, facts: Facts) -> bool:
    if name == "user":
        return not set(select.user).isdisjoint(facts.user)
    value = facts.argv[0] if name == "argv0" and facts.argv else "" if name == "argv0" else getattr(facts, name)
    patterns: tuple[re.Pattern[str], ...] = getattr(select, name)
    return any(pattern.fullmatch(value) for pattern in patterns)


def _name(entry: ProcessEntry, captures: dict[str, str], facts: Facts) -> str:
    values = {}
    for variable in variables(entry.name):
        if variable in captures:
            values[variable] = captures[variable]
        elif variable == "comm":
            values[variable] = facts.comm.decode("utf-8", "replace")
        elif variable == "user":
            values[variable] = facts.user[0] if facts.user else ""
        else:
            values[variable] = facts.exe if variable == "exe" else facts.cgroup
    return entry.name.format(**values)
