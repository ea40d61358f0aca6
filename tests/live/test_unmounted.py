"""A tree of cgroups that is unmounted while it is read, and mounted again."""

import subprocess
import threading
import time
from pathlib import Path

import pytest
from conftest import StartChild
from kernel.cgroups import Cgroup, Hierarchy
from support.daemon import PATIENCE, until
from support.exporter import COMMAND, exporter
from support.needs import missing
from support.page import Page, of, series

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("root")]

TIMES = 20
SUCCESS = series("vmem_scrape_collector_success", collector="cgroup")


def counters(page: Page) -> Page:
    return {key: value for key, value in of(page, "vmem_cgroup_").items() if "_total{" in key}


def test_a_tree_that_is_unmounted_is_said_to_fail_and_comes_back_with_its_counters(
    cgroup: Cgroup, start_child: StartChild, tmp_path: Path
) -> None:
    for name in "abcdefgh":
        (cgroup.directory / name).mkdir()
    start_child("inside", cgroup).run("m = memory(4 << 20); touch(m)")
    root, tree = Hierarchy.of_this_machine().root, tmp_path / "tree"
    tree.mkdir()
    mount = f"mount --bind {root} {tree}"
    own = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$0" "$@"', COMMAND)
    if subprocess.run([*own[:4], mount], capture_output=True, check=False).returncode != 0:
        missing("the right to make a mount namespace")
    config = f"cgroups: [{{name: tree, path: '{cgroup.path}/**'}}, {{name: top, path: '{cgroup.path}'}}]"
    try:
        with exporter(tmp_path, config, f"--path.cgroupfs={tree}", command=own) as run:

            def inside(command: str) -> None:
                subprocess.run(["nsenter", f"--target={run.process.pid}", "--mount", "sh", "-c", command], check=True)

            whole = run.scrape()
            known = counters(whole)
            assert (whole[SUCCESS], len(of(whole, "vmem_cgroup_usage_bytes"))) == (1, 9)
            stop, pages = threading.Event(), list[Page]()

            def scrape() -> None:
                while not stop.is_set():
                    pages.append(run.scrape())

            beside = threading.Thread(target=scrape)
            beside.start()
            try:
                times, end = 0, time.monotonic() + PATIENCE
                while times < TIMES or (len(pages) <= TIMES / 2 and time.monotonic() < end):
                    inside(f"umount --lazy {tree}")
                    inside(mount)
                    times += 1
            finally:
                stop.set()
                beside.join()
            assert len(pages) > TIMES / 2
            for page in pages:
                assert {key: value for key, value in counters(page).items() if value < known.get(key, 0)} == {}
                known |= counters(page)
            inside(f"umount --lazy {tree}")
            gone = run.scrape()
            assert (gone[SUCCESS], of(gone, "vmem_cgroup_")) == (0, {})
            assert f"{tree}: found no memory controller" in run.output
            inside(mount)
            until(lambda: run.scrape()[SUCCESS] == 1, "the tree is back")
            back = run.scrape()
            assert of(back, "vmem_cgroup_").keys() == of(whole, "vmem_cgroup_").keys()
            assert {key: value for key, value in counters(back).items() if value < known[key]} == {}
    finally:
        for name in "abcdefgh":
            (cgroup.directory / name).rmdir()
