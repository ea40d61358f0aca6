"""Cgroups that come and go, and processes that meet them, on this machine's kernel."""

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from kernel.cgroups import Cgroup
from support.page import series

pytestmark = pytest.mark.live

SCRAPES = 200


def test_cgroups_remade_as_fast_as_can_be_lose_no_scrape_and_no_count(
    start_exporter: StartExporter, cgroup: Cgroup
) -> None:
    config = f"cgroups: [{{name: churn, path: '{cgroup.path}/**'}}]\ncollectors: {{process: false, host: false}}\n"
    exporter = start_exporter(config, "--log.level=info")
    quiet = exporter.output
    stop, made = threading.Event(), 0

    def churn() -> None:
        nonlocal made
        while not stop.is_set():
            for name in "abcdefgh":
                folder = cgroup.directory / name
                folder.mkdir()
                made += 1
                with suppress(OSError):
                    (folder / "memory.limit_in_bytes").write_text(str(1 << 20))
                folder.rmdir()

    thread = threading.Thread(target=churn)
    thread.start()
    counters: dict[str, float] = {}
    seen = set()
    try:
        for _ in range(SCRAPES):
            page = exporter.scrape()
            for name, value in page.items():
                if "_total{" in name and name.startswith("vmem_cgroup_"):
                    assert value >= counters.get(name, 0), name
                    counters[name] = value
            seen.add(page[series("vmem_cgroup_count", group="churn")])
            assert page[series("vmem_scrape_collector_success", collector="cgroup")] == 1
    finally:
        stop.set()
        thread.join()
    assert made > SCRAPES
    assert len(seen) > 1
    assert exporter.output == quiet


def test_a_process_group_carries_the_labels_of_its_cgroup(
    start_exporter: StartExporter, start_child: StartChild, cgroup: Cgroup
) -> None:
    child = start_child("joined", cgroup)
    name = Path(cgroup.path).name
    exporter = start_exporter(
        "processes: [{name: app, comm: [joined], by_cgroup: true}]\n"
        f"cgroups: [{{name: box, path: '{cgroup.path}', labels_from: '(?P<box>[^/]+)$'}}]\n"
    )
    page = exporter.scrape()
    labels = {"group": "app", "cgroup": cgroup.path, "box": name}
    assert page[series("vmem_process_count", **labels)] == 1
    assert page[series("vmem_cgroup_processes", **{**labels, "group": "box"})] == 1
    child.end()
    assert exporter.scrape()[series("vmem_process_count", **labels)] == 0
