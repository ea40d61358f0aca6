"""A captured kernel whose files are damaged, refuse or block as a test wants, under the whole exporter.

The faults are put in at the one place that opens kernel files: exporter.kernel.read sees this module's `os`.
"""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.daemon import PATIENCE
from support.needs import full
from support.page import Page, parsed, series

from exporter.collectors import build
from exporter.config import Config, load
from exporter.kernel import read
from exporter.service import Service

TESTS = Path(__file__).parents[1]
FIXTURES = TESTS / "fixtures"
KERNELS = ("6.1-v2", "6.18-hybrid")

OF_THE_RUN = re.compile(r"process_|python_info|vmem_exporter_|vmem_scrape_collector_duration|.*smaps_age")
ERRORS = "vmem_process_read_errors_total"
KEPT = re.compile(r"vmem_(?:process|cgroup)_\w+_total\{")
"""Counters that are the exporter's own sums. Those of the host are the kernel's, whatever it says."""

SUCCESS = "vmem_scrape_collector_success"
STUCK = "vmem_scrape_collector_stuck_readings"
GROUP = re.compile(r'[{,]group="[^"]*"')

Fault = bytes | OSError | Callable[[], Any]
"""What a file says instead, the error that it gives, or what is done before it is opened."""


class FaultyOs:
    """The module os, but for the files that have a fault."""

    def __init__(self) -> None:
        self.faults: dict[str, Fault] = {}
        self.when_read: dict[str, OSError] = {}
        """Files that can be opened, and then not be read."""
        self.asked: dict[str, str] = {}
        """The paths that were asked for since the start, and by what call."""
        self.opened: dict[str, int] = {}
        """How often each was."""
        self._paths: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _ask(self, path: str, call: str) -> None:
        self.asked.setdefault(path, call)
        self.opened[path] = self.opened.get(path, 0) + 1
        fault = self.faults.get(path)
        if isinstance(fault, OSError):
            raise fault
        if callable(fault):
            fault()

    def open(self, path: str, flags: int, *, dir_fd: int | None = None) -> int:
        whole = path if dir_fd is None else f"{self._paths[dir_fd]}/{path}"
        self._ask(whole, "directory" if flags & os.O_DIRECTORY else "file")
        fault = self.faults.get(whole)
        if isinstance(fault, bytes):
            fd = os.memfd_create("damaged")
            os.pwrite(fd, fault, 0)
        else:
            fd = os.open(path, flags, dir_fd=dir_fd)
        self._paths[fd] = whole
        return fd

    def read(self, fd: int, length: int) -> bytes:
        self._fail_if_told(fd)
        return os.read(fd, length)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self._fail_if_told(fd)
        return os.pread(fd, length, offset)

    def _fail_if_told(self, fd: int) -> None:
        if error := self.when_read.get(self._paths.get(fd, "")):
            raise error

    def close(self, fd: int) -> None:
        self._paths.pop(fd, None)
        os.close(fd)

    def listdir(self, path: str) -> list[str]:
        self._ask(path, "listing")
        return os.listdir(path)

    def scandir(self, path: str) -> Any:
        self._ask(path, "listing")
        return os.scandir(path)

    def stat(self, path: str) -> os.stat_result:
        self._ask(path, "stat")
        return os.stat(path)

    def readlink(self, path: str) -> str:
        self._ask(path, "link")
        return os.readlink(path)


class Faulty:
    """One captured kernel, a service over it, and the faults."""

    def __init__(self, kernel: str, faulty: FaultyOs, config: Config, keep_open: int = 0) -> None:
        self.os = faulty
        self.root = FIXTURES / kernel
        procfs, sysfs, cgroupfs = (str(self.root / part) for part in ("proc", "sys", "cgroup"))
        self.service = Service(build(procfs, sysfs, cgroupfs, keep_open), lambda: config)

    def page(self, *, only: Sequence[str] = (), timeout: float = 10.0) -> Page:
        """The samples of a scrape, less what the run itself decides."""
        page = parsed(self.service.page(only, timeout=timeout))
        return {key: value for key, value in page.items() if not OF_THE_RUN.match(key)}

    def files(self) -> dict[str, list[str]]:
        """The kernel files that a scrape of everything asks for, by kind: what they are called but for pid and path."""
        kinds: dict[str, list[str]] = {}
        for path, call in sorted(self.os.asked.items()):
            if call == "file":
                kinds.setdefault(kind_of(path, self.root), []).append(path)
        return kinds


