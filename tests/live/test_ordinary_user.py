"""What the exporter can read where it isn't root, and what it says of the rest."""

import os
import subprocess

import pytest
from conftest import StartChild, StartExporter
from support.ordinary import NOBODY
from support.page import series
from support.procfs import MIB

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("root")]

HIDDEN = "hides processes (hidepid)"


def test_an_ordinary_user_reads_all_but_smaps_of_the_processes_of_others(
    start_exporter: StartExporter, start_child: StartChild
) -> None:
    child = start_child("of-root")
    child.run("m = memory(8 << 20); touch(m); n = memory(1 << 20); lock(n)")
    config = "processes: [{name: of-root, comm: [of-root], smaps: true, oom_score: true}]"
    exporter = start_exporter(config, user=NOBODY)
    assert os.stat(f"/proc/{exporter.process.pid}").st_uid == NOBODY
    page = exporter.scrape()
    for metric in ("virtual", "resident", "swap"):
        assert series(f"vmem_process_{metric}_bytes", group="of-root") in page
    assert page[series("vmem_process_locked_bytes", group="of-root")] == 1 * MIB
    assert page[series("vmem_process_oom_score_adj_largest", group="of-root")] == 0
    for metric in ("proportional", "proportional_swap", "unique", "anon_huge", "lazy_free"):
        assert series(f"vmem_process_{metric}_bytes", group="of-root") not in page
    before = exporter.errors("of-root", "permission")
    assert before == 2
    assert exporter.errors("of-root", "permission") == before + 1
    warnings = [line for line in exporter.output.splitlines() if "level=warn" in line]
    assert len(warnings) == 1
    assert f"/proc/{child.pid}/smaps_rollup: Permission denied" in warnings[0]


def test_an_ordinary_users_numbers_are_the_kernels(start_exporter: StartExporter, start_child: StartChild) -> None:
    children = [start_child("of-root"), start_child("of-root")]
    children[0].run("m = memory(8 << 20); touch(m)")
    exporter = start_exporter("processes: [{name: of-root, comm: [of-root]}]", user=NOBODY)
    exporter.agrees_on_group("of-root", *(child.pid for child in children))
    assert exporter.errors("of-root", "permission") == 0
    assert "level=warn" not in exporter.output


def test_an_ordinary_user_reads_smaps_of_its_own_processes(start_exporter: StartExporter) -> None:
    own = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "cat"]
    with subprocess.Popen(own, stdin=subprocess.PIPE):
        exporter = start_exporter(
            f"processes: [{{name: own, comm: [cat], user: ['{NOBODY}'], smaps: true}}]", user=NOBODY
        )
        page = exporter.scrape()
        assert page[series("vmem_process_count", group="own")] == 1
        assert page[series("vmem_process_proportional_bytes", group="own")] > 0
        assert exporter.errors("own", "permission") == 0


def test_hidepid_is_counted_and_said_once(start_exporter: StartExporter, start_child: StartChild) -> None:
    start_child("of-root")
    exporter = start_exporter("processes: [{name: of-root, comm: [of-root]}]", user=NOBODY, hidepid=True)
    page = exporter.scrape()
    assert page[series("vmem_process_count", group="of-root")] == 0
    before = exporter.errors("", "permission")
    assert before
    assert exporter.errors("", "permission") == before + 1
    assert exporter.output.count(HIDDEN) == 1
    # Of the host it still sees all that this procfs shows.
    assert page["vmem_host_mem_total_bytes"] > 0


def test_root_sees_through_hidepid(start_exporter: StartExporter, start_child: StartChild) -> None:
    child = start_child("of-root")
    exporter = start_exporter("processes: [{name: of-root, comm: [of-root]}]", user=0, hidepid=True)
    exporter.agrees_on_group("of-root", child.pid)
    assert exporter.errors("", "permission") == 0
    assert HIDDEN not in exporter.output
