"""Files that block, under the exporter as it runs: real FIFOs in a captured kernel, real processes of this one."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from faults.faulty import FIXTURES, OF_THE_RUN
from support.daemon import PATIENCE, until
from support.exporter import Exporter
from support.fuse import NotComing, file_that_does_not_come
from support.needs import allowed
from support.page import Page, series

pytestmark = pytest.mark.live

TIMEOUT = 5.0
"""Seconds that the scrapes here ask for, the fewest that the exporter takes a client's word for."""

FIFOS = ("proc/113/smaps_rollup", "proc/1/cmdline", "cgroup/lab/db/memory.stat", "proc/vmstat")
OF_THE_FIFOS = re.compile(
    r'vmem_host_\w+_total$|vmem_cgroup_\w+\{cgroup="/lab/db"|vmem_pid_\w+\{.*pid="113"'
    r"|vmem_process_(proportional_bytes|unique_bytes|read_errors_total)\{|vmem_scrape_collector_success"
)

HUNG = """
import ctypes, mmap, os, sys, threading
comm, path = sys.argv[1:]
with open("/proc/self/comm", "w") as file:
    file.write(comm)
mapped = mmap.mmap(os.open(path, os.O_RDONLY), 4096, mmap.MAP_PRIVATE)
address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
memory = os.open("/proc/self/mem", os.O_RDONLY)
threading.Thread(target=os.pread, args=(memory, 1, address)).start()
sys.stdin.readline()
mmap.mmap(-1, 4096)
"""
"""A program that reads its own memory where a file is mapped that doesn't come, and so holds a lock on all of it.

Told to, it also wants to map memory. It waits for that lock then, and so does whoever reads its command line or its
smaps_rollup.
"""


def scrape(exporter: Exporter) -> Page:
    """A scrape that answers in its time."""
    start = time.monotonic()
    page = exporter.scrape(headers={"X-Prometheus-Scrape-Timeout-Seconds": str(TIMEOUT)})
    assert time.monotonic() - start < TIMEOUT
    return page


def stuck(page: Page) -> float:
    return page[series("vmem_scrape_collector_stuck_readings", collector="process")]


@contextmanager
def hung(directory: Path) -> Iterator[tuple[int, NotComing]]:
    """A process whose command line and smaps_rollup don't come."""
    directory.mkdir()
    with allowed("the right to mount, and FUSE", file_that_does_not_come(directory)) as file:
        command = [sys.executable, "-I", "-S", "-c", HUNG, "hung", str(file.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                assert file.asked.wait(PATIENCE)
                assert process.stdin
                process.stdin.write(b"\n")
                process.stdin.flush()
                stat = Path(f"/proc/{process.pid}/stat")
                until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "D", "it waits for its own lock")
                yield process.pid, file
            finally:
                file.let_go()
                process.kill()


@pytest.mark.parametrize(
    ("entry", "group", "shown"),
    [
        ("{name: '{comm}', cmdline: [python]}", "", False),
        # It may come late; it is an error where it hasn't by the next scrape.
        ("{name: '{comm}', comm: [beside, hung], smaps: true}", "hung", True),
    ],
    ids=["cmdline", "smaps_rollup"],
)
def test_a_process_that_blocks_is_counted_and_costs_nothing_else(
    start_exporter: StartExporter, start_child: StartChild, tmp_path: Path, entry: str, group: str, shown: bool
) -> None:
    start_child("beside")
    exporter = start_exporter(f"processes: [{entry}]")
    before = {key for key in scrape(exporter) if key.startswith(("vmem_host_", "vmem_process_")) and "beside" in key}
    with hung(tmp_path / "mount") as (pid, file):
        for _ in range(2):
            scrape(exporter)
        threads = len(os.listdir(f"/proc/{exporter.process.pid}/task"))
        for scrapes in range(3, 6):
            page = scrape(exporter)
            assert page.keys() >= before
            assert stuck(page) == 1
            assert page[series("vmem_process_read_errors_total", group=group, reason="timeout")] == scrapes - shown
            assert (series("vmem_process_count", group="hung") in page) is shown
            assert series("vmem_process_proportional_bytes", group="hung") not in page
        assert len(os.listdir(f"/proc/{exporter.process.pid}/task")) == threads
        assert f"process {pid}" in exporter.output
        file.let_go()
        until(lambda: stuck(scrape(exporter)) == 0, "the reading has come back")
    assert exporter.scrape()[series("vmem_process_count", group="beside")] == 1


def test_a_fifo_in_the_place_of_a_file_costs_that_file(start_exporter: StartExporter, tmp_path: Path) -> None:
    tree = tmp_path / "kernel"
    shutil.copytree(FIXTURES / "6.1-v2", tree, symlinks=True)
    config = (FIXTURES.parent / "faults/config.yaml").read_text()
    flags = [
        f"--path.{path}={tree / part}" for path, part in (("procfs", "proc"), ("sysfs", "sys"), ("cgroupfs", "cgroup"))
    ]
    before = start_exporter(config, *flags).scrape()
    for fifo in FIFOS:
        (tree / fifo).unlink()
        os.mkfifo(tree / fifo)
    page = scrape(start_exporter(config, *flags))
    lost = {key for key in before if page.get(key) != before[key] and not OF_THE_RUN.match(key)}
    assert len(lost) > 100
    assert [key for key in lost if not OF_THE_FIFOS.match(key)] == []
