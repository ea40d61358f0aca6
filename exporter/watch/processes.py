"""Which processes there are, which of them are watched, and what was read of those.

A process is (pid, starttime). It is identified when it is first seen; a watched one again as soon as its name or the
address of its stack says that it has made an exec, any other at growing intervals.
"""

from __future__ import annotations

import errno
import heapq
import logging
from collections.abc import Callable
from dataclasses import fields
from operator import itemgetter
from typing import NamedTuple

import psutil

from exporter.catalog.declare import TICKS
from exporter.catalog.process import Stat
from exporter.config import Config, ProcessEntry, Selectors
from exporter.errors import ParseError, Refused
from exporter.kernel.read import read
from exporter.kernel.stat import comm, stat
from exporter.kernel.status import status
from exporter.kernel.uptime import uptime
from exporter.lane import Job, Lane, Stuck
from exporter.watch.cgroups import owner
from exporter.watch.groups import Group, Groups, Key
from exporter.watch.identity import PF_KTHREAD, Identity
from exporter.watch.ledger import Counts
from exporter.watch.match import decide

log = logging.getLogger(__name__)

YOUNG = 60.0
"""Seconds for which a process is looked at again at every scrape: what it will be, it becomes soon."""

OLDEST_LOOK = 240.0
"""Seconds between two looks at an old process at the most: five minutes, less a slow scrape interval."""

PATIENCE = 0.5
"""Seconds that the identification of one process may take before it is left behind."""

Row = tuple[int | None, ...]


class Process:
    """One process that is there: who it is, and what was last read of it."""

    __slots__ = ("comm", "counts", "first", "group", "kernel_thread", "key", "pid", "row", "stack", "starttime", "stat")

    def __init__(self, pid: int, name: bytes, record: Stat, first: int) -> None:
        self.pid = pid
        self.starttime = record.starttime
        self.kernel_thread = bool(record.flags & PF_KTHREAD)
        self.first = first
        """The refresh in which it was born: what it has done by a later one doesn't count where it joins then."""
        self.comm = name
        self.stack = record.start_stack
        self.stat: Stat | None = record
        """What this refresh read of its stat file, None where it could not."""
        self.row: Row | None = None
        """All that this refresh read of it, None where it could not."""
        self.group: Group | None = None
        self.key: Key = ("", ())
        """The group that the configuration gives it; in "other" it isn't the group's own."""
        self.counts: Counts = ()
        """What it adds to its group's counters; empty until it was read as a member of the group."""


class _Answer(NamedTuple):
    """What the configuration says of a process: the entry that takes it, its group, and what could not be read."""

    entry: ProcessEntry | None
    key: Key
    refused: list[Refused]


def _answer(config: Config, identity: Identity) -> _Answer:
    decision, refused = decide(config.processes, identity)
    if decision is None:
        return _Answer(None, ("", ()), refused)
    entry = config.processes[decision.entry]
    labels = entry.labels
    if entry.by_cgroup:
        path, captured = owner(identity.cgroup, config.cgroups)
        labels = (*labels, ("cgroup", path), *captured)
    return _Answer(entry, (decision.name, labels), refused)


