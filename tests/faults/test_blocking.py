"""Files that block: the scrape answers in its time with everything else, and none is tried again while it blocks."""

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from faults.faulty import (
    ERRORS,
    FIXTURES,
    KEPT,
    KERNELS,
    STUCK,
    SUCCESS,
    Faulty,
    FaultyOs,
    blocking,
    values,
    watch_everything,
)
from support.daemon import until
from support.page import Page, of, series

TIMEOUT = 5.0
"""Seconds that the scrape has: the least that the exporter takes a client's word for."""


class Case(NamedTuple):
    """A file that blocks, and one whose refusal would cost as much."""

    file: str
    collector: str
    instead: str
    of_a_process: bool


CASES = [
    Case("proc/[0-9]*/smaps_rollup", "process", "smaps_rollup", True),
    Case("proc/[0-9]*/cmdline", "process", "stat", True),
    Case("cgroup/**/lab/db/memory.stat", "cgroup", "", False),
    Case("proc/vmstat", "host", "vmstat", False),
    Case("proc/meminfo", "host", "meminfo", False),
]


class Bench:
    """One kernel, files of which block and come back."""

    def __init__(self, kernel: str, faulty: FaultyOs) -> None:
        self.os = faulty
        self._kernel = kernel
        self._uptime = str(FIXTURES / kernel / "proc/uptime")
        self.anew()

    def anew(self) -> None:
        """Another exporter, which has seen nothing yet."""
        self.os.faults.clear()
        self._service = Faulty(self._kernel, self.os, watch_everything())
        self._seconds = float(Path(self._uptime).read_text().split()[0])

    def path(self, pattern: str) -> str:
        """A file that the exporter asks for."""
        root = FIXTURES / self._kernel
        return next(str(path) for path in sorted(root.glob(pattern)) if str(path) in self.os.asked)

    def page(self) -> Page:
        self._seconds += 1
        self.os.faults[self._uptime] = b"%.2f 1.00\n" % self._seconds
        start = time.monotonic()
        page = self._service.page(timeout=TIMEOUT)
        assert time.monotonic() - start < TIMEOUT
        return page


def without(page: Page, less: Page) -> Page:
    """What a page and one that lacks something have in common."""
    return {key: value for key, value in values(page).items() if less.get(key) == value}


def timeouts(page: Page) -> float:
    return sum(value for key, value in of(page, ERRORS).items() if 'reason="timeout"' in key)


@pytest.mark.parametrize(
    "cases", [*[[case] for case in CASES], CASES], ids=lambda cases: f"{len(cases)} of {cases[0].file}"
)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_file_that_blocks_costs_what_it_says_and_nothing_else(
    kernel: str, cases: Sequence[Case], faulty_os: FaultyOs, tmp_path: Path
) -> None:
    bench = Bench(kernel, faulty_os)
    whole = bench.page()
    paths = {case: bench.path(case.file) for case in cases}
    bench.anew()
    bench.os.faults |= {
        os.path.join(os.path.dirname(path), case.instead).rstrip("/"): OSError(errno.EIO, "")
        for case, path in paths.items()
    }
    others = without(whole, bench.page())
    assert len(others) > len(values(whole)) / 3

    bench.anew()
    with blocking(tmp_path) as wait:
        bench.os.opened.clear()
        bench.os.faults |= dict.fromkeys(paths.values(), wait)
        for scrape in range(1, 4):
            page = bench.page()
            # In the first one a smaps_rollup that blocks uses up the time for the others, which come with the next.
            if scrape > 1 or not any("smaps" in case.file for case in cases):
                assert {key: page.get(key) for key in others} == others
            # A smaps_rollup may come late; it is an error where it hasn't by the next scrape.
            assert timeouts(page) == sum(scrape - ("smaps" in case.file) for case in cases if case.of_a_process)
            for name in "process", "cgroup", "host":
                mine = [case for case in cases if case.collector == name]
                assert page[series(STUCK, collector=name)] == len(mine)
                assert page[series(SUCCESS, collector=name)] == all(case.of_a_process for case in mine)
        assert {bench.os.opened[path] for path in paths.values()} == {1}
        for path in paths.values():
            del bench.os.faults[path]
    until(lambda: not sum(of(bench.page(), STUCK).values()), "all have come back")
    mended = values(bench.page())
    assert mended.keys() == values(whole).keys()
    # What a process did before it was known who it is, isn't counted.
    assert {key for key in mended if mended[key] != whole[key] and not KEPT.match(key)} == set()
