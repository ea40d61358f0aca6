"""The exporter's own process, under the client library's names.

The library's collector lists /proc/self/fd to count the descriptors, which with those that are kept open takes longer
than all the rest of it; the kernel tells their number for the asking since Linux 6.2.
"""

from __future__ import annotations

import resource
import time

from exporter.catalog import itself as catalog
from exporter.catalog.declare import KIB, TICKS
from exporter.collectors.page import Page
from exporter.kernel.read import listing, read, size
from exporter.kernel.stat import stat
from exporter.kernel.status import status
from exporter.kernel.uptime import boot_time

_SELF = "/proc/self"


def show_process(page: Page) -> None:
    """Add the families process_. Raises ParseError and Refused, and leaves out what comes behind."""
    page.add(catalog.CPU, (), time.process_time())
    page.add(catalog.MAX_FDS, (), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    page.add(catalog.OPEN_FDS, (), size(f"{_SELF}/fd") or len(listing(f"{_SELF}/fd")))
    sizes = status(read(f"{_SELF}/status") or b"\n", f"{_SELF}/status")
    for metric, kib in (catalog.VIRTUAL, sizes.vm_size), (catalog.RESIDENT, sizes.vm_rss):
        if kib is not None:
            page.add(metric, (), KIB(kib))
    boot = boot_time(read("/proc/stat") or b"", "/proc/stat")
    started = stat(read(f"{_SELF}/stat") or b"", f"{_SELF}/stat").starttime
    page.add(catalog.START_TIME, (), boot + TICKS(started))
