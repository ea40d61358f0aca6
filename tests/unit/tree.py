"""A /proc on disk that a test changes at will, written from a process that was captured on a real kernel."""

import re
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

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
        self.process(1, b"init", starttime=1)

    @property
    def path(self) -> str:
        return str(self.root)

    def uptime(self, seconds: float) -> None:
        (self.root / "uptime").write_text(f"{seconds:.2f} {seconds:.2f}\n")

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
        """Write a process, or write it anew. Values are set by the names of proc(5), or by the keys of status."""
        folder = self.root / str(pid)
        folder.mkdir(exist_ok=True)
        fields = list(_STAT)
        if kernel_thread:
            values["flags"] = PF_KTHREAD
        for name in values.keys() & STAT_PLACES.keys():
            fields[STAT_PLACES[name] - 3] = b"%d" % values[name]
        if zombie:
            fields[0] = b"Z"
        (folder / "stat").write_bytes(b"%d (%b) %b\n" % (pid, comm, b" ".join(fields)))
        (folder / "status").write_bytes(_status(pid, comm, uid, zombie or kernel_thread, values))
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
