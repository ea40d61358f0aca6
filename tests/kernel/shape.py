"""A process with a memory shape that is known beforehand.

    python3 shape.py STEP...        then more steps, one a line, on standard input

It says "ok" when it has started, and answers each step with one line, "ok" or "refused: <why>". It goes when its
input ends.
A step is NAME=VALUE. Sizes are bytes, or have a suffix K, M or G:

    lazy=64M     mapped and never touched: grows VmSize, not VmRSS
    anon=16M     private and written to, every page different, so that no kernel can merge or skip it
    shared=4M    shared anonymous memory, written to: RssShmem
    file=1M      that much of the interpreter's own files, mapped and read: RssFile
    locked=8M    private, and locked into memory: VmLck
    hugetlb=4M   pages of the reserved pool: HugetlbPages
    thp=8M       private, asked to be made of transparent huge pages
    again=all    write once more to all that was written to: what had been swapped out comes back by major faults
    free=all     give back everything that the steps before took
    threads=3    that many more threads
    zombie=1     that many children that exited and that nobody waits for
    uid=65534    become another user
    comm=6129    the process's name, as hexadecimal bytes, since a name may hold any byte but NUL
    note=text    nothing: it is there to stand in the command line
"""

import itertools
import mmap
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

PAGE = mmap.PAGESIZE
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
MAP_HUGETLB = 0x40000  # <linux/mman.h>; the standard library does not name it

held: list[mmap.mmap] = []
written: list[mmap.mmap] = []


def size(text: str) -> int:
    """Bytes meant by a number with an optional suffix K, M or G."""
    power = "KMG".find(text[-1]) + 1
    return int(text[:-1] if power else text) << 10 * power


def take(length: int, flags: int = PRIVATE) -> mmap.mmap:
    """A new mapping of this many bytes, held until the step "free"."""
    memory = mmap.mmap(-1, length, flags=flags)
    held.append(memory)
    return memory


def touch(memory: mmap.mmap) -> None:
    """Write to every page, with bytes that differ from page to page."""
    for offset in range(0, len(memory), PAGE):
        memory[offset : offset + 8] = (offset + 1).to_bytes(8, "little")
    if memory not in written:
        written.append(memory)


def lazy(value: str) -> None:
    take(size(value))


def anon(value: str) -> None:
    memory = take(size(value))
    memory.madvise(mmap.MADV_NOHUGEPAGE)  # one fault a page, and no page more than asked
    touch(memory)


def shared(value: str) -> None:
    touch(take(size(value), mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))


def file(value: str) -> None:
    """Map whole pages of the standard library's sources: files that are there wherever this runs."""
    wanted = size(value)
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        length = min(wanted, path.stat().st_size) // PAGE * PAGE
        if length:
            with path.open("rb") as source:
                memory = mmap.mmap(source.fileno(), length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
            held.append(memory)
            for offset in range(0, length, PAGE):
                memory[offset]
            wanted -= length
    if wanted >= PAGE:
        raise ValueError(f"the standard library is {wanted} bytes too short")


def locked(value: str) -> None:
    import ctypes  # costs memory of its own: only for the process that needs it

    memory = take(size(value))
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(memory))) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def hugetlb(value: str) -> None:
    memory = take(size(value), PRIVATE | MAP_HUGETLB)
    touch(memory)


def thp(value: str) -> None:
    memory = take(size(value))
    memory.madvise(mmap.MADV_HUGEPAGE)
    touch(memory)


def again(_: str) -> None:
    for memory in written:
        touch(memory)


def free(_: str) -> None:
    written.clear()
    while held:
        held.pop().close()


def threads(value: str) -> None:
    for _ in range(int(value)):
        threading.Thread(target=threading.Event().wait, daemon=True).start()


def zombie(value: str) -> None:
    for _ in range(int(value)):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)


def uid(value: str) -> None:
    os.setgroups([])
    os.setresgid(int(value), int(value), int(value))
    os.setresuid(int(value), int(value), int(value))


def comm(value: str) -> None:
    Path("/proc/self/comm").write_bytes(bytes.fromhex(value))


def note(_: str) -> None:
    pass


STEPS: dict[str, Callable[[str], None]] = {
    step.__name__: step
    for step in (lazy, anon, shared, file, locked, hugetlb, thp, again, free, threads, zombie, uid, comm, note)
}


def main() -> None:
    print("ok", flush=True)
    for line in itertools.chain(sys.argv[1:], sys.stdin):
        name, _, value = line.strip().partition("=")
        try:
            STEPS[name](value)
            answer = "ok"
        except (OSError, ValueError) as error:
            answer = f"refused: {error}"
        print(answer, flush=True)


if __name__ == "__main__":
    main()
