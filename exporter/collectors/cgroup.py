"""Watched cgroups: what they hold, what limits them, what happened in them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from exporter.catalog import cgroup as catalog
from exporter.catalog.declare import Metric, Number, Pairs, escape, label_text
from exporter.collectors.page import Page
from exporter.config import CgroupEntry, Config
from exporter.errors import ParseError, Refused
from exporter.kernel.oom_control import oom_kills
from exporter.kernel.pressure import pressure
from exporter.kernel.read import names, opened, read
from exporter.kernel.text import limit, number, pairs
from exporter.lane import Lane, Stuck
from exporter.watch.cgroups import Hierarchy, Tree, find_hierarchy
from exporter.watch.lives import Lives

T = TypeVar("T")

PATIENCE = 0.5
"""Seconds that the reading of one cgroup may take before it is left behind."""

V1_UNLIMITED = 2**63 - 2**34
"""Version 1 says "unlimited" as the largest number of bytes in whole pages, huge ones where those are limited."""

_EVENT = re.compile(catalog.EVENT_STATS)


@dataclass(slots=True)
class Reading:
    """What was read of one cgroup. Counters by metric name and by what tells their series apart."""

    inode: int
    values: dict[Metric, Number] = field(default_factory=dict)
    hugetlb: list[tuple[Metric, str, Number]] = field(default_factory=list)
    stat_bytes: dict[str, int] = field(default_factory=dict)
    counters: dict[tuple[Metric, str], Number] = field(default_factory=dict)
    failures: list[ParseError | Refused] = field(default_factory=list)


class _Parsed(Protocol):
    """What a file of a cgroup says, None where there is none; what can't be read is noted."""

    def __call__(self, file: str, parser: Callable[[bytes, str], T]) -> T | None: ...


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

    def collect(self, page: Page, config: Config) -> None:
        """The families vmem_cgroup_. Raises NoHierarchy, ParseError or Refused where the tree can't be read at all."""
        if not config.cgroups:
            return
        if self._hierarchy is None:
            self._hierarchy = find_hierarchy(self._procfs, self._cgroupfs)
        tree = Tree(self._hierarchy)
        sizes = [size for name in names(f"{self._sysfs}/kernel/mm/hugepages") if (size := name.partition("-")[2])]
        reader = _Reader(self._hierarchy, tree, sizes)
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
            reading.counters = self._lives.read(path, reading.inode, reading.counters)
        self._lives.forget_beyond(2 * len(wanted) + config.max_groups)
        for entry, found in shown:
            for path, captured in found.items():
                if path in readings:
                    labels = (("group", entry.name), ("cgroup", path or "/"), *entry.labels, *captured)
                    _show(page, readings[path], self._hierarchy, labels)


