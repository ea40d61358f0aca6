"""Which entry takes a process, and the name of its group. Pure: it sees a process only through `Facts`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from exporter.config import ProcessEntry, variables
from exporter.errors import ParseError, Refused

Unread = Refused | ParseError


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


class Step(NamedTuple):
    """One thing that an entry asks of a process.

    `selector` is one of the entry, or of its `exclude`; or it is KERNEL_THREAD, which has no values.
    """

    selector: str
    values: tuple[Any, ...] = ()
    exclude: bool = False


KERNEL_THREAD = "kernel thread"
"""What an entry without `comm` asks: a kernel thread is only taken by an entry that asks for it by comm."""

CHEAPEST_FIRST = ("comm", "user", "cgroup", "exe", "argv0", "cmdline")


def decide(entries: Sequence[ProcessEntry], facts: Facts) -> tuple[Decision | None, list[Unread]]:
    """The first entry that takes the process, and what could not be read on the way.

    An entry whose selectors can't be answered doesn't take the process.
    """
    unread: list[Unread] = []
    for index, entry in enumerate(entries):
        try:
            name = group_name(entry, facts) if all(holds(step, facts) for step in steps(entry)) else ""
        except (Refused, ParseError) as error:
            unread.append(error)
            continue
        if name:
            return Decision(index, name), unread
    return None, unread


def steps(entry: ProcessEntry) -> Iterator[Step]:
    """What an entry asks, in the order in which it is asked: all must hold."""
    if not entry.select.comm:
        yield Step(KERNEL_THREAD)
    for exclude, selectors in (False, entry.select), (True, entry.exclude):
        for name in CHEAPEST_FIRST:
            if values := getattr(selectors, name):
                yield Step(name, values, exclude)


def holds(step: Step, facts: Facts) -> bool:
    """Whether a process is as a step asks. Raises Refused and ParseError."""
    if step.selector == KERNEL_THREAD:
        return not facts.kernel_thread
    if step.selector == "comm":
        found = facts.comm in step.values
    elif step.selector == "user":
        found = not set(step.values).isdisjoint(facts.user)
    elif step.selector == "cmdline":
        # All of an entry's are to be found, and none of its `exclude`.
        arguments = fact("cmdline", facts)
        found = (any if step.exclude else all)(pattern.search(arguments) for pattern in step.values)
    else:
        value = fact(step.selector, facts)
        found = any(pattern.fullmatch(value) for pattern in step.values)
    return found is not step.exclude


def fact(selector: str, facts: Facts) -> str:
    """What a selector looks at, as text. Raises Refused and ParseError."""
    if selector == "comm":
        return facts.comm.decode("utf-8", "replace")
    if selector == "user":
        return facts.user[0] if facts.user else ""
    if selector == "argv0":
        return facts.argv[0] if facts.argv else ""
    if selector == "cmdline":
        return " ".join(facts.argv)
    return facts.exe if selector == "exe" else facts.cgroup


def group_name(entry: ProcessEntry, facts: Facts) -> str:
    """The name of the group of a process that an entry takes; empty where nothing is there to name it by.

    Raises Refused and ParseError.
    """
    captures: dict[str, str] = {}
    found = (pattern.search(fact("cmdline", facts)) for pattern in entry.select.cmdline)
    for match in filter(None, found):
        captures.update({name: value or "" for name, value in match.groupdict().items()})
    values = {name: captures[name] if name in captures else _variable(name, facts) for name in variables(entry.name)}
    return entry.name.format(**values)


def _variable(name: str, facts: Facts) -> str:
    if name in ("argv0", "argv0_base"):
        # What has no arguments, as a kernel thread or a zombie, still has a name.
        argv0 = fact("argv0", facts) or fact("comm", facts)
        return argv0 if name == "argv0" else argv0.rstrip("/").rpartition("/")[2]
    return fact(name, facts)
