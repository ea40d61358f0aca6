"""What the kernel says of processes, read by the test itself and worded as the exporter must word it.

Nothing here comes from the package under test.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from support.page import Page, series

TICKS = os.sysconf("SC_CLK_TCK")

KIB = 1 << 10
MIB = 1 << 20

SUMS = {
    "virtual": "VmSize",
    "resident": "VmRSS",
    "swap": "VmSwap",
    "locked": "VmLck",
    "pinned": "VmPin",
    "data": "VmData",
    "stack": "VmStk",
    "text": "VmExe",
    "library": "VmLib",
    "page_table": "VmPTE",
    "hugetlb": "HugetlbPages",
}
LARGEST = {"resident_largest": "VmRSS", "swap_largest": "VmSwap", "virtual_peak": "VmPeak", "resident_peak": "VmHWM"}
PARTS = {"anon": "RssAnon", "file": "RssFile", "shmem": "RssShmem"}


def status(pid: int) -> dict[str, int]:
    """The numbers of /proc/PID/status: sizes in KiB; a key that isn't a number is left out."""
    lines = Path(f"/proc/{pid}/status").read_bytes().splitlines()
    pairs = [line.partition(b":") for line in lines]
    return {
        key.decode("ascii", "replace"): int(value.split()[0])
        for key, _, value in pairs
        if value.split() and value.split()[0].isdigit()
    }


def stat(pid: int) -> list[int]:
    """The numbers of /proc/PID/stat, each at its place in proc(5); the three that are none are 0."""
    behind_name = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return [0, 0, 0, 0, *map(int, behind_name[1:])]


def major_faults(pid: int) -> int:
    return stat(pid)[12]


def open_files(pid: int) -> list[str]:
    """What its descriptors are of."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.append(os.readlink(link))
    return sorted(found)


def boot_time() -> int:
    return next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line[:5] == "btime")


def group(name: str, *pids: int) -> Page:
    """Every sample of a group of these processes, without options, that were all met at birth."""
    statuses, stats = [status(pid) for pid in pids], [stat(pid) for pid in pids]
    with_memory = [each for each in statuses if "VmSize" in each]

    def total(key: str) -> int:
        return sum(each.get(key, 0) for each in statuses)

    page = {
        "count": len(pids),
        "threads": sum(each[20] for each in stats),
        "minor_page_faults_total": sum(each[10] for each in stats),
        "major_page_faults_total": sum(each[12] for each in stats),
        "oldest_start_time_seconds": boot_time() + min(each[22] for each in stats) / TICKS,
    }
    if with_memory:
        page |= {f"{metric}_bytes": total(key) * KIB for metric, key in SUMS.items()}
        page |= {f"{metric}_bytes": max(each[key] for each in with_memory) * KIB for metric, key in LARGEST.items()}
    found = {series(f"vmem_process_{metric}", group=name): float(value) for metric, value in page.items()}
    labelled = [("cpu_seconds_total", {"mode": "user"}, sum(each[14] for each in stats) / TICKS)]
    labelled += [("cpu_seconds_total", {"mode": "system"}, sum(each[15] for each in stats) / TICKS)]
    for kind, key in ("voluntary", "voluntary_ctxt_switches"), ("involuntary", "nonvoluntary_ctxt_switches"):
        labelled += [("context_switches_total", {"kind": kind}, total(key))]
    if with_memory:
        labelled += [("resident_part_bytes", {"part": part}, total(key) * KIB) for part, key in PARTS.items()]
    found |= {series(f"vmem_process_{name_}", group=name, **labels): value for name_, labels, value in labelled}
    return found


def while_still(read: Callable[[], Page], scrape: Callable[[], Page]) -> tuple[Page, Page]:
    """The kernel's numbers, and a scrape during which they did not change."""
    before = read()
    for _ in range(50):
        page, after = scrape(), read()
        if before == after:
            return after, page
        before = after
    raise AssertionError(f"the kernel's numbers never stood still: {before}")
