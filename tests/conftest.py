"""What the tests that use this machine's kernel have in common: an exporter, and what is borrowed from the machine.

A fixture that borrows gives back, whatever becomes of the test.
"""

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest
from kernel import borrow
from kernel.cgroups import Cgroup, Hierarchy
from support import ordinary
from support.child import Child
from support.exporter import Exporter, exporter
from support.needs import allowed, missing

HUGE_PAGES = 8
_number = itertools.count(1)


class StartExporter(Protocol):
    def __call__(self, config: str | None, *flags: str, user: int | None = None, hidepid: bool = False) -> Exporter: ...


class StartChild(Protocol):
    def __call__(self, name: str | bytes, cgroup: Cgroup | None = None) -> Child: ...


@pytest.fixture
def start_exporter(tmp_path: Path) -> Iterator[StartExporter]:
    """Start an exporter with a configuration; at the end of the test it must end well, with no traceback in its log."""
    with ExitStack() as stack:

        def start(config: str | None, *flags: str, user: int | None = None, hidepid: bool = False) -> Exporter:
            directory = tmp_path / f"exporter-{next(_number)}"
            directory.mkdir()
            if user is None:
                return stack.enter_context(exporter(directory, config, *flags))
            procfs = directory / "proc"
            if hidepid:
                procfs.mkdir()
                flags = (f"--path.procfs={procfs}", *flags)
            command = ordinary.command(directory, user=user, hidepid_at=procfs if hidepid else None)
            return stack.enter_context(exporter(directory, config, *flags, command=command))

        yield start


@pytest.fixture
def start_child() -> Iterator[StartChild]:
    """Start a process that does what the test tells it."""
    with ExitStack() as stack:

        def start(name: str | bytes, cgroup: Cgroup | None = None) -> Child:
            child = Child(name, cgroup.directory / "cgroup.procs" if cgroup else None)
            stack.callback(child.end)
            return child

        yield start


@pytest.fixture
def root() -> None:
    if os.geteuid() != 0:
        missing("root")


@pytest.fixture
def swap() -> Iterator[None]:
    with allowed("swap", borrow.swap()):
        yield


@pytest.fixture
def huge_pages() -> Iterator[None]:
    """Have a pool of huge pages of the default size, with HUGE_PAGES free ones at least."""
    with allowed("huge pages", borrow.hugepages(HUGE_PAGES)):
        free = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "HugePages_Free" in line)
        if int(free.split()[1]) < HUGE_PAGES:
            missing(f"{HUGE_PAGES} free huge pages (the kernel found no room for them)")
        yield


@pytest.fixture
def delay_accounting() -> Iterator[None]:
    """Have delays accounted for, of the processes that are started from here on."""
    with allowed("the right to account for delays", borrow.delay_accounting()):
        yield


@contextmanager
def memory_cgroup() -> Iterator[Cgroup]:
    hierarchy = Hierarchy.of_this_machine()
    try:
        yield hierarchy.make(f"/vmem-test-{os.getpid()}-{next(_number)}")
    finally:
        hierarchy.remove_all()


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    """A memory cgroup of its own, with no limit. To be asked for before the processes that go into it."""
    with allowed("the right to make a memory cgroup", memory_cgroup()) as made:
        yield made
