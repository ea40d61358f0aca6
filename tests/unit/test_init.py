"""`vmem-exporter init`: what it sees of a machine, and a configuration that is right for it."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.exporter import COMMAND
from unit.test_presets import SHAPES
from unit.tree import FIXTURES, KERNELS, Tree, ordinary_user

from exporter.cli import main
from exporter.config import Config, ProcessEntry, load, parse
from exporter.explain.rows import Host, Memory, Pool, Process
from exporter.propose.proposal import CONTAINER_GLOBS, render
from exporter.propose.survey import AT_LEAST, AT_MOST, Found, Survey
from exporter.watch.match import decide

MIB = 1 << 20


class Someone:
    """The facts of a process that is in a cgroup."""

    comm, kernel_thread, exe, argv, user = b"x", False, "", ("x",), ("root", "0")

    def __init__(self, cgroup: str) -> None:
        self.cgroup = cgroup


def of(
    tree: Tree, capsys: pytest.CaptureFixture[str], user: AbstractContextManager[None] | None = None
) -> tuple[str, Config]:
    """What the command prints of a tree, on a host as a captured kernel had it."""
    shutil.copy(FIXTURES / "6.1-v2/proc/meminfo", tree.root)
    sysfs, cgroups = FIXTURES / "6.1-v2/sys", FIXTURES / "6.1-v2/cgroup"
    with user or nullcontext():
        assert main(["init", f"--path.procfs={tree.path}", f"--path.sysfs={sysfs}", f"--path.cgroupfs={cgroups}"]) == 0
    text = capsys.readouterr().out
    return text, parse(text.encode(), "config.yaml")


def entries(config: Config) -> dict[str, ProcessEntry]:
    return {entry.name: entry for entry in config.processes}


@pytest.mark.parametrize("kernel", KERNELS)
def test_what_a_captured_kernel_had_is_in_the_configuration(
    kernel: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = FIXTURES / kernel
    flags = [f"--path.procfs={root}/proc", f"--path.sysfs={root}/sys", f"--path.cgroupfs={root}/cgroup"]
    assert main(["init", *flags]) == 0
    text, log = capsys.readouterr()
    assert log == ""
    (tmp_path / "config.yaml").write_text(text)
    assert main(["check-config", str(tmp_path / "config.yaml")]) == 0
    found = entries(load(str(tmp_path / "config.yaml")))
    known = json.loads((root / "specimen.json").read_text())
    for name in "swapped", "touched", "locked":
        assert found[name].select.comm == (name.encode(),)
    assert found["kubernetes"].by_cgroup
    assert found["services"].by_cgroup
    assert "2 services of systemd with processes, 2 of kubernetes" in text
    locked = next(
        int(line.split()[1])
        for line in (root / f"proc/{known['locked']['pid']}/status").read_text().splitlines()
        if line.startswith("VmLck")
    )
    assert f"{locked / 1024:.1f} MiB locked." in text
    assert text.count("locked: required") == 1
    mode = (root / "proc/sys/vm/overcommit_memory").read_text().strip()
    assert f"#   overcommit    {mode}: " in text
    pages = int((root / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages").read_text())
    assert f"{2.0 * pages:.1f} MiB in pages of 2.0 MiB" in text


def test_services_are_told_by_their_cgroup_and_the_rest_by_name(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"VmRSS": 40000, "VmSwap": 0, "RssFile": 0, "RssShmem": 0}
    path = "/system.slice/system-postgresql.slice/postgresql@{}.service"
    tree.process(10, b"postgres", cgroup=path.format("15-main"), **size)
    tree.process(11, b"postgres", cgroup=path.format("16-main"), **size | {"VmRSS": 90000, "RssShmem": 80000})
    tree.process(12, b"java", cgroup="/user.slice/user-0.slice/session-1.scope", **size | {"VmSwap": 2048})
    tree.process(13, b"dockerd", cgroup="/system.slice/docker.service/init", **size)
    tree.process(14, b"kworker/0:1", kernel_thread=True)
    text, config = of(tree, capsys)
    found = entries(config)
    assert [glob.pattern for glob in found["postgresql"].select.cgroup] == [path.format("*")]
    assert [glob.pattern for glob in found["docker"].select.cgroup] == [
        "/system.slice/docker.service",
        "/system.slice/docker.service/**",
    ]
    assert found["java"].select.comm == (b"java",)
    assert not any("kworker" in name for name in found)
    assert "# A service of systemd, 2 processes ('postgres'): 127.0 MiB in RAM.\n" in text
    assert "# 1 process: 39.1 MiB in RAM, 2.0 MiB in swap. One name for many programs:" in text
    assert "2 services of systemd with processes" in text
    [postgres] = [part for part in text.split("\n\n") if "- name: postgresql" in part]
    assert "# smaps: true" in postgres
    assert text.count("# smaps: true") == 1


def test_what_is_small_has_no_entry_of_its_own(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(40):
        tree.process(100 + number, b"small-%d" % number, VmRSS=4 + number * 4, VmSwap=0)
    assert len([name for name in entries(of(tree, capsys)[1]) if "small" in name]) <= AT_LEAST
    for number in range(40):
        tree.process(100 + number, b"large-%d" % number, VmRSS=50000 + number * 4)
    found = [name for name in entries(of(tree, capsys)[1]) if "large" in name]
    assert found == [f"large-{number}" for number in range(39, 39 - AT_MOST, -1)]


def test_what_cannot_be_said_or_read_is_left_out(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    big = {"VmRSS": 90000}
    for pid, comm in (20, b"\xff\xfe"), (21, b"a\n# b: {c}"), (22, b"other"), (23, b""), (24, b"'\"]: *&!%@`"):
        tree.process(pid, comm, **big)
    (tree.process(30, b"torn", **big) / "stat").write_bytes(b"30 (torn\n")
    (tree.process(31, b"torn", **big) / "statm").write_bytes(b"\n")
    (tree.process(32, b"torn", **big) / "status").write_bytes(b"VmRSS:\tmany\n")
    tree.process(33, b"node_exporter", VmRSS=4)
    text, config = of(tree, capsys)
    assert {entry.group for entry in config.processes if entry.select.comm} == {
        "a\n# b: {c}",
        "other program",
        "'\"]: *&!%@`",
        "init",
    }
    assert "torn" not in text
    assert "node_exporter is running" in text


@pytest.mark.parametrize(("preset", "path", "labels"), SHAPES)
def test_the_processes_of_containers_are_taken_by_the_entry_of_their_preset(
    preset: str, path: str, labels: dict[str, str]
) -> None:
    if "container_id" not in labels:
        return
    seen = nothing(containers=dict.fromkeys(CONTAINER_GLOBS, 1), services=1)
    config = parse(render(seen).encode(), "config.yaml")
    for below in "", "/init.scope":
        decision, _ = decide(config.processes, Someone(path + below))
        assert decision
        assert decision.name == preset


def nothing(**what: object) -> Survey:
    """A machine with nothing on it but what is said."""
    values: dict[str, object] = {
        "host": Host(at=1.0, meminfo={}, vmstat={}),
        "found": (),
        "services": 0,
        "containers": {},
        "hierarchy": None,
        "delays_accounted": False,
        "hidden": False,
        "node_exporter": False,
    }
    return Survey(**values | what)  # type: ignore[arg-type]


def test_a_machine_that_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = render(nothing(hidden=True))
    assert parse(text.encode(), "config.yaml") == Config()
    assert "#   RAM           -, - available\n#   swap          none\n#   overcommit    not told\n" in text
    assert "could not be seen (hidepid)" in text


def test_strict_overcommit_and_pools_and_accounting_are_told() -> None:
    host = Host(
        at=1.0,
        meminfo={"Committed_AS": 3 * MIB, "CommitLimit": 4 * MIB, "SwapTotal": 2 * MIB, "SwapFree": MIB},
        vmstat={},
        overcommit_memory=2,
        pools=(
            Pool(size=2 * MIB, folder="", pages=4, free=2, reserved=1),
            Pool(size=MIB, folder="", pages=0, free=0, reserved=0),
        ),
    )
    text = render(nothing(host=host, delays_accounted=True))
    assert "#   swap          2.0 MiB, 1.0 MiB of it used\n" in text
    assert "#   overcommit    2: promises are counted, 3.0 MiB of 4.0 MiB\n" in text
    assert "#   huge pages    8.0 MiB in pages of 2.0 MiB, 2.0 MiB of it idle; transparent ones: -\n" in text
    assert "#   time lost     accounted for" in text


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=15)
COMMS = NAMES.filter(lambda name: len(name.encode()) <= 15)


@given(
    st.lists(
        st.builds(
            Found,
            name=COMMS,
            globs=st.lists(NAMES.map(lambda name: f"/{name}"), max_size=2).map(tuple),
            processes=st.lists(
                COMMS.map(lambda comm: Process(pid=1, comm=comm, born=0, memory=Memory())), max_size=5
            ).map(tuple),
        ),
        max_size=4,
    ),
    st.integers(0, 300),
)
def test_whatever_things_are_called_check_config_takes_it(found: list[Found], services: int) -> None:
    text = render(nothing(found=tuple(found), services=services))
    config = parse(text.encode(), "config.yaml")
    named = [entry for entry in config.processes if not entry.by_cgroup]
    assert [entry.group for entry in named] == [f"{each.name}{' program' * (each.name == 'other')}" for each in found]
    for entry, each in zip(named, found, strict=True):
        assert (entry.select.comm == (each.name.encode(),)) != bool(each.globs)
    groups = yaml.safe_load(text).get("max_groups", 200)
    assert groups >= 2 * (len(found) + services) or groups == 200


def test_without_cgroups_everything_is_told_by_name(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", f"--path.procfs={tree.path}", "--path.cgroupfs=/nowhere"]) == 0
    text = capsys.readouterr().out
    assert "#   cgroups       none with a memory controller\n" in text
    assert entries(parse(text.encode(), "config.yaml")).keys() == {"init"}


def test_a_machine_that_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", f"--path.procfs={tmp_path}"]) == 2
    assert capsys.readouterr() == (
        "",
        f"vmem-exporter: the machine can't be read: {tmp_path}/uptime: found b'', expected two numbers of seconds\n",
    )


def test_it_writes_to_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--config.file=x.yaml"]) == 2
    assert capsys.readouterr().err == (
        "vmem-exporter: --config.file: found 'x.yaml', expected none: init writes to standard output,"
        " `vmem-exporter init > FILE`\n"
    )


def test_an_ordinary_user_gets_one_without_what_is_refused(open_tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    open_tree.process(11, b"shown", VmRSS=90000)
    config = of(open_tree, capsys, ordinary_user())[1]
    assert {"shown"} == entries(config).keys() - {"init", "services", "kubernetes"}


@pytest.mark.live
def test_of_this_machine_the_exporter_takes_it(tmp_path: Path) -> None:
    """With what the command wrote of it, a scrape shows each group that it has an entry for."""
    written = subprocess.run([COMMAND, "init"], capture_output=True, text=True, check=False, timeout=60)
    assert (written.returncode, written.stderr) == (0, "")
    file = tmp_path / "config.yaml"
    file.write_text(written.stdout)
    page = subprocess.run(
        [COMMAND, "once", f"--config.file={file}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert (page.returncode, page.stderr) == (0, "")
    for entry in load(str(file)).processes:
        if entry.fixed:
            assert f'vmem_process_count{{group="{entry.group}"' in page.stdout
