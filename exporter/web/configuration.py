"""What the configuration page shows: which entry means which processes and cgroups, and why not another.

Of a process it shows no more than pid and comm, what an entry's selectors find in it, and nothing of its arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from exporter.config import CgroupEntry, Config, ProcessEntry
from exporter.errors import VmemError
from exporter.watch.cgroups import Tree, find_hierarchy
from exporter.watch.groups import OTHER_KEY
from exporter.watch.match import KERNEL_THREAD, steps
from exporter.watch.process import Process
from exporter.watch.verdict import Outcome, expected, key_of
from exporter.watch.why import Subject, pids, why

MOST = 20
"""Processes or cgroups of one entry that are listed."""

CLASSES = {Outcome.TAKES: "good", Outcome.TOO_LATE: "info", Outcome.PASSES: "info", Outcome.UNREAD: "warning"}

T = TypeVar("T")


class Named(NamedTuple):
    """All that is shown of a process."""

    pid: int
    comm: str


class Some(Generic[T]):
    """The first of many, and how many more there are."""

    def __init__(self, items: Iterable[T], most: int = MOST) -> None:
        every = list(items)
        self.count = len(every)
        self.shown = every[:most]
        self.more = self.count - len(self.shown)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of `processes`, what it asks for, and what it takes."""

    name: str
    asks: tuple[str, ...]
    groups: int
    processes: Some[Named]


@dataclass(frozen=True, slots=True)
class Cgroups:
    """An entry of `cgroups`, and the paths that it means."""

    name: str
    asks: str
    paths: Some[str]


def of_processes(config: Config, everyone: Sequence[Process]) -> dict[str, Any]:
    """The entries, what is folded, and who is in no group."""
    watched = [process for process in everyone if process.group is not None]
    left = [process for process in everyone if process.group is None]
    taken: dict[int, list[Process]] = {id(entry): [] for entry in config.processes}
    for process in watched:
        # An entry of before a reload that came meanwhile is none of these.
        taken.get(id(process.entry), []).append(process)
    return {
        "entries": [_entry(entry, taken[id(entry)]) for entry in config.processes],
        "folded": _named(process for process in watched if process.group and process.group.key == OTHER_KEY),
        "left": _named(process for process in left if not process.kernel_thread),
        "kernel_threads": sum(process.kernel_thread for process in left),
        "max_groups": config.max_groups,
    }


def _entry(entry: ProcessEntry, taken: list[Process]) -> Entry:
    asks = (f"{key_of(step)}: {expected(step)}" for step in steps(entry) if step.selector != KERNEL_THREAD)
    return Entry(entry.name, tuple(asks), len({process.key for process in taken}), _named(taken))


def _named(processes: Iterable[Process]) -> Some[Named]:
    return Some(Named(process.pid, process.comm.decode("utf-8", "replace")) for process in processes)


def of_cgroups(config: Config, procfs: str, cgroupfs: str | None) -> dict[str, Any]:
    """The entries, and what kept their cgroups from being listed, if anything did."""
    found: dict[str, Any] = {"cgroups": [_cgroups(entry, ()) for entry in config.cgroups], "cgroups_problem": ""}
    if config.cgroups:
        try:
            tree = Tree(find_hierarchy(procfs, cgroupfs))
            found["cgroups"] = [_cgroups(entry, tree.matching(entry)) for entry in config.cgroups]
        except VmemError as error:
            found["cgroups_problem"] = str(error)
    return found


def _cgroups(entry: CgroupEntry, paths: Iterable[str]) -> Cgroups:
    return Cgroups(entry.name, entry.path or f"preset {entry.preset}", Some(path or "/" for path in paths))


def of_process(
    config: Config, procfs: str, cgroupfs: str | None, pid: str, everyone: Sequence[Process]
) -> dict[str, Any]:
    """One process: what each entry makes of it, and the group that it is in."""
    wanted = [number for number in pids(procfs) if str(number) == pid]
    subject: Subject | None = next(why(procfs, cgroupfs, wanted, config.processes), None)
    process = next((process for process in everyone if str(process.pid) == pid), None)
    group = process.group if process else None
    return {
        "pid": pid if subject else pid[:MOST],
        "subject": subject,
        "member": group.key[0] if group else "",
        "folded_from": process.key[0] if process and group and group.key != process.key else "",
        "verdict_class": CLASSES,
    }
