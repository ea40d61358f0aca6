"""tools/capture.py stores what an exporter reads, and nothing that is private."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CAPTURE = Path(__file__).parent.parent.parent / "tools" / "capture.py"


@pytest.fixture(scope="module")
def bystander() -> Iterator[int]:
    """The pid of a process that nobody asked to have stored."""
    process = subprocess.Popen([sys.executable, "-c", "open(0).read()", "a-bystanders-secret"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


@pytest.fixture(scope="module")
def fixture(tmp_path_factory: pytest.TempPathFactory, bystander: int) -> Path:
    target = tmp_path_factory.mktemp("capture") / "fixture"
    environment = {**os.environ, "SECRET": "an-environments-secret"}
    subprocess.run([sys.executable, CAPTURE, target, f"--pid={os.getpid()}"], env=environment, check=True)
    return target


def files(fixture: Path) -> Iterator[Path]:
    return (path for path in fixture.rglob("*") if path.is_file() and not path.is_symlink())


def test_what_it_stores_is_what_the_kernel_gives(fixture: Path) -> None:
    for name in ("proc/meminfo", "proc/vmstat", "sys/kernel/mm/transparent_hugepage/enabled"):
        stored, live = (Path(root, name).read_text().splitlines() for root in (fixture, "/"))
        assert [line.split()[0] for line in stored] == [line.split()[0] for line in live]
    own = f"proc/{os.getpid()}"
    for name in ("comm", "cmdline"):
        assert (fixture / own / name).read_bytes() == Path("/", own, name).read_bytes()
    assert (fixture / own / "exe").readlink() == Path("/proc/self/exe").readlink()


def test_no_process_is_stored_that_was_not_named(fixture: Path) -> None:
    stored = {path.name for path in (fixture / "proc").iterdir() if path.name.isdigit()}
    assert stored == {"1", "2", str(os.getpid())}


def test_nothing_private_is_stored(fixture: Path) -> None:
    assert not list(fixture.rglob("environ"))
    assert (fixture / "proc/1/cmdline").read_bytes() == b"/sbin/init\0"
    assert re.fullmatch(r"[\d.]+\n", (fixture / "proc/sys/kernel/osrelease").read_text())
    for path in files(fixture):
        assert b"secret" not in path.read_bytes(), path


def test_only_mounts_of_proc_sysfs_and_cgroups_are_told(fixture: Path) -> None:
    lines = (fixture / "proc/self/mountinfo").read_text().splitlines()
    assert {line.partition(" - ")[2].split()[0] for line in lines} <= {"proc", "sysfs", "cgroup", "cgroup2"}
    assert lines


def test_a_fixture_is_small_and_has_no_links_but_executables(fixture: Path) -> None:
    assert sum(path.stat().st_size for path in files(fixture)) < 600_000
    assert {path.name for path in fixture.rglob("*") if path.is_symlink()} == {"exe"}


def test_a_folder_that_is_no_fixture_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "thesis.txt"
    precious.write_text("mine")
    done = subprocess.run([sys.executable, CAPTURE, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, precious.read_text()) == (2, "mine")
    assert "holds thesis.txt: it is not a fixture" in done.stderr
