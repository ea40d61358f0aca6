"""Collectors: one file for each family of metrics. A new one is a module here and a line in `build`."""

from __future__ import annotations

import resource
from typing import Protocol

from exporter.collectors.cgroup import CgroupCollector
from exporter.collectors.host import HostCollector
from exporter.collectors.page import Page
from exporter.collectors.process import ProcessCollector
from exporter.config import Config

DESCRIPTORS_RESERVED = 640
"""Descriptors for connections, for the reads of one scrape, and for Python."""

MOST_KEPT_OPEN = 6000
"""Processes whose files are kept open at the most, for 50 MB of kernel memory."""


class Collector(Protocol):
    """Fills a page. What it raises costs the page; what it notes in `page.failures` costs the samples concerned.

    `stuck` says how many of its readings have not come back from the kernel.
    """

    @property
    def name(self) -> str: ...
    @property
    def stuck(self) -> int: ...
    def collect(self, page: Page, config: Config) -> None: ...


def build(procfs: str, sysfs: str, cgroupfs: str | None, keep_open: int) -> list[Collector]:
    """Every collector that there is, in the order in which they run: the light ones first."""
    return [
        HostCollector(procfs, sysfs),
        CgroupCollector(procfs, sysfs, cgroupfs),
        ProcessCollector(procfs, cgroupfs, keep_open),
    ]


def keep_open_default() -> int:
    """Of how many processes the files are kept open: two each, from what RLIMIT_NOFILE leaves beside a reserve.

    Each pair costs some 8.5 kB of kernel memory, so that there is a bound where there is no limit.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(0, min((soft - DESCRIPTORS_RESERVED) // 2, MOST_KEPT_OPEN)) if soft >= 0 else MOST_KEPT_OPEN
