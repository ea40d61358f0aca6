"""The reading of one cgroup: every file of it that becomes a metric, and what these say."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial

from exporter.catalog import cgroup as catalog
from exporter.catalog.cgroup import Version
from exporter.catalog.declare import MICROSECONDS, Metric, Number, Pairs
from exporter.errors import ParseError, Refused
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.read import close, exists, open_folder, read, read_each, read_whole
from exporter.kernel.text import columns_of_pairs, limit, number, pairs
from exporter.watch.cgroups import Hierarchy, Tree
from exporter.watch.lives import Series

PATIENCE = 0.5
"""Seconds that the reading of one cgroup may take before it is left behind."""

V1_UNLIMITED = 2**63 - 2**34
"""Version 1 says "unlimited" as the largest number of bytes in whole pages, huge ones where those are limited."""


@dataclass(slots=True)
class Reading:
    """What was read of one cgroup. A series is a metric and the value of its own label, "" where it has none."""

    inode: int
    seen: int
    """The hash of all that it was made of."""
    gauges: list[Series] = field(default_factory=list)
    values: list[Number] = field(default_factory=list)
    counters: list[Series] = field(default_factory=list)
    counts: list[Number] = field(default_factory=list)
    failures: list[ParseError | Refused] = field(default_factory=list)
    usage: Number | None = None
    inactive_file: Number | None = None

    def gauge(self, metric: Metric, value: Number, own: str = "") -> None:
        self.gauges.append((metric, own))
        self.values.append(value)

    def count(self, metric: Metric, count: Number, own: str = "") -> None:
        self.counters.append((metric, own))
        self.counts.append(count)


class Reader:
    """Reads the cgroups of one scrape. A cgroup whose files have not changed has the reading of the scrape before."""

    def __init__(
        self, hierarchy: Hierarchy, tree: Tree, page_sizes: list[str], before: Mapping[str, Reading] | None = None
    ) -> None:
        self._hierarchy = hierarchy
        self._version = hierarchy.version
        self._tree = tree
        self._before = before or {}
        self._hugetlb = [
            (f"hugetlb.{_size_name(size)}.{suffix}", metric, size)
            for size in page_sizes
            for suffix, metric in self._version.hugetlb.items()
            if hierarchy.hugetlb
        ]
        self._limits: dict[str, Number] = {}
        self._processes: dict[str, int] = {}
        self._hugetlb_above: dict[str, bool] = {}
        self._takers = _takers(self._version)

    def largest(self, paths: dict[str, Pairs], most: int) -> list[str]:
        """At most so many of these cgroups: those that use most."""
        if len(paths) <= most:
            return list(paths)

        def usage(path: str) -> Number:
            try:
                return self._number(f"{self._hierarchy.folder(path)}/{self._version.usage}") or 0
            except (ParseError, Refused):
                return 0

        return sorted(sorted(paths, key=usage, reverse=True)[:most])

    def job(self, path: str) -> Callable[[], Reading | None]:
        """The reading of one cgroup, None where it has gone. Raises Refused."""
        return lambda: self._read(path)

    def _read(self, path: str) -> Reading | None:
        folder = self._hierarchy.folder(path)
        fd = open_folder(folder)
        if fd is None:
            return None
        failures: list[ParseError | Refused] = []
        around: list[tuple[Metric, Number, str]] = []
        try:
            about = os.fstat(fd)
            procs, *texts = read_each(["cgroup.procs", *self._takers], fd)
        finally:
            close(fd)
        try:
            if isinstance(procs, Refused):
                failures.append(procs.below(folder))
            else:
                below = 0 if about.st_nlink == 2 else sum(map(self._count, self._tree.children(path)))
                around.append((catalog.PROCESSES, (procs or b"").count(b"\n") + below, ""))
            if self._version is catalog.V2:
                around.append((catalog.EFFECTIVE_LIMIT, self._effective(path), ""))
            if self._hugetlb and self._has_hugetlb(path):
                for file, metric, size in self._hugetlb:
                    held = self._number(f"{self._hierarchy.hugetlb}{path}/{file}")
                    if held is not None:
                        around.append((metric, held, size))
        except (ParseError, Refused) as error:
            failures.append(error)
        # Hashes of 64 bits under a random key don't meet by chance.
        seen = hash((about.st_ino, *texts, *[(metric.name, value, own) for metric, value, own in around]))
        before = self._before.get(path)
        if before and before.seen == seen and not before.failures and not failures:
            return before
        reading = Reading(about.st_ino, seen, failures=failures)
        reading.gauge(catalog.INFO, 1, self._version.number)
        for metric, value, own in around:
            reading.gauge(metric, value, own)
        for (file, take), text in zip(self._takers.items(), texts, strict=True):
            try:
                if isinstance(text, Refused):
                    failures.append(text.below(folder))
                elif text is not None:
                    take(reading, text, file)
            except ParseError as error:
                failures.append(error.below(folder))
        if reading.usage is not None and reading.inactive_file is not None:
            reading.gauge(catalog.WORKING_SET, max(reading.usage - reading.inactive_file, 0))
        return reading

    def _number(self, path: str) -> Number | None:
        text = read_whole(path)
        return None if text is None else _limit(self._version, text, path)

    def _has_hugetlb(self, path: str) -> bool:
        """Whether the cgroup is in the hierarchy of huge pages too, in which most of version 1 are not."""
        above = path.rpartition("/")[0]
        if above not in self._hugetlb_above:
            self._hugetlb_above[above] = exists(f"{self._hierarchy.hugetlb}{above}")
        return self._hugetlb_above[above] and exists(f"{self._hierarchy.hugetlb}{path}")

    def _effective(self, path: str) -> Number:
        """The smallest memory.max from here up. The host's root has none, that of a container's own tree has."""
        if path not in self._limits:
            own = self._number(f"{self._hierarchy.folder(path)}/memory.max")
            above = self._effective(path.rpartition("/")[0]) if path else math.inf
            self._limits[path] = above if own is None else min(own, above)
        return self._limits[path]

    def _count(self, path: str) -> int:
        """The processes here and below."""
        if path not in self._processes:
            text = read(f"{self._hierarchy.folder(path)}/cgroup.procs") or b""
            below = sum(self._count(child) for child in self._tree.children(path))
            self._processes[path] = text.count(b"\n") + below
        return self._processes[path]


# What each file puts into a reading. These are no methods: a reader that held methods of its own would be a cycle, and
# stay with all the readings of the scrape before until those are looked for.


def _limit(version: Version, text: bytes, path: str) -> Number:
    value = limit(text, path)
    return math.inf if value >= V1_UNLIMITED and version is catalog.V1 else value


def _value(version: Version, series: Series, reading: Reading, text: bytes, file: str) -> None:
    value = _limit(version, text, file)
    reading.gauges.append(series)
    reading.values.append(value)
    if file == version.usage:
        reading.usage = value


def _stat(version: Version, reading: Reading, text: bytes, file: str) -> None:
    keys, values = columns_of_pairs(text[max(text.find(version.stat_from), 0) :], file)
    plan = _plan(keys, version)
    reading.gauges += plan.gauges
    reading.values += plan.values_of(values)
    reading.counters += plan.counters
    reading.counts += plan.counts_of(values)
    if plan.limit is not None:
        value = values[plan.limit]
        reading.gauge(catalog.EFFECTIVE_LIMIT, math.inf if value >= V1_UNLIMITED else value)
    if plan.inactive_file is not None:
        reading.inactive_file = values[plan.inactive_file]


def _failcnt(reading: Reading, text: bytes, file: str) -> None:
    reading.count(catalog.EVENTS, number(text, file), "max")


def _oom_control(reading: Reading, text: bytes, file: str) -> None:
    kills = oom_kills(text, file)
    if kills is not None:
        reading.count(catalog.EVENTS, kills, "oom_kill")


def _events(metric: Metric, reading: Reading, text: bytes, file: str) -> None:
    for event, count in pairs(text, file).items():
        reading.count(metric, count, event)


def _pressure(reading: Reading, text: bytes, file: str) -> None:
    for stall, total in pressure(text, file)._asdict().items():
        if total is not None:
            reading.count(catalog.PRESSURE, MICROSECONDS(total), stall)


@cache
def _takers(version: Version) -> dict[str, Callable[[Reading, bytes, str], None]]:
    """The files that are read of a cgroup."""
    takers: dict[str, Callable[[Reading, bytes, str], None]] = {
        file: partial(_value, version, (metric, "")) for file, metric in version.values.items()
    }
    takers["memory.stat"] = partial(_stat, version)
    if version is catalog.V1:
        return takers | {"memory.failcnt": _failcnt, "memory.oom_control": _oom_control}
    events = {file: partial(_events, metric) for file, metric in catalog.EVENT_FILES}
    return takers | events | {"memory.pressure": _pressure}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes of the fields of a memory.stat: their series, and how to pick their values by place."""

    gauges: list[Series]
    values_of: Callable[[list[int]], list[int]]
    counters: list[Series]
    counts_of: Callable[[list[int]], list[int]]
    inactive_file: int | None
    limit: int | None


