"""The paths of /proc/PID/cgroup in a cgroup namespace, beside what kernel/scenarios.py shows on real ones."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.tree import Tree

from exporter.watch.cgroups import find_hierarchy
from exporter.watch.namespace import PF_EXITING, Namespace

OWN = "/kubepods/pod1/exporter"


class Machine:
    """A host's tree of cgroups with this process in one of them, and a /proc that says which, in so many words."""

    def __init__(self, tree: Tree, host: Path, told: str, own: str = OWN) -> None:
        self.tree, self.host = tree, host
        for path in ("", "/kubepods/pod1/pause", "/system.slice/db", own):
            (host / path.strip("/")).mkdir(parents=True, exist_ok=True)
            (host / path.strip("/") / "cgroup.procs").write_text("1\n2\n")
        (host / "cgroup.controllers").write_text("memory\n")
        self.move(own)
        tree.process(77, cgroup=told)
        (tree.root / "self").symlink_to("77")

    def move(self, path: str) -> None:
        (self.host / path.strip("/") / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")

    @property
    def path(self) -> Callable[[str], str]:
        namespace = Namespace(self.tree.path, str(self.host))
        return lambda told: namespace.path(told, f"{self.tree.path}/77")


@pytest.mark.parametrize(
    ("told", "path"),
    [
        ("/", OWN),
        ("/worker", f"{OWN}/worker"),
        ("/../pause", "/kubepods/pod1/pause"),
        ("/../../../system.slice/db", "/system.slice/db"),
        ("/../../..", "/"),
    ],
)
def test_a_container_is_the_root_of_its_namespace(tree: Tree, tmp_path: Path, told: str, path: str) -> None:
    assert Machine(tree, tmp_path / "host", "/").path(told) == path


def test_the_exporter_may_be_below_the_root_of_its_namespace(tree: Tree, tmp_path: Path) -> None:
    path = Machine(tree, tmp_path / "host", "/worker", f"{OWN}/worker").path
    assert (path("/worker"), path("/../pause")) == (f"{OWN}/worker", "/kubepods/pod1/pause")


@pytest.mark.parametrize("own", ["", "/system.slice/exporter"])
def test_in_the_hosts_namespace_a_path_is_what_it_says(tree: Tree, tmp_path: Path, own: str) -> None:
    path = Machine(tree, tmp_path / "host", own or "/", own).path
    assert path("/system.slice/db") == "/system.slice/db"


def test_a_namespace_is_looked_for_once(tree: Tree, tmp_path: Path) -> None:
    machine = Machine(tree, tmp_path / "host", "/")
    path = machine.path
    path("/")
    machine.move("/system.slice/db")
    assert path("/") == OWN


@pytest.mark.parametrize("version", [1, 2])
def test_version_1_says_of_a_process_that_exits_that_it_is_at_the_root_of_all(
    tree: Tree, tmp_path: Path, version: int
) -> None:
    machine = Machine(tree, tmp_path / "host", "/")
    if version == 1:
        (machine.host / "memory.usage_in_bytes").write_text("0\n")
    namespace = Namespace(tree.path, str(machine.host))
    runs, exits = tree.process(10), tree.process(11, zombie=True, flags=PF_EXITING)
    assert namespace.path("/", str(runs)) == OWN
    assert namespace.path("/../pause", str(exits)) == "/kubepods/pod1/pause"
    assert namespace.path("/", str(exits)) == ("/" if version == 1 else OWN)
    tree.remove(10)
    assert namespace.path("/", str(runs)) == ("/" if version == 1 else OWN)


@pytest.mark.parametrize("lacking", ["self", "77/cgroup", "memory", "this process", "a known path"])
def test_where_it_is_not_known_a_path_is_what_it_says(tree: Tree, tmp_path: Path, lacking: str) -> None:
    machine = Machine(tree, tmp_path / "host", "/" if lacking != "a known path" else "/../elsewhere")
    if lacking == "self":
        (tree.root / "self").unlink()
    elif lacking == "77/cgroup":
        (tree.root / "77/cgroup").unlink()
    elif lacking == "memory":
        (machine.host / "cgroup.controllers").write_text("cpu\n")
    elif lacking == "this process":
        (machine.host / OWN.strip("/") / "cgroup.procs").write_text("")
    assert machine.path("/../pause") == "/../pause"


def test_captured_files_know_of_no_process_that_reads_them(tree: Tree, tmp_path: Path) -> None:
    machine = Machine(tree, tmp_path / "host", "/")
    (tree.root / "self").unlink()
    (tree.root / "self").mkdir()
    (tree.root / "self/cgroup").write_text("0::/\n")
    assert machine.path("/../pause") == "/../pause"


V1, V2 = "cgroup cgroup rw,memory", "cgroup2 cgroup2 rw"


@pytest.mark.parametrize(
    ("mounts", "root"),
    [
        ([("/", "/sys/fs/cgroup", V2), ("/../..", "/host/cgroup", V2)], "/host/cgroup"),
        ([("/../..", "/host/cgroup", V2), ("/", "/sys/fs/cgroup", V2)], "/host/cgroup"),
        ([("/../../b", "/b", V2), ("/..", "/above", V2), ("/", "/own", V2)], "/above"),
        ([("/docker/c1", "/own", V2), ("/", "/host", V2)], "/host"),
        ([("/", "/first", V2), ("/", "/second", V2)], "/second"),
        ([("/../..", "/host/memory", V1), ("/", "/own/memory", V1)], "/host/memory"),
        ([("/docker/c1", "/own/memory", V1), ("/", "/host/memory", V1), ("/", "/v2", V2)], "/host/memory"),
    ],
)
def test_the_largest_part_of_the_tree_is_read(tmp_path: Path, mounts: list[tuple[str, str, str]], root: str) -> None:
    (tmp_path / "self").mkdir()
    lines = (f"{30 + i} 22 0:{30 + i} {part} {point} rw - {kind}\n" for i, (part, point, kind) in enumerate(mounts))
    (tmp_path / "self/mountinfo").write_text("".join(lines))
    assert find_hierarchy(str(tmp_path), None).root == root
