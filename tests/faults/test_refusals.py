"""Every kernel file, directory and link that a scrape asks for, refused in every way: nothing else is lost.

What has gone is normal and silent. What is there and can't be read is counted, or the collector's success says so.
"""

import errno
import os
import re
from itertools import product

import pytest
from faults.faulty import GROUP, KERNELS, Bench, FaultyOs, errors, fell, kind_of, success, values
from support.needs import full
from support.page import Page

GONE = (errno.ENOENT, errno.ESRCH)
REFUSED = (errno.EACCES, errno.EIO)

BY_TURNS = (
    {(errno.ENOENT, "open"), (errno.EACCES, "read")},
    {(errno.ESRCH, "read"), (errno.EIO, "open")},
)
"""How a file is refused; in every way in the full run."""

NEEDED = re.compile(r".*/proc(/stat|/uptime)?")
"""Without the clocks no process has a start, without the list there is none: the collector says that it can't do it."""

SPARED = re.compile(r".*/proc/loadavg")
"""Without it more processes are looked at than need be, and nothing is lost."""

SUMS = ("vmem_cgroup_processes", "vmem_cgroup_count", "vmem_cgroup_effective_limit")
"""What is made of the files of several cgroups."""

UNTIL_SURE = 5
"""Scrapes after which each process has been looked at again."""


def asked(bench: Bench) -> list[tuple[str, str]]:
    """The paths that a scrape asks for in the captured tree, and the call: one of each kind, all in the full run."""
    root = bench.kernel.root
    found = sorted((path, call) for path, call in bench.kernel.os.asked.items() if path.startswith(f"{root}/"))
    kinds: dict[str, list[tuple[str, str]]] = {}
    for path, call in found:
        kinds.setdefault(call + kind_of(path, root), []).append((path, call))
    return found if full() else [paths[len(paths) // 2] for paths in kinds.values()]


def kept(name: str, path: str, whole: Page, without: Page) -> Page:
    """The samples that must be as they were, where this path can't be read. `without` lacks its process."""
    if name != "process":
        return {}
    lost = {found[0] for key in whole if whole[key] != without.get(key) and (found := GROUP.search(key))}
    return {k: v for k, v in values(whole).items() if not ((found := GROUP.search(k)) and found[0] in lost)}


@pytest.mark.parametrize("name", ["host", "cgroup", "process"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_path_that_is_refused_costs_what_it_says_and_nothing_else(
    kernel: str, name: str, faulty_os: FaultyOs
) -> None:
    bench = Bench(kernel, faulty_os, name)
    bench.page()
    bench.kernel.os.asked.clear()
    for _ in range(UNTIL_SURE):
        whole = bench.page()
    paths = asked(bench)
    assert len(paths) > {"host": 20, "cgroup": 20, "process": 10}[name]
    for place, (path, call) in enumerate(paths):
        gone = re.sub(r"(/proc/[0-9]+)/.*", r"\1/stat", path)
        must = kept(name, path, whole, bench.page({gone: OSError(errno.EIO, "")}) if gone != path else {})
        for number, when in product(GONE + REFUSED, ("open", "read") if call == "file" else ("open",)):
            if call == "file" and not full() and (number, when) not in BY_TURNS[place % 2]:
                continue
            if when == "read" and not os.path.exists(path):
                continue
            what = f"{call} {path}: {errno.errorcode[number]} at {when}"
            for _ in range(UNTIL_SURE if gone != path else 1):
                before = bench.page()
            bench.when_read.update({path: OSError(number, "")} if when == "read" else {})
            bench.kernel.os.opened.clear()
            while path not in bench.kernel.os.opened:
                page = bench.page({path: OSError(number, "")} if when == "open" else None)
            bench.when_read.clear()
            assert fell(page, before) == [], what
            if name != "process":
                changed = {
                    k for k, v in values(whole).items() if page.get(k) not in (None, v) and not k.startswith(SUMS)
                }
                assert (changed, page.keys() - whole.keys()) == (set(), set()), what
            elif not NEEDED.fullmatch(path):
                assert {k: page.get(k) for k in must} == must, what
            noticed = errors(page) > errors(before) or success(page, name) == 0
            refused = number in REFUSED and not SPARED.fullmatch(path)
            assert noticed == (refused or bool(NEEDED.fullmatch(path))), what
    for _ in range(UNTIL_SURE):
        mended = bench.page()
    assert {k: v for k, v in values(mended).items() if k in whole} == values(whole)