class Processes:
    """The table of processes. `refresh` brings it up to date; the groups then hold the watched ones."""

    def __init__(self, procfs: str, counters: tuple[int, ...]) -> None:
        """`counters` are the places of the counters in a row."""
        self._procfs = procfs
        psutil.PROCFS_PATH = procfs
        self._counts_of: Callable[[Row], Counts] = itemgetter(*counters)
        self._lane = Lane("identify")
        self._table: dict[int, Process] = {}
        self._unreadable: dict[int, float] = {}
        self._due: list[tuple[float, int]] = []
        self._refresh = 0
        self._uptime = 0.0
        self._logged: set[tuple[Key, str]] = set()
        self._config = Config()
        self._comm_alone = True
        self.groups = Groups(len(counters))

    def configure(self, config: Config) -> None:
        """Take a new configuration; at the next refresh every process is identified by it."""
        self._config = config
        # The answer to any other selector may change without a trace in stat.
        self._comm_alone = not any(
            entry.by_cgroup or getattr(select, field.name)
            for entry in config.processes
            for select in (entry.select, entry.exclude)
            for field in fields(Selectors)
            if field.name != "comm"
        )
        self.groups.configure(config)
        self._due = [(0.0, pid) for pid in self._table]
        self._logged.clear()

    def refresh(self) -> None:
        """Find what came and went, identify what needs it, and read every watched process. Raises ParseError."""
        path = f"{self._procfs}/uptime"
        now = uptime(read(path) or b"", path)
        self._refresh += 1
        last, self._uptime = self._uptime, now
        pids = set(psutil.pids())
        if 1 not in pids:
            # Process 1 is always there: a list without it is one that processes are hidden from.
            self._count_error(self.groups.nameless, "permission", f"{self._procfs} hides processes (hidepid)")
        for pid in self._table.keys() - pids:
            self._forget(self._table[pid])
        for pid in self._unreadable.keys() - pids:
            del self._unreadable[pid]
        unsure: dict[Process, None] = {}
        for process in [process for process in self._table.values() if process.group]:
            if self._look(process):
                unsure[process] = None
            self._read(process)
        for pid in pids - self._table.keys():
            if process_new := self._first_look(pid, last):
                unsure[process_new] = None
        while self._due and self._due[0][0] <= now:
            process_due = self._table.get(heapq.heappop(self._due)[1])
            if process_due is None:
                continue
            if not process_due.group:
                self._look(process_due)
            unsure[process_due] = None
        self._identify([process for process in unsure if self._table.get(process.pid) is process])

    def _look(self, process: Process) -> bool:
        """Read the stat file. Whether it tells of an exec or a new name."""
        path = f"{self._procfs}/{process.pid}/stat"
        process.stat = None
        try:
            text = read(path)
            record = None if text is None else stat(text, path)
            if text is None or record is None or record.starttime != process.starttime:
                # Where another process has the pid, that one is then met as a new one.
                self._forget(process)
                return False
            name = comm(text, path)
        except (ParseError, Refused) as error:
            self.error(process.group, error)
            return False
        changed = name != process.comm or record.start_stack != process.stack
        process.stat, process.comm, process.stack = record, name, record.start_stack
        return changed

    def _first_look(self, pid: int, last: float) -> Process | None:
        """Meet a process, unless it can't be read."""
        if self._unreadable.get(pid, 0.0) > self._uptime:
            return None
        path = f"{self._procfs}/{pid}/stat"
        try:
            text = read(path)
            if text is None:
                return None
            process = Process(pid, comm(text, path), stat(text, path), self._refresh)
        except (ParseError, Refused) as error:
            self.error(None, error)
            self._unreadable[pid] = self._uptime + YOUNG
            return None
        if self._refresh > 1 and process.starttime < int(last * TICKS.divide):
            process.first = self._refresh - 1
        self._table[pid] = process
        return process

    def _read(self, process: Process) -> None:
        """Read the rest of a watched process whose stat file was read."""
        process.row = None
        group, record = process.group, process.stat
        if group is None or record is None:
            return
        path = f"{self._procfs}/{process.pid}/status"
        try:
            text = read(path)
            if text is None:
                self._forget(process)
                return
            process.row = row = record + status(text, path)
        except (ParseError, Refused) as error:
            self.error(group, error)
            return
        old, new = process.counts, self._counts_of(row)
        if None in new:
            new = tuple(count or 0 for count in new)
        if old != new:
            if not old:
                if process.first < self._refresh:
                    group.ledger.join(new)
            elif any(map(int.__lt__, new, old)):
                group.ledger.read(old, new)
            process.counts = new

    def _identify(self, processes: list[Process]) -> None:
        """Ask the configuration which groups these processes are in, and read those that are new to theirs."""
        config, procfs = self._config, self._procfs

        def asked(process: Process) -> Job:
            return process, lambda: _answer(config, Identity(procfs, process.pid, process.comm, process.kernel_thread))

        for process, outcome in self._lane.run([asked(process) for process in processes], patience=PATIENCE):
            assert isinstance(process, Process)
            self._settle(process, outcome)

    def _settle(self, process: Process, outcome: object) -> None:
        answer = _Answer(None, ("", ()), [])
        if isinstance(outcome, _Answer):
            answer = outcome
        elif isinstance(outcome, Stuck | ParseError | Refused):
            self.error(process.group, outcome)
        elif isinstance(outcome, Exception):
            raise outcome
        for error in answer.refused:
            self.error(process.group, error)
        if answer.entry is not None:
            process.key = answer.key
            self._join(process, self.groups.find(answer.key, answer.entry))
        elif not isinstance(outcome, Stuck) or process.group not in self.groups:
            self._leave(process)
        if process.group is None or not self._comm_alone:
            age = self._uptime - process.starttime / TICKS.divide
            # The pid spreads out the looks at processes that were met together.
            wait = 0.0 if age < YOUNG else min(age / 2, OLDEST_LOOK) * (1 - process.pid % 64 / 256)
            heapq.heappush(self._due, (self._uptime + wait, process.pid))

    def _join(self, process: Process, group: Group) -> None:
        if group is process.group:
            return
        self._leave(process)
        newly, other = not group.members, self.groups.other
        process.group = group
        group.members[process] = None
        self._read(process)
        if newly and other and group is not other:
            # There is room for this group now: what was folded of it comes over.
            for folded in [member for member in other.members if member.key == process.key]:
                self._join(folded, group)

    def _leave(self, process: Process) -> None:
        group = process.group
        if group is not None:
            process.group = None
            del group.members[process]
            group.ledger.leave(process.counts)
            process.counts = ()

    def _forget(self, process: Process) -> None:
        self._leave(process)
        del self._table[process.pid]

    @property
    def uptime(self) -> float:
        """The time of this refresh, in seconds since boot."""
        return self._uptime

    def error(self, group: Group | None, error: ParseError | Refused | Stuck) -> None:
        """Count, and log the first time, that a process of a group could not be read."""
        if isinstance(error, Refused):
            reason = "permission" if error.errno in (errno.EACCES, errno.EPERM) else "parse"
        else:
            reason = "timeout" if isinstance(error, Stuck) else "parse"
        self._count_error(group or self.groups.nameless, reason, str(error))

    def _count_error(self, group: Group, reason: str, text: str) -> None:
        group.errors[reason] += 1
        if (group.key, reason) not in self._logged:
            self._logged.add((group.key, reason))
            log.warning("a process can't be read, further ones are only counted: %s", text)
