"""Which processes there are, which of them are watched, and what was read of those.

A process is (pid, starttime). It is identified when it is first seen; a watched one again as soon as its name or the
address of its stack says that it has made an exec, any other at growing intervals.
"""

from __future__ import annotations

import errno
import heapq
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import fields
from operator import itemgetter, lt
from typing import NamedTuple

from exporter.catalog.declare import TICKS
from exporter.catalog.process import Stat
from exporter.config import Config, ProcessEntry, Selectors
from exporter.errors import ParseError, Refused
from exporter.kernel.read import again, close, keep, listing, read
from exporter.kernel.stat import name_end, stat_numbers, task
from exporter.kernel.status import status_numbers
from exporter.kernel.uptime import last_pid, uptime
from exporter.lane import Job, Lane, Stuck
from exporter.watch.cgroups import owner
from exporter.watch.groups import NOWHERE, Group, Groups, Key
from exporter.watch.identity import Identity
from exporter.watch.ledger import Counts
from exporter.watch.match import Unread, decide
from exporter.watch.namespace import Namespace
from exporter.watch.process import Process
from exporter.watch.tally import Row, Tally, pack

log = logging.getLogger(__name__)

YOUNG = 60.0
"""Seconds for which a process is looked at again at every scrape: what it will be, it becomes soon."""

OLDEST_LOOK = 240.0
"""Seconds between two looks at an old process at the most: five minutes, less a slow scrape interval."""

PATIENCE = 0.5
"""Seconds that the identification of one process may take before it is left behind."""

_STARTTIME = Stat._fields.index("starttime")


class _Answer(NamedTuple):
    """What the configuration says of a process: the entry that takes it, its group, and what could not be read."""

    entry: ProcessEntry | None
    key: Key
    unread: list[Unread]


def _answer(config: Config, identity: Identity) -> _Answer:
    decision, unread = decide(config.processes, identity)
    if decision is None:
        return _Answer(None, NOWHERE, unread)
    entry = config.processes[decision.entry]
    labels = entry.labels
    if entry.by_cgroup:
        path, captured = owner(identity.cgroup, config.cgroups)
        labels = (*labels, ("cgroup", path), *captured)
    return _Answer(entry, (decision.name, labels), unread)


