"""Swap, huge pages and delay accounting, taken from the machine that this runs on and given back."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SWAPFILE = Path("/swapfile")
TASK_DELAYACCT = Path("/proc/sys/kernel/task_delayacct")
NR_HUGEPAGES = Path("/proc/sys/vm/nr_hugepages")


@contextmanager
def swap(mebibytes: int = 256) -> Iterator[None]:
    """Have swap, for a while; none is added where there is some. OSError or CalledProcessError without the right to."""
    if len(Path("/proc/swaps").read_text().splitlines()) > 1:
        yield
        return
    SWAPFILE.touch(mode=0o600, exist_ok=False)
    try:
        for command in (["fallocate", "-l", f"{mebibytes}M"], ["mkswap", "-q"], ["swapon"]):
            subprocess.run([*command, str(SWAPFILE)], check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(["swapoff", str(SWAPFILE)], check=True)
    finally:
        SWAPFILE.unlink()


@contextmanager
def hugepages(count: int = 8) -> Iterator[None]:
    """Have at least so many huge pages of the default size in the pool, for a while."""
    before = int(NR_HUGEPAGES.read_text())
    NR_HUGEPAGES.write_text(str(max(before, count)))
    try:
        yield
    finally:
        NR_HUGEPAGES.write_text(str(before))


@contextmanager
def delay_accounting() -> Iterator[None]:
    """Have the kernel account for delays, for a while. OSError without the right to."""
    before = TASK_DELAYACCT.read_text()
    TASK_DELAYACCT.write_text("1")
    try:
        yield
    finally:
        TASK_DELAYACCT.write_text(before)
