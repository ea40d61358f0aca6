"""A /proc on disk that a test changes at will, written from a process that a real kernel showed."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.page import parsed, series

from exporter.collectors.page import Page
from exporter.collectors.process import ProcessCollector
from exporter.config import parse
from exporter.exposition import render
from exporter.watch.groups import REASONS

FIXTURES = Path(__file__).parents[1] / "fixtures"
KERNELS = ("6.1-v2", "6.18-hybrid")
HZ = 100
PF_KTHREAD = 0x00200000

# Where proc(5) has the fields of stat that tests set.
STAT_PLACES = {
    "flags": 9,
    "minflt": 10,
    "majflt": 12,
    "utime": 14,
    "stime": 15,
    "num_threads": 20,
    "starttime": 22,
    "start_stack": 28,
}

BY_COMM = "processes: [{name: '{comm}'}]"
AB = "processes: [{name: ab, comm: [a, b]}, {name: c, comm: [c]}]"
BOTH = pytest.mark.parametrize("keep_open", [0, 100], ids=["opened each time", "kept open"])

_CAPTURED = FIXTURES / "6.18-hybrid/proc/21419"
_STAT = (_CAPTURED / "stat").read_bytes().rpartition(b")")[2].split()
_STATUS = (_CAPTURED / "status").read_bytes()
_SIZES = re.compile(rb"^(?:Vm|Rss|Hugetlb|CoreDumping|THP_|untag_)[^\n]*\n", re.M)


class Tree:
    """What the exporter takes for /proc. Process 1 is in it from the start, the clock stands at 1000 s."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        shutil.copy(FIXTURES / "6.18-hybrid/proc/stat", root / "stat")
        self.uptime(1000.0)
        self.last_pid(1)
        self.process(1, b"init", starttime=1)

    @property
    def path(self) -> str:
        return str(self.root)

    def uptime(self, seconds: float) -> None:
        (self.root / "uptime").write_text(f"{seconds:.2f} {seconds:.2f}\n")

    def last_pid(self, pid: int) -> None:
        """The kernel has given out this pid last."""
        (self.root / "loadavg").write_text(f"0.00 0.00 0.00 1/100 {pid}\n")

    def process(
        self,
        pid: int,
        comm: bytes = b"watched",
        argv: Sequence[bytes] = (),
        *,
        cgroup: str = "/",
        exe: str = "",
        uid: int = 0,
        zombie: bool = False,
        kernel_thread: bool = False,
        **values: int,
    ) -> Path:
        """Write a process, or write it anew. Values are set by the names of proc(5), or by the keys of status.

        It has run since 5 s after boot, if nothing else is said.
        """
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        fields = list(_STAT)
        if kernel_thread:
            values["flags"] = PF_KTHREAD
        values.setdefault("starttime", 5 * HZ)
        for name in values.keys() & STAT_PLACES.keys():
            fields[STAT_PLACES[name] - 3] = b"%d" % values[name]
        if zombie:
            fields[0] = b"Z"
        (folder / "stat").write_bytes(b"%d (%b) %b\n" % (pid, comm, b" ".join(fields)))
        status = _status(pid, comm, uid, zombie or kernel_thread, values)
        (folder / "status").write_bytes(status)
        (folder / "statm").write_bytes(_statm(status))
        (folder / "cmdline").write_bytes(b"" if zombie or kernel_thread else b"".join(arg + b"\0" for arg in argv))
        (folder / "cgroup").write_bytes(b"1:name=systemd:/\n0::%b\n" % cgroup.encode())
        link = folder / "exe"
        link.unlink(missing_ok=True)
        if exe:
            link.symlink_to(exe)
        return folder

    def remove(self, pid: int) -> None:
        shutil.rmtree(self.root / str(pid))


def _status(pid: int, comm: bytes, uid: int, no_memory: bool, values: dict[str, int]) -> bytes:
    text = _SIZES.sub(b"", _STATUS) if no_memory else _STATUS
    # The kernel escapes these two bytes here, and no others.
    name = comm.replace(b"\\", rb"\\").replace(b"\n", rb"\n")
    text = text.replace(b"Name:\ttouched\n", b"Name:\t%b\n" % name, 1)
    text = text.replace(b"\nPid:\t21419\n", b"\nPid:\t%d\n" % pid, 1)
    text = text.replace(b"\nUid:\t0\t0\t0\t0\n", b"\nUid:\t%d\t%d\t%d\t%d\n" % (uid, uid, uid, uid), 1)
    for key in values.keys() - STAT_PLACES.keys():
        text, found = re.subn(rb"(?m)^(%b:\s+)\d+" % key.encode(), rb"\g<1>%d" % values[key], text)
        assert found == 1, f"{key} is not a key of status"
    return text


def _statm(status: bytes) -> bytes:
    """The same in pages of 4 KiB: the whole, what is resident, and five numbers that nothing here asks for."""
    pages = [int(size) // 4 for size in re.findall(rb"(?m)^Vm(?:Size|RSS):\s+(\d+)", status)] or [0, 0]
    return b"%d %d 0 0 0 0 0\n" % tuple(pages)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Be one, as far as files are concerned: root may read them all."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


_when_opened: dict[str, Callable[[], None]] = {}
_hooked = False


def when_opened(path: Path, action: Callable[[], None]) -> None:
    """Do something once, just before this file is opened for the next time: what a race does, at will."""
    global _hooked
    _when_opened[str(path)] = action
    if not _hooked:
        _hooked = True
        sys.addaudithook(_on_event)


def _on_event(event: str, arguments: tuple[object, ...]) -> None:
    if _when_opened and event == "open" and (action := _when_opened.pop(str(arguments[0]), None)):
        action()


class Watch:
    """The collector of processes over a tree, under a configuration that may be changed."""

    def __init__(self, tree: Tree, config: str, keep_open: int = 0) -> None:
        self.collector = ProcessCollector(tree.path, None, keep_open)
        self.config = parse(config.encode(), "config.yaml")

    def reload(self, config: str) -> None:
        self.config = parse(config.encode(), "config.yaml")

    def scrape(self) -> "Shown":
        page = Page()
        self.collector.collect(page, self.config)
        assert page.failures == []
        return Shown(parsed(render(page.families)))


class Shown(dict[str, float]):
    """The samples of one scrape, by series."""

    def of(self, group: str, metric: str, **labels: str) -> float | None:
        """The value of vmem_process_<metric> of a group, None where there is no such sample."""
        return self.get(series(f"vmem_process_{metric}", group=group, **labels))

    def counters(self, group: str) -> list[float | None]:
        """What a group has counted: minor and major faults, user and system time, the switches."""
        return [
            self.of(group, "minor_page_faults_total"),
            self.of(group, "major_page_faults_total"),
            self.of(group, "cpu_seconds_total", mode="user"),
            self.of(group, "cpu_seconds_total", mode="system"),
            self.of(group, "context_switches_total", kind="voluntary"),
            self.of(group, "context_switches_total", kind="involuntary"),
        ]

    @property
    def counts(self) -> dict[str, int]:
        """How many processes each group has; labels behind the name are left out."""
        found = {}
        for key, value in self.items():
            if match := re.fullmatch(r'vmem_process_count\{.*?group="(.*?)".*\}', key, re.S):
                found[match[1]] = int(value)
        return found

    def errors(self, group: str) -> dict[str, float]:
        """The reasons for which processes of a group could not be read, as often as they could not."""
        found = {reason: self.of(group, "read_errors_total", reason=reason) for reason in REASONS}
        return {reason: count for reason, count in found.items() if count}
