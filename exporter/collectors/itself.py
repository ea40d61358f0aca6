"""The exporter's own process, under the client library's names.

The library's collector lists /proc/self/fd to count the descriptors, which with those that are kept open takes longer
than all the rest of it; the kernel tells their number for the asking since Linux 6.2.
"""

from __future__ import annotations

import os
import resource
import time

from exporter.catalog import itself as catalog
from exporter.catalog.declare import PAGES, TICKS
from exporter.collectors.page import Page
from exporter.kernel.read import listing, read
from exporter.kernel.stat import stat
from exporter.kernel.uptime import boot_time

_SELF = "/proc/self"


def show_process(page: Page) -> None:
    """Add the families process_. Raises ParseError and Refused."""
    virtual, resident = (read(f"{_SELF}/statm") or b"0 0").split()[:2]
    page.add(catalog.VIRTUAL, (), PAGES(int(virtual)))
    page.add(catalog.RESIDENT, (), PAGES(int(resident)))
    boot = boot_time(read("/proc/stat") or b"", "/proc/stat")
    started = stat(read(f"{_SELF}/stat") or b"", f"{_SELF}/stat").starttime
    page.add(catalog.START_TIME, (), boot + TICKS(started))
    page.add(catalog.CPU, (), time.process_time())
    open_fds = os.stat(f"{_SELF}/fd").st_size or len(listing(f"{_SELF}/fd"))
    page.add(catalog.OPEN_FDS, (), open_fds)
    page.add(catalog.MAX_FDS, (), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
