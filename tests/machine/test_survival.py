"""The exporter where memory is short: it is killed last, and none of its pages goes to swap."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kernel.cgroups import Cgroup
from support import ordinary
from support.child import Child
from support.exporter import COMMAND, Exporter, exporter, inside
from support.needs import full
from support.procfs import MIB, major_faults, status

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("root")]

CONFIG = "processes: [{name: '{comm}'}]"
MEMORY, SWAP, WANTED = 64 * MIB, 256 * MIB, 160 * MIB
"""What a cgroup of the test's own may have, and what a process in it asks for."""


def test_it_asks_to_be_killed_later_than_it_was_started_with(tmp_path: Path) -> None:
    # Less than 0 takes a right that root needn't have.
    sooner = ("sh", "-c", 'echo 700 >/proc/self/oom_score_adj && exec "$0" "$@"', COMMAND)
    with exporter(tmp_path, CONFIG, "--oom-score-adj=200", command=sooner) as started:
        assert Path(f"/proc/{started.process.pid}/oom_score_adj").read_text() == "200\n"


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("--oom-score-adj=-1001", "--oom-score-adj: found -1001, expected -1000 to 1000"),
        (
            "--oom-score-adj=-500",
            "--oom-score-adj: found Permission denied for -500, expected the right to lower it (CAP_SYS_RESOURCE)",
        ),
        (
            "--lock-memory",
            "--lock-memory: found Cannot allocate memory, expected CAP_IPC_LOCK or a large RLIMIT_MEMLOCK",
        ),
    ],
)
def test_what_the_kernel_refuses_is_one_line_and_exit_code_2(tmp_path: Path, flag: str, problem: str) -> None:
    command = ordinary.command(tmp_path, program=("prlimit", "--memlock=4194304", COMMAND))
    refused = subprocess.run([*command, flag], capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, refused.stdout, refused.stderr) == (2, "", f"vmem-exporter: {problem}\n")


def storm(exporter: Exporter, cgroup: Cgroup) -> int:
    """Scrape while a process beside it asks for more than there is. Gives its major faults meanwhile."""
    for _ in range(3):
        exporter.scrape()
    before, scrapes = major_faults(exporter.process.pid), 0
    child = Child("storm", cgroup.directory / "cgroup.procs")
    try:
        child.run(f"m = memory({WANTED})")
        with ThreadPoolExecutor(1) as beside:
            touching = beside.submit(child.run, f"for _ in range({20 if full() else 2}): touch(m)")
            while not touching.done() or scrapes < 10:
                assert exporter.scrape()['vmem_process_count{group="storm"}'] == 1
                scrapes += 1
            touching.result()
        assert cgroup.number("swap") > WANTED - MEMORY - 16 * MIB
    finally:
        child.end()
    return major_faults(exporter.process.pid) - before


@pytest.mark.usefixtures("swap")
@pytest.mark.parametrize("flags", [("--lock-memory",), ()])
def test_a_swap_storm_costs_no_major_fault_where_its_memory_is_locked(
    cgroup: Cgroup, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    cgroup.limit(MEMORY, SWAP)
    with exporter(tmp_path, CONFIG, *flags, command=inside(cgroup)) as run:
        faults = storm(run, cgroup)
        said = status(run.process.pid)
        if flags:
            assert faults == 0
            assert said["VmSwap"] == 0
            assert said["VmLck"] >= said["VmRSS"] - 1024
        else:
            assert faults > 0, "the storm did not reach it: nothing was shown"
