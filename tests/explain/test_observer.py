"""What is read of captured kernels, and of a /proc that a test changes: the numbers of the kernel's own files."""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.tree import FIXTURES, Tree, ordinary_user

from exporter import cli
from exporter.config import DEFAULT, Config, parse
from exporter.errors import Refused, UsageError
from exporter.explain.findings import report
from exporter.explain.observer import Observer
from exporter.explain.rows import Cgroup, Machine, Row, Subject

V2, V1 = FIXTURES / "6.1-v2", FIXTURES / "6.18-hybrid"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "proc")


def observer(tree: Path, procfs: Path | None = None) -> Observer:
    return Observer(str(procfs or tree / "proc"), str(tree / "sys"), str(tree / "cgroup"))


def config(text: str) -> Config:
    return parse(text.encode(), "config.yaml")


def status(tree: Path, pid: int, key: str) -> int:
    lines = (tree / "proc" / str(pid) / "status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1]) * 1024


@pytest.mark.parametrize("tree", [V2, V1])
def test_a_process_has_the_numbers_of_its_files(tree: Path) -> None:
    pid = json.loads((tree / "specimen.json").read_text())["swapped"]["pid"]
    (row,) = observer(tree).sample(DEFAULT, str(pid)).rows
    (process,) = row.processes
    assert row.kind == "process"
    assert process.memory == row.memory
    assert row.memory.swap == status(tree, pid, "VmSwap") > 0
    assert row.memory.resident == status(tree, pid, "VmRSS")
    assert row.memory.page_tables == status(tree, pid, "VmPTE")
    assert row.memory.waited is None
    assert process.oom_score == int((tree / f"proc/{pid}/oom_score").read_text())


def test_a_locked_process_has_its_limit_and_one_with_the_capability_none(tmp_path: Path) -> None:
    pid = json.loads((V2 / "specimen.json").read_text())["locked"]["pid"]
    procfs = tmp_path / "proc"
    shutil.copytree(V2 / "proc", procfs, symlinks=True)
    file = procfs / str(pid) / "status"

    def limit() -> float | None:
        (row,) = observer(V2, procfs).sample(DEFAULT, str(pid)).rows
        return row.processes[0].lock_limit

    assert limit() == math.inf
    text = file.read_text()
    file.write_text(text.replace("CapEff:\t000001ffffffffff", "CapEff:\t0000000000000000"))
    assert limit() == 8388608
    (procfs / str(pid) / "limits").unlink()
    assert limit() is None


@pytest.mark.parametrize("tree", [V2, V1])
def test_a_cgroup_has_its_own_numbers_those_above_it_and_the_processes_below(tree: Path) -> None:
    known = json.loads((tree / "specimen.json").read_text())
    path = known["swapped"]["cgroup"]
    (row,) = observer(tree).sample(DEFAULT, path).rows
    cgroup = row.cgroup
    assert cgroup is not None
    assert [level.path for level in cgroup] == [path, path.rpartition("/")[0], "/"]
    assert known["swapped"]["pid"] in [process.pid for process in row.processes]
    root = tree / ("cgroup" if tree is V2 else "cgroup/memory")
    file = "memory.current" if tree is V2 else "memory.usage_in_bytes"
    assert cgroup.usage == int((root / path[1:] / file).read_text())
    assert cgroup.folder == str(root / path[1:])
    assert (cgroup.pressure_some is not None) == (tree is V2)
    below = observer(tree).sample(DEFAULT, "/lab").rows[0]
    assert {process.pid for process in row.processes} < {process.pid for process in below.processes}
    assert below == observer(tree).sample(DEFAULT, f"{root}/lab").rows[0]


@pytest.mark.parametrize("tree", [V2, V1])
def test_everything_that_is_watched_has_a_row(tree: Path) -> None:
    text = "processes: [{name: one, comm: [swapped]}, {name: none, comm: [x]}]\ncgroups: [{name: lab, path: '/lab/*'}]"
    sample = observer(tree).sample(config(text))
    rows = {(row.kind, row.name): row for row in sample.rows}
    assert len(rows[("group", "one")].processes) == 1
    assert rows[("group", "none")].processes == ()
    assert rows[("group", "none")].memory.resident is None
    assert {name for kind, name in rows if kind == "cgroup"} >= {"/lab/web", "/lab/db"}
    (row,) = observer(tree).sample(config(text), "one").rows
    assert row.cgroup == rows[("group", "one")].cgroup
    found = observer(tree).sample(config(text), "lab").rows
    assert [row.kind for row in found] == ["cgroup"] * len(found)
    assert not report(sample, sample).machine.counted("pgmajfault")


@pytest.mark.parametrize("tree", [V2, V1])
def test_the_host_has_the_kernel_s_numbers(tree: Path) -> None:
    host = observer(tree).sample(Config()).host
    total = next(line for line in (tree / "proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    assert host.meminfo["MemTotal"] == int(total.split()[1]) * 1024
    assert host.overcommit_memory == int((tree / "proc/sys/vm/overcommit_memory").read_text())
    assert f"[{host.transparent_hugepage}]" in (tree / "sys/kernel/mm/transparent_hugepage/enabled").read_text()
    pool = next(pool for pool in host.pools if pool.size == 2048 * 1024)
    assert pool.pages == int((tree / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").read_text())
    scores = {int(file.parent.name): int(file.read_text()) for file in tree.glob("proc/[0-9]*/oom_score")}
    assert host.oom_score == max(scores.values())
    assert all(scores[pid] == host.oom_score for pid in host.oom_first)


def test_without_sources_nothing_is_known_and_nothing_said(tree: Tree) -> None:
    tree.process(7, b"a")
    bare = Observer(tree.path, "/nowhere", "/nowhere")
    (row,) = bare.sample(DEFAULT, "7").rows
    assert row.cgroup is None
    host = bare.sample(Config()).host
    assert (host.meminfo, host.vmstat, host.pools, host.oom_score, host.pressure_some) == ({}, {}, (), None, None)
    (tree.root / "meminfo").write_text("MemTotal: x\n")
    assert bare.sample(Config()).host.meminfo == {}
    with pytest.raises(UsageError, match="/nowhere: found no memory controller"):
        bare.sample(DEFAULT, "/a")
    machine = Machine(host)
    assert (machine.stalled, machine.counted("pswpin"), machine.seconds) == (None, None, 0.0)


def test_under_hidepid_a_missing_process_may_be_a_hidden_one(tree: Tree) -> None:
    tree.remove(1)
    with pytest.raises(UsageError, match=r"process 9: found none in .* that may be seen \(it hides other users'"):
        Observer(tree.path, "/nowhere", "/nowhere").sample(DEFAULT, "9")


def test_groups_of_one_name_in_several_cgroups_are_one_subject_and_several_rows(tree: Tree) -> None:
    tree.process(7, b"a", cgroup="/x")
    tree.process(8, b"a", cgroup="/y")
    by_cgroup = config("processes: [{name: app, comm: [a], by_cgroup: true}]")
    bare = Observer(tree.path, "/nowhere", "/nowhere")
    (row,) = bare.sample(by_cgroup, "app").rows
    assert [process.pid for process in row.processes] == [7, 8]
    assert [row.name for row in bare.sample(by_cgroup).rows] == ["app{cgroup=/x}", "app{cgroup=/y}"]
    # A group that is empty and comes by itself has no row.
    tree.remove(8)
    assert [row.name for row in bare.sample(by_cgroup).rows] == ["app{cgroup=/x}"]


@pytest.fixture
def closed() -> Iterator[Tree]:
    """A tree that any user can look into; of its process 10 nobody may read stat."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        tree = Tree(Path(folder) / "proc")
        (tree.process(10, b"a") / "stat").chmod(0)
        (tree.process(11, b"a") / "limits").touch(mode=0)
        yield tree


def test_a_process_that_may_not_be_read_is_named_with_the_file_and_the_reason(
    closed: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    with ordinary_user():
        with pytest.raises(Refused):
            Observer(closed.path, "/nowhere", "/nowhere").sample(DEFAULT, "10")
        arguments = [f"--path.procfs={closed.path}", "--path.sysfs=/nowhere", "--path.cgroupfs=/nowhere"]
        assert cli.main([*arguments, "explain", "10", "--interval=0.1"]) == 2
        said = capsys.readouterr().err
        # Of a group the others are shown.
        rows = Observer(closed.path, "/nowhere", "/nowhere").sample(DEFAULT).rows
    assert said == f"vmem-exporter: 10 can't be read: {closed.path}/10/stat: Permission denied\n"
    assert {process.pid for row in rows for process in row.processes} == {1, 11}


def test_a_cgroup_that_may_not_be_read_costs_its_own_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Path(folder) / "cgroup"
        shutil.copytree(V2 / "cgroup", root)
        (root / "lab/db").chmod(0)
        watching = Observer(str(V2 / "proc"), str(V2 / "sys"), str(root))
        try:
            with ordinary_user():
                sample = watching.sample(
                    config("cgroups: [{name: lab, path: '/lab/*'}]\nprocesses: [{name: '{comm}'}]")
                )
                with pytest.raises(Refused, match="Permission denied"):
                    watching.sample(DEFAULT, "/lab/db")
        finally:
            (root / "lab/db").chmod(0o755)
    rows = {row.name: row for row in sample.rows}
    assert "/lab/web" in rows
    assert "/lab/db" not in rows
    assert rows["swapped"].cgroup is None
    assert "cgroup /lab/db can't be read" in caplog.text


def test_headroom_is_the_least_that_any_limit_above_leaves() -> None:
    root = Cgroup(path="/", folder="/cg", version="2", working_set=500)
    box = Cgroup(path="/box", folder="/cg/box", version="2", limit=100, working_set=90, above=root)
    inner = Cgroup(path="/box/in", folder="/cg/box/in", version="2", limit=50, working_set=30, above=box)
    assert (inner.tightest, inner.headroom) == (box, 10)
    assert (root.tightest, root.headroom) == (None, math.inf)
    over = Cgroup(path="/o", folder="/cg/o", version="2", limit=10, working_set=12, above=root)
    assert over.headroom == 0


def test_a_row_watched_for_no_time_has_no_rates() -> None:
    row = Row(kind="group", name="a", at=1.0)
    assert Subject(row, row).rate("major_faults") is None
    assert Subject(row, row).cgroup_rose("swap") is None
    later = Row(kind="group", name="a", at=2.0)
    assert Subject(later, row).rate("major_faults") == 0
