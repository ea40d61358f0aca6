"""A process that does with its memory what a test tells it, and tells when it is done.

As a program it takes a name, which becomes its comm, and maybe the cgroup.procs of a cgroup to enter first; then it
runs one line of Python after the other, and answers each with "ok" or the error. Between them it sleeps in a read:
what the kernel says of it stands still.
"""

import ctypes
import mmap
import os
import select
import subprocess
import sys

PAGE = mmap.PAGESIZE
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
MAP_HUGETLB = 0x40000  # <linux/mman.h>; the standard library does not name it
PATIENCE = 60  # seconds that one line may take, swapping


def memory(size: int, flags: int = 0) -> mmap.mmap:
    """A new private mapping, in small pages: one page fault for each page that is touched."""
    mapping = mmap.mmap(-1, size, flags=PRIVATE | flags)
    if not flags & MAP_HUGETLB:
        mapping.madvise(mmap.MADV_NOHUGEPAGE)
    return mapping


def touch(mapping: mmap.mmap, step: int = PAGE) -> None:
    """Write to every page."""
    for at in range(0, len(mapping), step):
        mapping[at] = at // step % 255 + 1


def lock(mapping: mmap.mmap) -> None:
    """Lock a mapping into RAM. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(mapping))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def read_file(path: str) -> None:
    """Map a file, read each page of it at random as far as the kernel knows, and let it go."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapping:
        mapping.madvise(mmap.MADV_RANDOM)
        for at in range(0, len(mapping), PAGE):
            mapping[at]


class Child:
    """The process, from the side of the test."""

    def __init__(self, name: str | bytes, cgroup_procs: str | os.PathLike[str] | None = None) -> None:
        """Start it. `name` has 15 bytes at most."""
        arguments = [os.fsencode(name)] + ([os.fsencode(cgroup_procs)] if cgroup_procs else [])
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._answered("start")

    def run(self, line: str) -> None:
        """Have it run one line of Python. Raises OSError with the error that it met."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._answered(line)

    def _answered(self, line: str) -> None:
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], PATIENCE)[0]:
            raise TimeoutError(f"{line}: no answer in {PATIENCE} seconds")
        answer = output.readline().decode().strip()
        if answer != "ok":
            raise OSError(f"{line}: {answer or 'it died'}")

    def end(self) -> None:
        """Kill it, and be done with it."""
        self._process.kill()
        self._process.communicate()


def main() -> None:
    if sys.argv[2:]:
        with open(sys.argv[2], "w") as procs:
            procs.write("0")
    with open("/proc/self/comm", "wb") as comm:
        comm.write(os.fsencode(sys.argv[1]))
    print("ok", flush=True)
    for line in sys.stdin:
        try:
            exec(line, globals())
            print("ok", flush=True)
        except Exception as error:  # the test is told of it
            print(f"{type(error).__name__}: {error}", flush=True)


if __name__ == "__main__":
    main()
