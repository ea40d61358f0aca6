"""Collectors: one file for each family of metrics. A new one is a module here and a line in `build`."""

from __future__ import annotations

from typing import Protocol

from exporter.collectors.cgroup import CgroupCollector
from exporter.collectors.host import HostCollector
from exporter.collectors.page import Page
from exporter.collectors.process import ProcessCollector
from exporter.config import Config


class Collector(Protocol):
    """Fills a page. What it raises costs the page; what it notes in `page.failures` costs the samples concerned."""

    @property
    def name(self) -> str: ...
    def collect(self, page: Page, config: Config) -> None: ...


def build(procfs: str, sysfs: str, cgroupfs: str | None) -> list[Collector]:
    """Every collector that there is, in the order in which they run: the light ones first."""
    return [HostCollector(procfs, sysfs), CgroupCollector(procfs, sysfs, cgroupfs), ProcessCollector(procfs)]