class Processes:
    """The table of processes. `refresh` brings it up to date; the groups then hold the watched ones."""

    def __init__(self, procfs: str, namespace: Namespace, counters: tuple[int, ...], keep_open: int) -> None:
        """`counters` are the places of the counters in a row; the files of `keep_open` processes are kept open."""
        self._procfs = procfs
        self._namespace = namespace
        self._counts_of: Callable[[Row], Counts] = itemgetter(*counters)
        self._lane = Lane("identify")
        self._patience = PATIENCE
        self._table: dict[str, Process] = {}
        self._no_pids: set[str] = set()
        self._unreadable: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        self.refreshes = 0
        """How often it was brought up to date: what `Process.first` counts."""
        self._uptime = 0.0
        self._changed: dict[Process, None] = {}
        self._gone: set[str] = set()
        self._last_uptime = 0.0
        self._last_pid = 0
        self._keep_open = keep_open
        self.unread: dict[tuple[Key, str], str] = {}
        """The first error of each group and reason since the configuration came into force."""
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
        self.unread.clear()

    def refresh(self, patience: float = PATIENCE) -> None:
        """Find what came and went, and who is who, each in `patience` seconds. Raises ParseError."""
        self._patience = patience
        path = f"{self._procfs}/uptime"
        now = uptime(read(path) or b"", path)
        self.refreshes += 1
        self._last_uptime, self._uptime = self._uptime, now
        # Names as they are listed: turning each into a number, as psutil.pids does, takes as long as the listing.
        listed = listing(self._procfs)
        if "1" not in listed:
            # Process 1 is always there: a list without it is one that processes are hidden from.
            self._count_error(self.groups.nameless, "permission", f"{self._procfs} hides processes (hidepid)")
        table, no_pids = self._table, self._no_pids
        new = [name for name in listed if name not in table and name not in no_pids]
        if len(listed) - len(new) < len(table) + len(no_pids):
            # Only where some went: of 5,000 names a set is half a MiB, and half the time of listing them.
            there = set(listed)
            no_pids &= there
            for pid in [pid for pid in table if pid not in there]:
                self._forget(table[pid])
        self._unreadable = {pid: self._unreadable[pid] for pid in new if pid in self._unreadable}
        no_pids.update(name for name in new if not name.isdigit())
        unsure: dict[Process, None] = {}
        # In order, so that it is not chance which groups max_groups folds.
        for pid in sorted((name for name in new if name not in no_pids), key=int):
            if process := self._first_look(pid):
                unsure[process] = None
        due = self._pids_given_out()
        while self._due and self._due[0][0] <= now:
            due.append(heapq.heappop(self._due)[1])
        for pid in due:
            known = self._table.get(pid)
            if known and (known.group or self._look_again(known)):
                unsure[known] = None
        self._identify(list(unsure))

    def _pids_given_out(self) -> list[str]:
        """The pids of processes that aren't watched which the kernel may have given to others since the last refresh.

        It gives them out in order, and /proc/loadavg ends with the last one. A watched process's pid needs no look.
        """
        path = f"{self._procfs}/loadavg"
        last, self._last_pid = self._last_pid, 0
        # Where it can't be read, any of them may be another one, as where the kernel begins again from below.
        with suppress(ParseError, Refused):
            self._last_pid = last_pid(read(path) or b"", path)
        if self.refreshes == 1:
            return []
        if 0 <= self._last_pid - last <= len(self._table):
            return [pid for pid in map(str, range(last + 1, self._last_pid + 1)) if self._unwatched(pid)]
        # Beyond the largest it begins again from below.
        low, high = sorted((last, self._last_pid))
        return [pid for pid in self._table if self._unwatched(pid) and (low < int(pid) <= high) == (low == last)]

    def _unwatched(self, pid: str) -> bool:
        process = self._table.get(pid)
        return process is not None and process.group is None and process.first != self.refreshes

    def read(self, group: Group) -> Tally:
        """Read every member of a group, as far as it can be read.

        The hot path: it is made for every watched process at every scrape, and calls no more than it must.
        """
        tally, procfs = Tally(), self._procfs
        packed = tally.packed.append
        one_by_one = group.entry is not None and (group.entry.per_process or group.entry.smaps)
        for process in list(group.members):
            try:
                kept = process.stat_file
                if kept < 0:
                    folder = f"{procfs}/{process.pid}"
                    text = read(folder + "/stat")
                    status = text and read(folder + "/status")
                else:
                    text = again(kept, process)
                    status = text and again(process.status_file, process)
                if text is None or status is None:
                    self._lost(process)
                    continue
                seen = hash((text, status))
                if seen == process.seen and (kept >= 0 or not self._keep_open):
                    # Nothing of it has changed: hashes of 64 bits under a random key don't meet by chance.
                    packed(process.packed)
                    continue
                shown = stat_numbers(text, name_end(text), process)
                if kept < 0 and not self._keep(process, shown):
                    self._lost(process)
                    continue
                row = self._row(process, text, shown, status)
                new = None if one_by_one else pack(row)
                if new is None:
                    tally.rows[process] = row
                else:
                    packed(new)
                    process.seen, process.packed = seen, new
            except (ParseError, Refused) as error:
                self.error(group, error)
        return tally

    def _row(self, process: Process, text: bytes, shown: tuple[int, ...], status: bytes) -> Row:
        """What is shown of a process that has changed."""
        if text[: name_end(text)] != process.head or process.stack not in text:
            self._saw(process, text)
        row = shown + status_numbers(status, process)
        new = self._counts_of(row)
        if new != process.counts:
            self._count(process, new)
        return row

    def _lost(self, process: Process) -> None:
        self._forget(process)
        self._gone.add(str(process.pid))

    def _count(self, process: Process, new: Sequence[int | None]) -> None:
        assert process.group is not None
        counts = tuple(count or 0 for count in new)
        if not process.counts:
            if process.first < self.refreshes:
                process.group.ledger.join(counts)
        elif any(map(lt, counts, process.counts)):
            process.group.ledger.read(process.counts, counts)
        process.counts = counts

    def moved(self) -> Iterable[Group]:
        """Identify those that `read` found to have made an exec, or to have taken over the pid of one that went.

        Gives the groups that are no longer as they were read.
        """
        before: dict[Process, Group | None] = {process: process.group for process in self._changed if process.group}
        # One that went when its group was read for the second time, in the scrape before, may have been met since.
        gone = self._gone - self._table.keys()
        before |= {process: None for pid in sorted(gone) if (process := self._first_look(pid))}
        self._changed.clear()
        self._gone.clear()
        self._identify(list(before))
        moves = [(was, process.group) for process, was in before.items() if process.group is not was]
        return dict.fromkeys(group for move in moves for group in move if group)

    def _saw(self, process: Process, text: bytes) -> None:
        """A watched process has another name or another stack: it is to be identified again."""
        process.saw(text, task(text, str(process)))
        self._changed[process] = None

    def _keep(self, process: Process, stat: Sequence[int]) -> bool:
        """Keep the files of a process open that was read by their names; False where another one has its pid now."""
        if stat[_STARTTIME] != process.starttime:
            return False
        if self._keep_open:
            stat_file, status_file = (keep(f"{self._procfs}/{process.pid}/{name}") for name in ("stat", "status"))
            if stat_file is None or status_file is None:
                close(stat_file)
                close(status_file)
            else:
                process.stat_file, process.status_file = stat_file, status_file
                self._keep_open -= 1
        return True

    def _first_look(self, pid: str) -> Process | None:
        """Meet a process, unless it can't be read."""
        if self._unreadable.get(pid, 0.0) > self._uptime:
            return None
        path = f"{self._procfs}/{pid}/stat"
        try:
            text = read(path)
            if text is None:
                return None
            process = Process(int(pid), text, task(text, path), self.refreshes)
        except (ParseError, Refused) as error:
            self.error(None, error)
            self._unreadable[pid] = self._uptime + YOUNG
            return None
        if self.refreshes > 1 and process.starttime < int(self._last_uptime * TICKS.divide):
            process.first = self.refreshes - 1
        self._table[pid] = process
        return process

    def _look_again(self, process: Process) -> bool:
        """Whether a process that isn't watched is still the same one."""
        path = f"{self._procfs}/{process.pid}/stat"
        try:
            text = read(path)
            record = None if text is None else task(text, path)
            if text is None or record is None or record.starttime != process.starttime:
                self._lost(process)
                return False
            process.saw(text, record)
        except (ParseError, Refused) as error:
            self.error(None, error)
        return True

    def _identify(self, processes: list[Process]) -> None:
        """Ask the configuration which groups these processes are in."""
        config, procfs, namespace = self._config, self._procfs, self._namespace

        def asked(process: Process) -> Job:
            return process, lambda: _answer(
                config, Identity(procfs, process.pid, process.comm, process.kernel_thread, namespace)
            )

        # Some at a time: what is asked about all processes at the first scrape would stay in the heap.
        for at in range(0, len(processes), 200):
            jobs = [asked(process) for process in processes[at : at + 200]]
            for process, outcome in self._lane.run(jobs, patience=self._patience):
                assert isinstance(process, Process)
                self._settle(process, outcome)

    def _settle(self, process: Process, outcome: object) -> None:
        answer = _Answer(None, NOWHERE, [])
        if isinstance(outcome, _Answer):
            answer = outcome
        elif isinstance(outcome, Stuck):
            self.error(process.group, Stuck(f"who {process} is: {outcome}"))
        elif isinstance(outcome, ParseError | Refused):
            self.error(process.group, outcome)
        else:
            assert isinstance(outcome, Exception)
            raise outcome
        for error in answer.unread:
            self.error(process.group, error)
        if answer.entry is not None:
            group = self.groups.find(answer.key, answer.entry)
            # The group's own key serves all its members: each one's made half a MiB of 5,000.
            process.entry, process.key = answer.entry, group.key if group.key == answer.key else answer.key
            self._join(process, group)
        elif not isinstance(outcome, Stuck) or process.group not in self.groups:
            self._leave(process)
        if process.group is None or not self._comm_alone:
            age = self._uptime - process.starttime / TICKS.divide
            # The pid spreads out the looks at processes that were met together. One that is stuck costs nothing.
            soon = age < YOUNG or isinstance(outcome, Stuck)
            wait = 0.0 if soon else min(age / 2, OLDEST_LOOK) * (1 - process.pid % 64 / 256)
            heapq.heappush(self._due, (self._uptime + wait, str(process.pid)))

    def _join(self, process: Process, group: Group) -> None:
        if group is process.group:
            return
        self._leave(process)
        newly, other = not group.members, self.groups.other
        process.group = group
        group.members[process] = None
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
            process.counts, process.seen = (), None
            if process.stat_file >= 0:
                close(process.stat_file)
                close(process.status_file)
                process.stat_file = process.status_file = -1
                self._keep_open += 1

    def _forget(self, process: Process) -> None:
        self._leave(process)
        del self._table[str(process.pid)]

    @property
    def everyone(self) -> list[Process]:
        """All of the table, by pid."""
        return sorted(self._table.values(), key=lambda process: process.pid)

    @property
    def stuck(self) -> int:
        """Processes whose names have not come back."""
        return self._lane.stuck

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
        if (group.key, reason) not in self.unread:
            self.unread[group.key, reason] = text
            log.warning("a process can't be read, further ones are only counted: %s", text)
