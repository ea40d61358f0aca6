"""The exporter where the machine gives it little: memory, address space, file descriptors."""

import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import StartExporter
from kernel.cgroups import Cgroup
from support.crowd import crowd
from support.daemon import free_address
from support.exporter import COMMAND, Exporter, exporter, inside, unmeasured
from support.needs import full
from support.procfs import KIB, MIB, open_files, status

pytestmark = pytest.mark.live

CROWD = "processes: [{name: crowd, comm: [crowd]}, {name: '{comm}'}]"
COUNT = 'vmem_process_count{group="crowd"}'


def test_64_mib_are_enough_for_1000_processes(cgroup: Cgroup, tmp_path: Path) -> None:
    cgroup.limit(64 * MIB, 0)
    scrapes = 500 if full() else 50
    with crowd(1000, "crowd"), exporter(tmp_path, CROWD, command=inside(cgroup)) as limited:
        for _ in range(scrapes // 10):
            middle = limited.scrape()
        for _ in range(scrapes - scrapes // 10):
            last = limited.scrape()
            assert last[COUNT] == 1000
        assert cgroup.number("oom kills") == 0
        assert last["process_resident_memory_bytes"] < middle["process_resident_memory_bytes"] + MIB
        # What the kernel holds for it is in there too.
        assert cgroup.number("peak") < 64 * MIB


@contextmanager
def address_space(exporter: Exporter, more: int) -> Iterator[None]:
    """Let it have no more than it has now and so many bytes beside."""
    limit = status(exporter.process.pid)["VmSize"] * KIB + more
    before = resource.prlimit(exporter.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(exporter.process.pid, resource.RLIMIT_AS, before)


@pytest.mark.parametrize("warm", [False, True])
def test_without_memory_it_answers_503_and_lives(start_exporter: StartExporter, warm: bool) -> None:
    exporter = start_exporter("processes: [{name: '{comm}', per_process: true, max_processes: 999999}]")
    with crowd(1000, "crowd"):
        if warm:
            exporter.scrape()
        for more in (0, 64 * KIB, MIB):
            with address_space(exporter, more):
                for _ in range(2):
                    assert exporter.request("/metrics").status_code == 503
                    assert exporter.answers("/-/healthy")
        assert exporter.scrape()[COUNT] == 1000


def test_with_little_address_space_it_starts_or_says_why_not(tmp_path: Path) -> None:
    environment, log, codes = unmeasured(), tmp_path / "log", set()
    for space in range(16, 144, 8):
        command = ("prlimit", f"--as={space * MIB}", COMMAND)
        if subprocess.run([*command, "--version"], env=environment, capture_output=True).returncode:
            continue  # Python itself needs more.
        address = free_address()
        arguments = [*command, f"--web.listen-address={address}"]
        with log.open("wb") as output, subprocess.Popen(arguments, stderr=output, env=environment) as process:
            try:
                while process.poll() is None and "serving at" not in log.read_text():
                    time.sleep(0.01)
                process.terminate()
                code = process.wait(60)
            finally:
                process.kill()
        codes.add(code)
        lines = log.read_text().splitlines()
        assert code in (0, 2), lines
        assert lines[-1].startswith("vmem-exporter: ") == (code == 2), lines
        assert "Traceback" not in log.read_text()
    assert codes == {0, 2}


def test_with_64_descriptors_it_keeps_no_file_open_and_serves(tmp_path: Path) -> None:
    with exporter(tmp_path, CROWD, command=("prlimit", "--nofile=64:64", COMMAND)) as limited, crowd(200, "crowd"):
        with ExitStack() as stack:
            # More clients that say nothing than there are descriptors.
            for _ in range(80):
                stack.enter_context(socket.create_connection(limited.host_and_port, timeout=60))
            for _ in range(10):
                page = limited.scrape()
                assert (page[COUNT], page["process_max_fds"]) == (200, 64)
                assert page["process_open_fds"] < 64
        assert [file for file in open_files(limited.process.pid) if file.startswith("/proc/")] == []
    assert "level=warn" not in limited.output
    assert "level=error" not in limited.output
