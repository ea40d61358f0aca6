"""The exporter while processes are forked faster than it looks."""

import time
from pathlib import Path

import pytest
from conftest import StartExporter
from support.daemon import until
from support.needs import full
from support.nursery import COMMS, Nursery
from support.page import Page
from support.procfs import KIB, MIB, open_files, status

pytestmark = pytest.mark.live

A_MINUTE = 5000
"""Processes that are born in a minute."""

SECONDS = 60 if full() else 8
CONFIG = f"""
processes:
  - {{name: "{{comm}}", comm: [{", ".join(COMMS)}], smaps: true, per_process: true}}
  - {{name: rest, cmdline: ["."]}}
"""


def counters(page: Page) -> Page:
    return {key: value for key, value in page.items() if key.startswith("vmem_process_") and "_total" in key}


def test_5000_processes_a_minute_cost_no_counter_and_no_memory(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG, "--log.level=warn")
    nursery = Nursery(A_MINUTE / 60, 1)
    try:
        before, scrapes, warm, seen = exporter.scrape(), 0, 0, 0.0
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            page = exporter.scrape()
            assert {key: value for key, value in counters(before).items() if page.get(key, -1) < value} == {}
            assert {value for key, value in page.items() if "collector_success" in key} == {1}
            seen += sum(page.get(f'vmem_process_count{{group="{comm}"}}', 0) for comm in COMMS)
            before, scrapes = page, scrapes + 1
            if time.monotonic() < end - SECONDS / 2:
                warm = status(exporter.process.pid)["VmRSS"]
            time.sleep(0.05)
        assert seen > 20 * scrapes
        assert status(exporter.process.pid)["VmRSS"] * KIB < warm * KIB + 2 * MIB
    finally:
        born = nursery.end()
    assert born > 0.8 * SECONDS * A_MINUTE / 60
    until(
        lambda: not any(exporter.scrape()[f'vmem_process_count{{group="{comm}"}}'] for comm in COMMS), "all have gone"
    )
    # The files of processes are kept open, but of none that has gone.
    until(lambda: exporter.scrape() and kept_of_the_dead(exporter.process.pid) == [], "their files are closed")
    assert exporter.output == ""


def kept_of_the_dead(pid: int) -> list[str]:
    return [file for file in open_files(pid) if file.startswith("/proc/") and not Path(file).exists()]
