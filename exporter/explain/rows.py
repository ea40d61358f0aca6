"""The numbers that are explained, as they were at one moment, and the same watched over an interval.

Sizes are bytes, times seconds, counts plain. None is what the kernel doesn't say, math.inf a limit that isn't one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Literal

from exporter.catalog.declare import Number

Kind = Literal["group", "process", "cgroup"]
N = Number | None

LIMIT_FILE = {"1": "memory.limit_in_bytes", "2": "memory.max"}
"""Where each version of cgroups has the limit that kills."""

SWAP_FILE = {"1": "memory.stat", "2": "memory.swap.current"}
"""Where each has what is in swap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What /proc/PID/status and /proc/PID/stat say of a process, or the sum over several."""

    virtual: N = None
    resident: N = None
    anon: N = None
    file: N = None
    shmem: N = None
    swap: N = None
    locked: N = None
    hugetlb: N = None
    page_tables: N = None
    minor_faults: N = None
    major_faults: N = None
    waited: N = None
    """Seconds that its tasks waited for memory, at least, by delay accounting; None where the kernel doesn't tell."""


NAMES = tuple(field.name for field in fields(Memory))
"""The numbers of `Memory`."""


def total(parts: Iterable[Memory]) -> Memory:
    """The sums; None where no part has a value, as of a kernel thread or zombie."""
    whole = list(parts)
    return Memory(**{name: _sum(getattr(part, name) for part in whole) for name in NAMES})


def _sum(values: Iterable[N]) -> N:
    given = [value for value in values if value is not None]
    return sum(given) if given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process. `born` is its start in seconds since boot, which with the pid says who it is."""

    pid: int
    comm: str
    born: float
    memory: Memory
    oom_score: N = None
    oom_score_adj: N = None
    cgroup: str = ""
    lock_limit: N = None
    """RLIMIT_MEMLOCK, where the process has locked memory; math.inf for one with CAP_IPC_LOCK: it isn't bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """One cgroup, and those above it. `folder` is where its files are, `version` "1" or "2"."""

    path: str
    folder: str
    version: str
    usage: N = None
    working_set: N = None
    swap: N = None
    limit: N = None
    effective_limit: N = None
    anon_refaults: N = None
    pressure_some: N = None
    pressure_full: N = None
    oom_kills: N = None
    above: Cgroup | None = None

    def __iter__(self) -> Iterator[Cgroup]:
        """From here upwards."""
        level: Cgroup | None = self
        while level is not None:
            yield level
            level = level.above

    @property
    def tightest(self) -> Cgroup | None:
        """The one of these whose own limit leaves the least: it kills first. None where nothing is limited."""
        limited = [level for level in self if level.own_headroom < math.inf]
        return min(limited, key=lambda level: level.own_headroom, default=None)

    @property
    def own_headroom(self) -> Number:
        """What its own limit leaves beside its working set: page cache gives way."""
        if self.limit is None or self.working_set is None:
            return math.inf
        return max(self.limit - self.working_set, 0)

    @property
    def headroom(self) -> Number:
        """What may still be charged here before a limit, its own or one above, is met."""
        tightest = self.tightest
        return math.inf if tightest is None else tightest.own_headroom


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A group, a process or a cgroup at one moment: its processes, their memory, and the cgroup that bounds them.

    `at` is in seconds since boot. A group whose processes are in several cgroups has the one with the least headroom.
    """

    kind: Kind
    name: str
    at: float
    processes: tuple[Process, ...] = ()
    memory: Memory = Memory()
    cgroup: Cgroup | None = None

    @property
    def largest(self) -> Process | None:
        """The process with the most resident memory."""
        return max(self.processes, key=lambda process: process.memory.resident or 0, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of huge pages: their size in bytes, and counts of them."""

    size: int
    folder: str
    pages: int
    free: int
    reserved: int

    @property
    def idle(self) -> int:
        """Pages that nobody uses and nobody has been promised."""
        return max(self.free - self.reserved, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine at one moment. meminfo in bytes and vmstat in counts, under the kernel's own keys."""

    at: float
    meminfo: Mapping[str, int]
    vmstat: Mapping[str, int]
    pressure_some: N = None
    pressure_full: N = None
    overcommit_memory: int | None = None
    transparent_hugepage: str | None = None
    pools: tuple[Pool, ...] = ()
    oom_score: N = None
    """The highest of any process."""
    oom_first: tuple[int, ...] = ()
    """The pids that have it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The machine, and the rows that were asked for."""

    host: Host
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Subject:
    """A row, and what it was at the beginning of the interval; None where it wasn't watched."""

    row: Row
    before: Row | None = None

    @property
    def seconds(self) -> float:
        """How long it was watched; 0 where it wasn't."""
        return self.row.at - self.before.at if self.before else 0.0

    def rose(self, name: str, *, newcomers: bool = True) -> N:
        """By how much a number of `Memory` rose over the interval; None where that isn't known.

        A process that began meanwhile counts whole, or with the other newcomers not at all.
        """
        if self.before is None or self.seconds <= 0:
            return None
        had = {(process.pid, process.born): process for process in self.before.processes}
        rises: list[Number] = []
        for process in self.row.processes:
            now = getattr(process.memory, name)
            earlier = had.get((process.pid, process.born))
            then = getattr(earlier.memory, name) if earlier else None
            if now is not None and then is not None:
                rises.append(now - then)
            elif now is not None and earlier is None:
                rises.append(now if newcomers and process.born >= self.before.at else 0)
        return sum(rises) if rises or not self.row.processes else None

    def rate(self, name: str) -> float | None:
        """The same, a second."""
        rose = self.rose(name)
        return None if rose is None else rose / self.seconds

    def cgroup_rose(self, name: str) -> N:
        """By how much a number of its cgroup rose."""
        here, earlier = self.row.cgroup, self.before.cgroup if self.before else None
        if here is None or earlier is None or here.path != earlier.path or self.seconds <= 0:
            return None
        return difference(getattr(here, name), getattr(earlier, name))


@dataclass(frozen=True, slots=True)
class Machine:
    """The host, and what it was at the beginning of the interval; None where it wasn't watched."""

    host: Host
    before: Host | None = None

    @property
    def seconds(self) -> float:
        """How long it was watched; 0 where it wasn't."""
        return self.host.at - self.before.at if self.before else 0.0

    def counted(self, key: str) -> N:
        """What a key of /proc/vmstat counted over the interval."""
        return difference(self.host.vmstat.get(key), self.before.vmstat.get(key)) if self.before else None

    @property
    def stalled(self) -> float | None:
        """The share of the interval in which some task waited for memory."""
        waited = difference(self.host.pressure_some, self.before.pressure_some) if self.before else None
        return waited / self.seconds if waited is not None and self.seconds > 0 else None


def difference(now: N, before: N) -> N:
    """By how much a number rose, where both are known."""
    return None if now is None or before is None else now - before


def watched(before: Sample | None, now: Sample) -> tuple[list[Subject], Machine]:
    """Each row beside the one that it was."""
    earlier = {(row.kind, row.name): row for row in before.rows} if before else {}
    subjects = [Subject(row, earlier.get((row.kind, row.name))) for row in now.rows]
    return subjects, Machine(now.host, before.host if before else None)
