"""The host: memory, swap, pressure, huge pages, and how the kernel is set.

A source that this kernel lacks gives no sample; one that can't be read costs its own samples, one that blocks those of
its part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from exporter.catalog import host as catalog
from exporter.catalog.declare import KIB, ONE, PERCENT, Metric, Number, Pairs
from exporter.collectors.page import Page
from exporter.config import Config
from exporter.errors import ParseError, Refused
from exporter.kernel.numa import node_meminfo
from exporter.kernel.pressure import pressure
from exporter.kernel.read import names, read
from exporter.kernel.swaps import swaps
from exporter.kernel.text import choice, number, numbers, pairs, switch
from exporter.lane import Job, Lane, Stuck

T = TypeVar("T")

PATIENCE = 0.5
"""Seconds that one part may take before it is left behind; all together take a few milliseconds."""


class HostCollector:
    """The collector `host`."""

    name = "host"

    def __init__(self, procfs: str, sysfs: str) -> None:
        self._procfs = procfs
        self._sysfs = sysfs
        self._lane = Lane(self.name)
        self._parts: dict[str, Callable[[Page], None]] = {
            "meminfo": self._meminfo,
            "vmstat": self._vmstat,
            "pressure": self._pressure,
            "swaps": self._swaps,
            "sysctls": self._sysctls,
            "huge pages": self._huge_pages,
            "transparent huge pages": self._transparent_huge_pages,
            "nodes": self._nodes,
            "ksm and zswap": self._merging_and_compression,
        }

    @property
    def stuck(self) -> int:
        """Parts that have not come back."""
        return self._lane.stuck

    def collect(self, page: Page, config: Config) -> None:
        """The families vmem_host_, vmem_vm_, vmem_hugetlb_, vmem_thp_, vmem_node_, vmem_ksm_ and vmem_zswap_."""
        jobs: list[Job] = [(name, partial(self._part, read_part)) for name, read_part in self._parts.items()]
        for name, outcome in self._lane.run(jobs, patience=page.patience(PATIENCE)):
            if isinstance(outcome, Page):
                page.merge(outcome)
            elif isinstance(outcome, Stuck):
                page.failures.append(Stuck(f"{name}: {outcome}"))
            elif isinstance(outcome, Exception):
                raise outcome

    @staticmethod
    def _part(read_part: Callable[[Page], None]) -> Page:
        """A page of its own: one that is left behind may still be written to when the scrape is over."""
        page = Page()
        read_part(page)
        return page

    def _parsed(self, page: Page, path: str, parser: Callable[[bytes, str], T]) -> T | None:
        """What a file says; None where it isn't there, or can't be read, which is noted."""
        try:
            text = read(path)
            return None if text is None else parser(text, path)
        except (ParseError, Refused) as error:
            page.failures.append(error)
            return None

    def _listed(self, page: Page, path: str, prefix: str) -> list[tuple[str, str]]:
        """The entries of a directory that begin with a prefix: the rest of the name, and the path."""
        try:
            return [
                (name[len(prefix) :], f"{path}/{name}")
                for name in names(path)
                if name.startswith(prefix) and name[len(prefix) : len(prefix) + 1].isdigit()
            ]
        except Refused as error:
            page.failures.append(error)
            return []

    def _value(
        self, page: Page, path: str, metric: Metric, unit: Callable[[Number], Number], labels: Pairs = ()
    ) -> None:
        value = self._parsed(page, path, number)
        if value is not None:
            page.add(metric, labels, unit(value))

    def _open(self, page: Page, found: dict[str, int] | None, source: catalog.Open, labels: Pairs = ()) -> None:
        for key, value in (found or {}).items():
            metric = source.metric(key)
            if metric is not None:
                page.add(metric, labels, source.unit(value))

    def _meminfo(self, page: Page) -> None:
        self._open(page, self._parsed(page, f"{self._procfs}/meminfo", pairs), catalog.MEMINFO)

    def _vmstat(self, page: Page) -> None:
        self._open(page, self._parsed(page, f"{self._procfs}/vmstat", pairs), catalog.VMSTAT)

    def _sysctls(self, page: Page) -> None:
        for sysctl in catalog.SYSCTLS:
            self._value(page, f"{self._procfs}/sys/vm/{sysctl.file}", sysctl.metric, sysctl.unit)

    def _pressure(self, page: Page) -> None:
        stalled = self._parsed(page, f"{self._procfs}/pressure/memory", pressure)
        for column in catalog.HOST_PRESSURE:
            value = stalled[column.index] if stalled else None
            if value is not None:
                page.add(column.metric, column.show.fixed, column.key.unit(value))

    def _swaps(self, page: Page) -> None:
        for swap in self._parsed(page, f"{self._procfs}/swaps", swaps) or ():
            labels = (("device", swap.device), ("kind", swap.kind))
            page.add(catalog.SWAP_SIZE, labels, KIB(swap.size))
            page.add(catalog.SWAP_USED, labels, KIB(swap.used))
            page.add(catalog.SWAP_PRIORITY, labels, swap.priority)

    def _huge_pages(self, page: Page) -> None:
        self._pools(page, f"{self._sysfs}/kernel/mm/hugepages", catalog.POOLS, ())

    def _pools(self, page: Page, path: str, files: Sequence[tuple[str, Metric]], labels: Pairs) -> None:
        for size, folder in self._listed(page, path, "hugepages-"):
            for file, metric in files:
                self._value(page, f"{folder}/{file}", metric, ONE, (*labels, ("page_size", size)))

    def _transparent_huge_pages(self, page: Page) -> None:
        path = f"{self._sysfs}/kernel/mm/transparent_hugepage"
        for mode in catalog.THP_MODES:
            for word, in_force in (self._parsed(page, f"{path}/{mode.file}", choice) or {}).items():
                page.add(mode.metric, (("mode", word),), int(in_force))
        for value in catalog.KHUGEPAGED:
            self._value(page, f"{path}/khugepaged/{value.file}", value.metric, value.unit)
        for size, folder in self._listed(page, path, "hugepages-"):
            self._files(
                page, f"{folder}/stats", (catalog.THP_SIZE_AMOUNTS, catalog.THP_SIZE_EVENTS), (("page_size", size),)
            )

    def _files(self, page: Page, path: str, sources: Sequence[catalog.Open], labels: Pairs = ()) -> None:
        """A directory of files of one number each, whose names are keys."""
        try:
            files = names(path)
        except Refused as error:
            page.failures.append(error)
            return
        for source in sources:
            for file in files:
                metric = source.metric(file)
                if metric is not None:
                    self._value(page, f"{path}/{file}", metric, source.unit, labels)

    def _nodes(self, page: Page) -> None:
        for node, folder in self._listed(page, f"{self._sysfs}/devices/system/node", "node"):
            labels = (("node", node),)
            self._open(page, self._parsed(page, f"{folder}/meminfo", node_meminfo), catalog.NODE_MEMINFO, labels)
            self._pools(page, f"{folder}/hugepages", catalog.NODE_POOLS, labels)
        for tier, folder in self._listed(page, f"{self._sysfs}/devices/virtual/memory_tiering", "memory_tier"):
            for member in self._parsed(page, f"{folder}/nodelist", numbers) or ():
                page.add(catalog.MEMORY_TIER, (("node", str(member)),), int(tier))

    def _merging_and_compression(self, page: Page) -> None:
        self._files(page, f"{self._sysfs}/kernel/mm/ksm", (catalog.KSM_AMOUNTS, catalog.KSM_EVENTS))
        zswap = f"{self._sysfs}/module/zswap/parameters"
        enabled = self._parsed(page, f"{zswap}/enabled", switch)
        if enabled is not None:
            page.add(catalog.ZSWAP_ENABLED, (), int(enabled))
        self._value(page, f"{zswap}/max_pool_percent", catalog.ZSWAP_LIMIT, PERCENT)