def kind_of(path: str, root: Path) -> str:
    """proc/stat, proc/PID/stat, cgroup/…/memory.stat, sys/…: files of one kind are read by one piece of code.

    In the full run those of one number each, which are all read alike, are a kind each.
    """
    name = path.removeprefix(f"{root}/")
    name = re.sub(r"^proc/[0-9]+/", "proc/PID/", name)
    name = re.sub(r"^cgroup/.*/", "cgroup/…/", name)
    name = re.sub(r"(hugepages-|node)[0-9]+(?:kB)?/", r"\1N/", name)
    return name if full() else re.sub(r"(sys/vm|hugepages-N|stats|ksm|khugepaged)/\w[^/]*$", r"\1/…", name)


def collector_of(kind: str) -> str:
    if kind.startswith("cgroup/"):
        return "cgroup"
    return "process" if kind.startswith(("proc/PID/", "proc/stat", "proc/uptime", "proc/loadavg")) else "host"


class Bench:
    """One kernel under one collector, damaged and mended again and again."""

    def __init__(self, kernel: str, faulty: FaultyOs, name: str, keep_open: int = 0) -> None:
        self.kernel = Faulty(kernel, faulty, watch_everything(), keep_open)
        self.faults, self.when_read = faulty.faults, faulty.when_read
        self.only = [name]
        self._uptime = str(self.kernel.root / "proc/uptime")
        self._seconds = float(Path(self._uptime).read_text().split()[0])

    def page(self, fault: dict[str, bytes | OSError] | None = None) -> Page:
        # A process that could not be read is looked at again after a minute.
        self._seconds += 100
        self.faults.clear()
        self.faults.update({self._uptime: b"%.2f 1.00\n" % self._seconds, **(fault or {})})
        return self.kernel.page(only=self.only)


def watch_everything() -> Config:
    """A configuration that asks for all that there is to read."""
    return load(str(TESTS / "faults/config.yaml"))


@pytest.fixture
def faulty_os(monkeypatch: pytest.MonkeyPatch) -> FaultyOs:
    made = FaultyOs()
    monkeypatch.setattr(read, "os", made)
    return made


def fell(page: Page, before: Page) -> list[str]:
    """The counters that went backwards."""
    return [key for key, value in page.items() if KEPT.match(key) and value < before.get(key, 0)]


def errors(page: Page) -> float:
    """How often a process could not be read, whatever the group and the reason."""
    return sum(value for key, value in page.items() if key.startswith(ERRORS))


def values(page: Page) -> Page:
    """What a page says of the kernel."""
    return {key: value for key, value in page.items() if not key.startswith((ERRORS, SUCCESS, STUCK))}


def success(page: Page, collector: str) -> float:
    return page[series(SUCCESS, collector=collector)]


@contextmanager
def blocking(folder: Path) -> Iterator[Callable[[], None]]:
    """Something that waits in the kernel, as a read of a FIFO without a writer does, until the context ends."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    waiting: set[int] = set()

    def wait() -> None:
        waiting.add(threading.get_ident())
        os.close(os.open(fifo, os.O_RDONLY))
        waiting.discard(threading.get_ident())

    try:
        yield wait
    finally:
        give_up = time.monotonic() + PATIENCE
        while waiting and time.monotonic() < give_up:
            # A reader that waits is let go by a writer that comes.
            with suppress(OSError):
                os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
            time.sleep(0.01)
