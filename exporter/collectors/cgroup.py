"""Watched cgroups: what they hold, what limits them, what happened in them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import cast

from exporter.catalog import cgroup as catalog
from exporter.catalog.cgroup import Version
from exporter.catalog.declare import MICROSECONDS, Metric, Number, Pairs, label_text
from exporter.collectors.page import Page
from exporter.config import CgroupEntry, Config
from exporter.errors import ParseError, Refused
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.read import names, opened, read, read_whole
from exporter.kernel.text import columns_of_pairs, limit, number, pairs
from exporter.lane import Lane, Stuck
from exporter.watch.cgroups import Hierarchy, Tree, find_hierarchy
from exporter.watch.lives import Lives, Series

PATIENCE = 0.5
"""Seconds that the reading of one cgroup may take before it is left behind."""

V1_UNLIMITED = 2**63 - 2**34
"""Version 1 says "unlimited" as the largest number of bytes in whole pages, huge ones where those are limited."""


@dataclass(slots=True)
class Reading:
    """What was read of one cgroup. A series is a metric and the value of its own label, "" where it has none."""

    inode: int
    gauges: list[Series] = field(default_factory=list)
    values: list[Number] = field(default_factory=list)
    counters: list[Series] = field(default_factory=list)
    counts: list[Number] = field(default_factory=list)
    failures: list[ParseError | Refused] = field(default_factory=list)

    def gauge(self, metric: Metric, value: Number, own: str = "") -> None:
        self.gauges.append((metric, own))
        self.values.append(value)

    def count(self, metric: Metric, count: Number, own: str = "") -> None:
        self.counters.append((metric, own))
        self.counts.append(count)


class CgroupCollector:
    """The collector `cgroup`."""

    name = "cgroup"

    def __init__(self, procfs: str, sysfs: str, cgroupfs: str | None) -> None:
        self._procfs = procfs
        self._sysfs = sysfs
        self._cgroupfs = cgroupfs
        self._lane = Lane("cgroup")
        self._lives = Lives()
        self._hierarchy: Hierarchy | None = None
        self._texts: dict[tuple[str, str], _Texts] = {}
        self._config: Config | None = None

    def collect(self, page: Page, config: Config) -> None:
        """The families vmem_cgroup_. Raises NoHierarchy, ParseError or Refused where the tree can't be read at all."""
        if not config.cgroups:
            return
        if self._hierarchy is None:
            self._hierarchy = find_hierarchy(self._procfs, self._cgroupfs)
        tree = Tree(self._hierarchy)
        sizes = [size for name in names(f"{self._sysfs}/kernel/mm/hugepages") if (size := name.partition("-")[2])]
        reader = Reader(self._hierarchy, tree, sizes)
        shown: list[tuple[CgroupEntry, dict[str, Pairs]]] = []
        for entry in config.cgroups:
            found = tree.matching(entry)
            labels = (("group", entry.name), *entry.labels)
            page.add(catalog.COUNT, labels, len(found))
            kept = reader.largest(found, entry.max_cgroups)
            page.add(catalog.NOT_SHOWN, labels, len(found) - len(kept))
            shown.append((entry, {path: found[path] for path in kept}))
        wanted = dict.fromkeys(path for _, found in shown for path in found)
        readings: dict[str, Reading] = {}
        for key, outcome in self._lane.run([(path, reader.job(path)) for path in wanted], patience=PATIENCE):
            if isinstance(outcome, Reading):
                readings[cast(str, key)] = outcome
                page.failures += outcome.failures
            elif isinstance(outcome, Stuck | ParseError | Refused):
                page.failures.append(outcome)
            elif isinstance(outcome, Exception):
                raise outcome
        for path, reading in readings.items():
            reading.counts = self._lives.read(path, reading.inode, reading.counters, reading.counts)
        self._lives.forget_beyond(2 * len(wanted) + config.max_groups)
        if config is not self._config:
            self._config = config
            self._texts = {}
        texts: dict[tuple[str, str], _Texts] = {}
        for entry, found in shown:
            for path, captured in found.items():
                if path not in readings:
                    continue
                reading = readings[path]
                series = reading.gauges + reading.counters
                known = self._texts.get((entry.name, path))
                if known is None or known.series != series:
                    known = _Texts(series, (("group", entry.name), ("cgroup", path or "/"), *entry.labels, *captured))
                texts[entry.name, path] = known
                known.show(page, reading.values + reading.counts)
        self._texts = texts