class _Reader:
    """Reads the cgroups of one scrape."""

    def __init__(self, hierarchy: Hierarchy, tree: Tree, page_sizes: list[str]) -> None:
        self._hierarchy = hierarchy
        self._version = hierarchy.version
        self._tree = tree
        self._hugetlb = [
            (f"hugetlb.{_size_name(size)}.{suffix}", metric, size)
            for size in page_sizes
            for suffix, metric in self._version.hugetlb.items()
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
            reading = Reading(os.fstat(fd).st_ino)

            def parsed(file: str, parser: Callable[[bytes, str], T]) -> T | None:
                try:
                    text = read(file, dir_fd=fd)
                    return None if text is None else parser(text, f"{folder}/{file}")
                except (ParseError, Refused) as error:
                    reading.failures.append(error)
                    return None

            for file, metric in self._version.values.items():
                if (value := parsed(file, self._limit)) is not None:
                    reading.values[metric] = value
            stat = parsed("memory.stat", pairs)
            if stat is not None:
                self._stat(reading, stat)
            self._events(reading, parsed)
            stalled = parsed("memory.pressure", pressure)
            for stall, total in zip(("some", "full"), stalled or (), strict=False):
                if total is not None:
                    reading.counters[catalog.PRESSURE, stall] = total / 1_000_000
        try:
            if self._version is catalog.V2:
                reading.values[catalog.EFFECTIVE_LIMIT] = self._effective(path)
            for file, metric, size in self._hugetlb:
                value = self._number(f"{self._hierarchy.hugetlb}{path.rstrip('/')}/{file}")
                if value is not None:
                    reading.hugetlb.append((metric, size, value))
            reading.values[catalog.PROCESSES] = self._count(path)
        except (ParseError, Refused) as error:
            reading.failures.append(error)
        return reading

    def _limit(self, text: bytes, path: str) -> Number:
        value = limit(text, path)
        return math.inf if value >= V1_UNLIMITED and self._version is catalog.V1 else value

    def _number(self, path: str) -> Number | None:
        text = read(path)
        return None if text is None else self._limit(text, path)

    def _stat(self, reading: Reading, stat: dict[str, int]) -> None:
        prefix = self._version.stat_prefix
        if prefix:
            hierarchical = stat.get("hierarchical_memory_limit")
            if hierarchical is not None:
                unlimited = hierarchical >= V1_UNLIMITED
                reading.values[catalog.EFFECTIVE_LIMIT] = math.inf if unlimited else hierarchical
            stat = {key.removeprefix(prefix): value for key, value in stat.items() if key.startswith(prefix)}
            if "swap" in stat:
                reading.values[catalog.SWAP] = stat["swap"]
        usage = reading.values.get(self._version.values[self._version.usage])
        if usage is not None and "inactive_file" in stat:
            reading.values[catalog.WORKING_SET] = max(usage - stat["inactive_file"], 0)
        for key, value in stat.items():
            if key == "pgfault":
                reading.counters[catalog.PAGE_FAULTS, ""] = value
            elif key == "pgmajfault":
                reading.counters[catalog.MAJOR_PAGE_FAULTS, ""] = value
            elif _EVENT.fullmatch(key):
                reading.counters[catalog.STAT_EVENTS, key] = value
            else:
                reading.stat_bytes[key] = value

    def _events(self, reading: Reading, parsed: _Parsed) -> None:
        if self._version is catalog.V1:
            for event, count in (
                ("max", parsed("memory.failcnt", number)),
                ("oom_kill", parsed("memory.oom_control", oom_kills)),
            ):
                if count is not None:
                    reading.counters[catalog.EVENTS, event] = count
            return
        for file, metric in (
            ("memory.events", catalog.EVENTS),
            ("memory.events.local", catalog.LOCAL_EVENTS),
            ("memory.swap.events", catalog.SWAP_EVENTS),
        ):
            for event, count in (parsed(file, pairs) or {}).items():
                reading.counters[metric, event] = count

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


def _size_name(size: str) -> str:
    """A page size as hugetlb's files have it (mm/hugetlb_cgroup.c, mem_fmt): 2048kB is 2MB there."""
    kib = int(size.removesuffix("kB"))
    for unit, shift in (("GB", 20), ("MB", 10)):
        if kib >= 1 << shift:
            return f"{kib >> shift}{unit}"
    return f"{kib}KB"


class _Labels:
    """A cgroup's labels, ready for one more in its place by name."""

    def __init__(self, labels: Pairs) -> None:
        self._labels = labels
        self.text = label_text(labels)
        self._around: dict[str, tuple[str, str]] = {}

    def around(self, extra: str) -> tuple[str, str]:
        """The text before and behind the value of the label `extra`."""
        if extra not in self._around:
            mark = "\0"
            head, _, tail = label_text((*self._labels, (extra, mark))).partition(mark)
            self._around[extra] = head, tail
        return self._around[extra]


def _samples(reading: Reading, hierarchy: Hierarchy) -> Iterator[tuple[Metric, str, str, Number]]:
    """Metric, name and value of its own label ("" without one), and the value."""
    yield catalog.INFO, "version", hierarchy.version.number, 1
    for metric, value in reading.values.items():
        yield metric, "", "", value
    for stat, amount in reading.stat_bytes.items():
        yield catalog.STAT_BYTES, "stat", stat, amount
    for (metric, key), value in reading.counters.items():
        yield metric, catalog.own_label(metric), key, value
    for metric, size, value in reading.hugetlb:
        yield metric, "page_size", size, value


def _show(page: Page, reading: Reading, hierarchy: Hierarchy, pairs: Pairs) -> None:
    labels = _Labels(pairs)
    for metric, extra, text, value in _samples(reading, hierarchy):
        if extra:
            head, tail = labels.around(extra)
            series = f"{metric.name}{{{head}{escape(text)}{tail}}}"
        else:
            series = f"{metric.name}{{{labels.text}}}"
        page.family(metric).samples.append((series, value))