@lru_cache(maxsize=64)
def _plan(keys: tuple[bytes, ...], version: Version) -> _Plan:
    """Made once for each set of keys, of which a kernel has one or two: looking at each key took half of a scrape."""
    gauges: list[tuple[Series, int]] = []
    counters: list[tuple[Series, int]] = []
    places = {key.decode("ascii", "replace"): place for place, key in enumerate(keys)}
    for key, place in places.items():
        name = key.removeprefix(version.stat_prefix)
        if not key.startswith(version.stat_prefix):
            continue
        if name == "pgfault":
            counters.append(((catalog.PAGE_FAULTS, ""), place))
        elif name == "pgmajfault":
            counters.append(((catalog.MAJOR_PAGE_FAULTS, ""), place))
        elif catalog.EVENT_STATS.fullmatch(name):
            counters.append(((catalog.STAT_EVENTS, name), place))
        else:
            gauges.append(((catalog.STAT_BYTES, name), place))
        if key == "total_swap":
            gauges.append(((catalog.SWAP, ""), place))
    return _Plan(
        [series for series, _ in gauges],
        _picker([place for _, place in gauges]),
        [series for series, _ in counters],
        _picker([place for _, place in counters]),
        places.get(f"{version.stat_prefix}inactive_file"),
        places.get("hierarchical_memory_limit"),
    )


def _picker(places: list[int]) -> Callable[[list[int]], list[int]]:
    return lambda values: [values[place] for place in places]


def _size_name(size: str) -> str:
    """A page size as hugetlb's files have it (mm/hugetlb_cgroup.c, mem_fmt): 2048kB is 2MB there."""
    kib = int(size.removesuffix("kB"))
    for unit, shift in (("GB", 20), ("MB", 10)):
        if kib >= 1 << shift:
            return f"{kib >> shift}{unit}"
    return f"{kib}KB"