class Reader:
    """Reads the cgroups of one scrape."""

    def __init__(self, hierarchy: Hierarchy, tree: Tree, page_sizes: list[str]) -> None:
        self._hierarchy = hierarchy
        self._version = hierarchy.version
        self._tree = tree
        self._hugetlb = [
            (f"hugetlb.{_size_name(size)}.{suffix}", metric, size)
            for size in page_sizes
            for suffix, metric in self._version.hugetlb.items()
            if hierarchy.hugetlb
        ]
        self._limits: dict[str, Number] = {}
        self._processes: dict[str, int] = {}

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
        with opened(folder) as fd:
            if fd is None:
                return None
            about = os.fstat(fd)
            reading = Reading(about.st_ino)
            reading.gauge(catalog.INFO, 1, self._version.number)
            usage: Number | None = None
            for file, metric in self._version.values.items():
                try:
                    text = read_whole(file, fd)
                    if text is not None:
                        value = self._limit(text, file)
                        reading.gauge(metric, value)
                        if file == self._version.usage:
                            usage = value
                except (ParseError, Refused) as error:
                    reading.failures.append(error.below(folder))
            below = 0
            try:
                if about.st_nlink != 2:
                    below = sum(self._count(child) for child in self._tree.children(path))
                procs = read("cgroup.procs", dir_fd=fd) or b""
                reading.gauge(catalog.PROCESSES, procs.count(b"\n") + below)
            except Refused as error:
                reading.failures.append(error.below(folder))
            for part in (self._stat, self._events, self._pressure):
                try:
                    part(reading, fd, usage)
                except (ParseError, Refused) as error:
                    reading.failures.append(error.below(folder))
        try:
            if self._version is catalog.V2:
                reading.gauge(catalog.EFFECTIVE_LIMIT, self._effective(path))
            for file, metric, size in self._hugetlb:
                held = self._number(f"{self._hierarchy.hugetlb}{path}/{file}")
                if held is not None:
                    reading.gauge(metric, held, size)
        except (ParseError, Refused) as error:
            reading.failures.append(error)
        return reading

    def _limit(self, text: bytes, path: str) -> Number:
        value = limit(text, path)
        return math.inf if value >= V1_UNLIMITED and self._version is catalog.V1 else value

    def _number(self, path: str) -> Number | None:
        text = read_whole(path)
        return None if text is None else self._limit(text, path)

    def _stat(self, reading: Reading, fd: int, usage: Number | None) -> None:
        text = read_whole("memory.stat", fd)
        if text is None:
            return
        keys, values = columns_of_pairs(text, "memory.stat")
        plan = _plan(keys, self._version)
        reading.gauges += plan.gauges
        reading.values += plan.values_of(values)
        reading.counters += plan.counters
        reading.counts += plan.counts_of(values)
        if plan.limit is not None:
            value = values[plan.limit]
            reading.gauge(catalog.EFFECTIVE_LIMIT, math.inf if value >= V1_UNLIMITED else value)
        if usage is not None and plan.inactive_file is not None:
            reading.gauge(catalog.WORKING_SET, max(usage - values[plan.inactive_file], 0))

    def _events(self, reading: Reading, fd: int, _: Number | None) -> None:
        if self._version is catalog.V1:
            if (text := read_whole("memory.failcnt", fd)) is not None:
                reading.count(catalog.EVENTS, number(text, "memory.failcnt"), "max")
            if (text := read_whole("memory.oom_control", fd)) is not None:
                kills = oom_kills(text, "memory.oom_control")
                if kills is not None:
                    reading.count(catalog.EVENTS, kills, "oom_kill")
            return
        for file, metric in catalog.EVENT_FILES:
            if (text := read_whole(file, fd)) is not None:
                for event, count in pairs(text, file).items():
                    reading.count(metric, count, event)

    def _pressure(self, reading: Reading, fd: int, _: Number | None) -> None:
        if self._version is catalog.V1 or (text := read_whole("memory.pressure", fd)) is None:
            return
        for stall, total in pressure(text, "memory.pressure")._asdict().items():
            if total is not None:
                reading.count(catalog.PRESSURE, MICROSECONDS(total), stall)

    def _effective(self, path: str) -> Number:
        """The smallest memory.max from here to the root, which has none."""
        if not path:
            return math.inf
        if path not in self._limits:
            own = self._number(f"{self._hierarchy.folder(path)}/memory.max")
            above = self._effective(path.rpartition("/")[0])
            self._limits[path] = above if own is None else min(own, above)
        return self._limits[path]

    def _count(self, path: str) -> int:
        """The processes here and below."""
        if path not in self._processes:
            text = read(f"{self._hierarchy.folder(path)}/cgroup.procs") or b""
            below = sum(self._count(child) for child in self._tree.children(path))
            self._processes[path] = text.count(b"\n") + below
        return self._processes[path]


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


class _Texts:
    """The series of one cgroup as text, which stay the same from scrape to scrape, in runs of one metric each."""

    def __init__(self, series: list[Series], labels: Pairs) -> None:
        self.series = series
        plain = label_text(labels)
        self._texts: list[str] = []
        self._runs: list[tuple[Metric, slice]] = []
        for metric, run in groupby(series, itemgetter(0)):
            start = len(self._texts)
            for _, own in run:
                text = label_text((*labels, (metric.labels[-1], own))) if own else plain
                self._texts.append(f"{metric.name}{{{text}}}")
            self._runs.append((metric, slice(start, len(self._texts))))

    def show(self, page: Page, values: list[Number]) -> None:
        for metric, run in self._runs:
            page.family(metric).samples.extend(zip(self._texts[run], values[run], strict=True))
