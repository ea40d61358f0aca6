"""What explain says of real processes on this machine's kernel."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import HUGE_PAGES, StartChild
from kernel.cgroups import Cgroup
from support.exporter import COMMAND
from support.procfs import MIB

pytestmark = pytest.mark.live


class Told:
    """What the command said, and how it ended."""

    def __init__(self, output: str, code: int) -> None:
        self.code = code
        self.json: dict[str, Any] = json.loads(output)
        self.findings = {item["rule"]: item for item in self.json["findings"]}

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.json["subjects"]
        return dict(row)

    def evidence(self, rule: str) -> dict[str, Any]:
        return {item["name"]: item["value"] for item in self.findings[rule]["evidence"]}


def explain(subject: object, *, interval: float = 0.5, meanwhile: Callable[[], None] | None = None) -> Told:
    """Run the command; `meanwhile` is done again and again while it watches."""
    command = [COMMAND, "explain", str(subject), "--json", f"--interval={interval}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        done = threading.Event()
        thread = threading.Thread(target=lambda: _again(meanwhile, done))
        thread.start()
        output, errors = process.communicate(timeout=60)
        done.set()
        thread.join()
    assert errors == ""
    return Told(output, process.returncode)


def _again(action: Callable[[], None] | None, done: threading.Event) -> None:
    while action and not done.wait(0.02):
        action()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [COMMAND, "explain", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def limit(cgroup: Cgroup, value: int) -> None:
    cgroup.write("memory.limit_in_bytes" if cgroup.version == 1 else "memory.max", value)


def test_a_lazy_allocation_is_said_to_be_harmless(start_child: StartChild) -> None:
    child = start_child("lazy")
    child.run("m = memory(500 << 20)")
    told = explain(child.pid)
    assert told.code == 0
    assert told.findings["sparse"]["severity"] == "info"
    assert told.evidence("sparse") == {"VmSize": told.row["virtual_bytes"], "VmRSS": told.row["resident_bytes"]}
    assert told.row["virtual_bytes"] - told.row["resident_bytes"] > 490 * MIB
    child.run("touch(m)")
    assert "sparse" not in explain(child.pid).findings


@pytest.mark.usefixtures("swap")
def test_swap_that_is_not_touched_is_told_from_swap_that_is(cgroup: Cgroup, start_child: StartChild) -> None:
    child = start_child("swapped", cgroup)
    child.run("m = memory(60 << 20); touch(m)")
    cgroup.limit(memory=20 * MIB, swap=1024 * MIB)
    cold = explain(child.pid)
    evidence = cold.evidence("in-swap")
    assert evidence["VmSwap"] == cold.row["swap_bytes"] >= 35 * MIB
    assert evidence["majflt over the interval"] == 0
    assert cold.findings["in-swap"]["severity"] == "info"
    assert "None of it was touched" in cold.findings["in-swap"]["meaning"]
    assert "time-lost" not in cold.findings
    hot = explain(child.pid, meanwhile=lambda: child.run("touch(m)"))
    evidence = hot.evidence("in-swap")
    assert evidence["majflt over the interval"] > 0
    assert evidence["pswpin of the machine over the interval"] >= evidence["majflt over the interval"]
    assert hot.findings["in-swap"]["severity"] == "warning"
    assert hot.evidence("time-lost")["majflt"] == hot.row["major_faults_per_second"] > 10
    # It holds all that its limit allows, which kills where swap doesn't help.
    assert hot.findings["near-limit"]["severity"] == "critical"
    assert hot.code == 1


@pytest.mark.usefixtures("swap", "delay_accounting")
def test_where_the_kernel_accounts_for_delays_the_time_lost_is_the_true_one(
    cgroup: Cgroup, start_child: StartChild
) -> None:
    child = start_child("waiting", cgroup)
    child.run("m = memory(60 << 20); touch(m)")
    cgroup.limit(memory=20 * MIB, swap=1024 * MIB)
    told = explain(child.pid, meanwhile=lambda: child.run("touch(m)"))
    waited = next(item for item in told.findings["time-lost"]["evidence"] if item["source"].startswith("taskstats"))
    assert waited["name"] == "all its tasks waited for memory, at least"
    # One task waits for less than all of the time, and here for much of it.
    assert 0.01 < waited["value"] < 1
    measured = f"{100 * waited['value']:.3g} %"
    assert f"The kernel measured {measured} of the time." in told.findings["time-lost"]["meaning"]


def test_a_leak_is_seen_to_grow_and_what_is_left_is_told(cgroup: Cgroup, start_child: StartChild) -> None:
    child = start_child("leaking", cgroup)
    child.run("kept = []")
    limit(cgroup, 1024 * MIB)
    told = explain(child.pid, meanwhile=lambda: child.run("kept.append(memory(2 << 20)); touch(kept[-1])"))
    assert told.findings["growing"]["severity"] == "warning"
    evidence = told.evidence("growing")
    assert evidence["RssAnon + VmSwap, growth"] > 4 * MIB
    assert 0 < evidence[f"headroom of {cgroup.path}"] == told.row["cgroup"]["headroom_bytes"] < 1024 * MIB
    assert "is used up in" in told.findings["growing"]["meaning"]
    assert "growing" not in explain(child.pid).findings


def test_a_container_without_a_limit_near_its_parents_is_critical(cgroup: Cgroup, start_child: StartChild) -> None:
    inner = Cgroup(f"{cgroup.path}/inner", cgroup.directory / "inner", cgroup.version)
    if cgroup.version == 2:
        cgroup.write("cgroup.subtree_control", "+memory")
    inner.directory.mkdir()
    child = start_child("contained", inner)
    try:
        child.run("m = memory(80 << 20); touch(m)")
        limit(cgroup, int(cgroup.number("usage") * 1.02))
        for subject in inner.path, child.pid:
            told = explain(subject)
            assert told.code == 1
            assert told.findings["near-limit"]["severity"] == "critical"
            assert f"the limit of {cgroup.path}, which is above {inner.path}" in told.findings["near-limit"]["title"]
            evidence = told.evidence("near-limit")
            needs = (evidence["working set (usage less inactive_file)"] + evidence["swap"]) * 1.2 / MIB
            assert f"Raise the limit to {needs:.1f} MiB" in told.findings["near-limit"]["action"]
            assert told.row["cgroup"]["limited_by"] == cgroup.path
            assert told.row["pids"] == [child.pid]
        limit(cgroup, 1024 * MIB)
        assert "near-limit" not in explain(inner.path).findings
    finally:
        child.end()
        inner.remove()


@pytest.mark.usefixtures("huge_pages")
def test_a_pool_of_huge_pages_is_idle_until_it_is_promised(start_child: StartChild) -> None:
    meminfo = Path("/proc/meminfo").read_text().splitlines()
    size, pages = (
        int(next(line for line in meminfo if line.startswith(key)).split()[1])
        for key in ("Hugepagesize:", "HugePages_Total:")
    )
    child = start_child("huge")
    idle = explain(child.pid)
    assert idle.evidence("idle-pool")["nr_hugepages"] == pages >= HUGE_PAGES
    assert idle.findings["idle-pool"]["subject"] is None
    # Promised pages aren't idle, touched or not.
    child.run(f"m = memory({pages} * {size} << 10, MAP_HUGETLB)")
    assert "idle-pool" not in explain(child.pid).findings


@pytest.mark.usefixtures("root")
def test_a_process_that_may_lock_no_more_is_told_its_limit(start_child: StartChild) -> None:
    child = start_child("locked")
    child.run("import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (4 << 20, 4 << 20))")
    child.run("m = memory(16 << 20); touch(m)")
    # The limit doesn't bind who has root's rights.
    child.run("os.setuid(65534)")
    child.run("n = memory(2 << 20); lock(n)")
    with pytest.raises(OSError, match="Cannot allocate memory"):
        child.run("lock(m)")
    told = explain(child.pid)
    assert told.findings["locked-less"]["severity"] == "warning"
    assert told.evidence("locked-less") == {
        "VmLck": 2 * MIB,
        "VmRSS": told.row["resident_bytes"],
        "Max locked memory": 4 * MIB,
    }


def test_a_few_megabytes_that_lie_far_apart_have_page_tables_that_are_larger(start_child: StartChild) -> None:
    child = start_child("scattered")
    # A page read in each 2 MiB is the kernel's page of zeros, and needs a table of its own, of 4 KiB.
    child.run("maps = [memory(1 << 30) for _ in range(40)]")
    assert "page-tables" not in explain(child.pid).findings
    child.run("[m[at] for m in maps for at in range(0, len(m), 2 << 20)]")
    told = explain(child.pid)
    assert told.findings["page-tables"]["severity"] == "warning"
    assert told.evidence("page-tables")["VmPTE"] == told.row["page_tables_bytes"] >= 40 * 512 * 4096
    assert told.row["page_tables_bytes"] > told.row["resident_bytes"]


def test_the_process_with_the_highest_oom_score_dies_first(start_child: StartChild) -> None:
    child = start_child("doomed")
    child.run("open('/proc/self/oom_score_adj', 'w').write('1000')")
    told = explain(child.pid)
    assert told.evidence("dies-first")["oom_score"] == int(Path(f"/proc/{child.pid}/oom_score").read_text())
    assert told.evidence("dies-first")["oom_score_adj"] == 1000


def test_the_machine_has_a_line_for_each_group_and_the_worst_comes_first(
    cgroup: Cgroup, start_child: StartChild
) -> None:
    child = start_child("cramped", cgroup)
    child.run("m = memory(40 << 20); touch(m)")
    limit(cgroup, int(cgroup.number("usage") * 1.02))
    answer = run("--interval=0.2")
    assert (answer.returncode, answer.stderr) == (1, "")
    machine, _, _, heading, *rows = answer.stdout.splitlines()
    assert machine.startswith("machine ")
    assert heading.split() == ["NAME", "PROCS", "RESIDENT", "SWAP", "MAJFLT/s", "HEADROOM", "PRESSURE"]
    critical = [line for line in rows if line.startswith("critical")]
    assert any(line.startswith("critical  cramped: ") for line in critical)
    assert "cramped" in [row.split()[0] for row in rows[: len(critical)]]
    assert "\x1b" not in answer.stdout


def test_a_kernel_thread_has_no_memory_and_nothing_is_said_of_it() -> None:
    thread = next(
        folder.name
        for folder in Path("/proc").iterdir()
        if folder.name.isdecimal() and "VmSize" not in (folder / "status").read_text() and folder.name != "1"
    )
    told = explain(thread, interval=0.1)
    assert told.row["virtual_bytes"] is None
    assert told.row["major_faults_per_second"] == 0
    assert [rule for rule, item in told.findings.items() if item["subject"]] == []
    answer = run(thread, "--interval=0.1")
    assert "  virtual               -\n" in answer.stdout
    assert "  minor faults        0/s   0 in 0.1 s\n" in answer.stdout


def test_what_is_said_into_a_pipe_that_closes_is_no_error() -> None:
    with subprocess.Popen(
        [COMMAND, "explain", "--interval=0.1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() in (0, 1)


def test_a_subject_that_is_not_there_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("processes: [{name: empty, comm: [not-there]}]\ncgroups: [{name: none, path: /not-there}]\n")
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    for subject, expected in (
        (gone.pid, f"process {gone.pid}: found none in /proc, expected a pid"),
        ("/not/there", "cgroup /not/there: found no "),
        ("empty", "group empty: found nothing that its entry matches now"),
        ("none", "group none: found nothing that its entry matches now"),
        ("unknown", "group unknown: found no such group, expected a pid, a /cgroup or one of empty, none"),
    ):
        answer = run(f"--config.file={config}", subject)
        assert (answer.returncode, answer.stdout) == (2, "")
        assert answer.stderr.startswith(f"vmem-exporter: {expected}")
        assert answer.stderr.count("\n") == 1


def test_a_process_that_ends_while_it_is_watched_is_said_to_be_gone(start_child: StartChild) -> None:
    child = start_child("brief")
    command = [COMMAND, "explain", str(child.pid), "--interval=2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        child.end()
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (2, "")
    assert errors == f"vmem-exporter: process {child.pid}: found none in /proc, expected a pid\n"
