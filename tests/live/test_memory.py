"""What a process does with its memory, and the exporter shows: every number of its group is the kernel's, exactly."""

import os
import resource
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from conftest import StartChild, StartExporter
from kernel.cgroups import Cgroup
from support.needs import missing
from support.page import Page, series
from support.procfs import KIB, MIB, major_faults

pytestmark = pytest.mark.live

CONFIG = "processes: [{name: subject, comm: [subject]}]"
LITTLE = 1 * MIB
"""What an interpreter may take for itself while it carries out a line."""


def rise(before: Page, after: Page, metric: str) -> float:
    return after[f"vmem_process_{metric}"] - before[f"vmem_process_{metric}"]


def test_memory_is_virtual_when_it_is_mapped_and_resident_when_it_is_touched(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("subject")
    before = exporter.agrees_on_group("subject", child.pid)
    child.run("m = memory(500 << 20)")
    mapped = exporter.agrees_on_group("subject", child.pid)
    assert 512_000 * KIB <= rise(before, mapped, "virtual_bytes") < 512_000 * KIB + LITTLE
    assert rise(before, mapped, "resident_bytes") < LITTLE
    child.run("touch(m)")
    touched = exporter.agrees_on_group("subject", child.pid)
    assert rise(mapped, touched, "virtual_bytes") < LITTLE
    assert 512_000 * KIB <= rise(mapped, touched, "resident_bytes") < 512_000 * KIB + LITTLE
    assert 512_000 * KIB <= rise(mapped, touched, 'resident_part_bytes{part="anon"}') < 512_000 * KIB + LITTLE
    assert 128_000 <= rise(mapped, touched, "minor_page_faults_total") < 128_000 + LITTLE // (4 * KIB)
    assert rise(mapped, touched, "major_page_faults_total") == 0
    child.run("m.close()")
    given_back = exporter.agrees_on_group("subject", child.pid)
    assert rise(given_back, touched, "resident_bytes") >= 512_000 * KIB - LITTLE
    assert given_back["vmem_process_resident_peak_bytes"] >= 512_000 * KIB


def test_locked_memory_is_shown(start_exporter: StartExporter, start_child: StartChild) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if os.geteuid() != 0 and 0 <= soft < 64 * MIB:
        missing("the right to lock 64 MiB of memory (ulimit -l)")
    exporter, child = start_exporter(CONFIG), start_child("subject")
    assert exporter.agrees_on_group("subject", child.pid)["vmem_process_locked_bytes"] == 0
    child.run("m = memory(64 << 20); lock(m)")
    locked = exporter.agrees_on_group("subject", child.pid)
    assert locked["vmem_process_locked_bytes"] == 64 * MIB
    assert locked["vmem_process_resident_bytes"] > 64 * MIB
    child.run("m.close()")
    assert exporter.agrees_on_group("subject", child.pid)["vmem_process_locked_bytes"] == 0


def pools() -> Page:
    """The kernel's numbers of every pool of huge pages."""
    words = {"pool": "nr", "free": "free", "reserved": "resv", "surplus": "surplus", "overcommit": "nr_overcommit"}
    return {
        series(f"vmem_hugetlb_{metric}_pages", page_size=size.name.removeprefix("hugepages-")): float(
            (size / f"{word}_hugepages").read_text()
        )
        for size in Path("/sys/kernel/mm/hugepages").iterdir()
        for metric, word in words.items()
    }


@pytest.mark.usefixtures("huge_pages")
def test_huge_pages_are_reserved_when_mapped_and_used_when_touched(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("subject")
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    size_kib = next(int(line.split()[1]) for line in meminfo if line.startswith("Hugepagesize:"))
    reserved = series("vmem_hugetlb_reserved_pages", page_size=f"{size_kib}kB")
    free = series("vmem_hugetlb_free_pages", page_size=f"{size_kib}kB")
    before = exporter.agrees(pools)
    child.run(f"m = memory(4 * {size_kib} << 10, MAP_HUGETLB)")
    mapped = exporter.agrees(pools)
    assert (mapped[reserved] - before[reserved], mapped[free] - before[free]) == (4, 0)
    assert exporter.agrees_on_group("subject", child.pid)["vmem_process_hugetlb_bytes"] == 0
    child.run(f"touch(m, {size_kib} << 10)")
    touched = exporter.agrees(pools)
    assert (touched[reserved] - before[reserved], touched[free] - before[free]) == (0, -4)
    assert exporter.agrees_on_group("subject", child.pid)["vmem_process_hugetlb_bytes"] == 4 * size_kib * KIB
    child.run("m.close()")
    assert exporter.agrees(pools) == before
    assert exporter.agrees_on_group("subject", child.pid)["vmem_process_hugetlb_bytes"] == 0


@pytest.mark.usefixtures("swap")
def test_memory_pushed_to_swap_is_shown_and_comes_back_by_major_faults(
    cgroup: Cgroup, start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("subject", cgroup)
    child.run("m = memory(100 << 20); touch(m)")
    before = exporter.agrees_on_group("subject", child.pid)
    assert before["vmem_process_swap_bytes"] == 0
    cgroup.limit(memory=16 * MIB, swap=1024 * MIB)
    swapped = exporter.agrees_on_group("subject", child.pid)
    assert swapped["vmem_process_swap_bytes"] >= 80 * MIB
    assert rise(swapped, before, "resident_bytes") >= 80 * MIB
    assert rise(before, swapped, "virtual_bytes") == 0
    cgroup.limit(memory=512 * MIB, swap=1024 * MIB)
    majflt = major_faults(child.pid)
    child.run("touch(m)")
    back = exporter.agrees_on_group("subject", child.pid)
    assert rise(swapped, back, "major_page_faults_total") == major_faults(child.pid) - majflt > 0
    assert rise(swapped, back, "resident_bytes") >= 80 * MIB
    assert back["vmem_process_swap_bytes"] <= swapped["vmem_process_swap_bytes"] - 80 * MIB


def test_a_dropped_file_that_is_read_again_costs_major_faults(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    exporter, child = start_exporter(CONFIG), start_child("subject")
    # Not in tmp_path: where that is a tmpfs, there is no disk behind a file.
    with NamedTemporaryFile(dir="/var/tmp") as file:
        file.write(os.urandom(4 * MIB))
        file.flush()
        os.fsync(file.fileno())
        read = f"read_file({file.name!r})"
        child.run(read)
        cached = exporter.agrees_on_group("subject", child.pid)
        child.run(read)
        again = exporter.agrees_on_group("subject", child.pid)
        assert rise(cached, again, "major_page_faults_total") == 0
        majflt = major_faults(child.pid)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        child.run(read)
    dropped = exporter.agrees_on_group("subject", child.pid)
    assert rise(again, dropped, "major_page_faults_total") == major_faults(child.pid) - majflt
    # One for each 128 KiB at least, as far as a kernel reads ahead.
    assert rise(again, dropped, "major_page_faults_total") >= 4 * MIB // (128 * KIB)
