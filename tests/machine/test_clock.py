"""The exporter while its clock is set back and forth, by libfaketime: the machine's own clock is left alone."""

import os
from pathlib import Path

import pytest
from conftest import StartChild
from support.exporter import COMMAND, exporter
from support.needs import library
from support.page import Page
from support.procfs import boot_time

pytestmark = pytest.mark.live

CONFIG = "processes: [{name: subject, comm: [subject], smaps: true}, {name: rest}]\ncgroups: [{name: all, path: /*}]"
JUMPS = ("+3650d", "-21000d", "+1h", "+0")
"""What libfaketime adds to the time of day: ten years, back to before 1970, an hour."""

STARTED = 'vmem_process_oldest_start_time_seconds{group="subject"}'
RELOADED = "vmem_exporter_config_last_reload_success_timestamp_seconds"


def counters(page: Page) -> Page:
    return {key: value for key, value in page.items() if key.partition("{")[0].endswith("_total")}


def test_counters_and_start_times_do_not_follow_the_clock(start_child: StartChild, tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    fake = ("env", f"LD_PRELOAD={library('libfaketimeMT.so.1')}", f"FAKETIME_TIMESTAMP_FILE={offset}")
    # The kernel's monotonic clock doesn't jump when the time of day is set.
    flags = ("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1")
    child = start_child("subject")
    with exporter(tmp_path, CONFIG, "--web.enable-lifecycle", command=(*fake, *flags, COMMAND)) as faked:
        first = before = faked.scrape()
        start = int(Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19])
        assert first[STARTED] == boot_time() + start / os.sysconf("SC_CLK_TCK")
        reloaded = set()
        for jump in JUMPS:
            offset.write_text(jump)
            for _ in range(2):
                page = faked.scrape()
                assert {key: value for key, value in counters(before).items() if page.get(key, value) < value} == {}
                assert page[STARTED] == first[STARTED]
                assert page["process_start_time_seconds"] == first["process_start_time_seconds"]
                assert 0 <= page['vmem_process_smaps_age_seconds{group="subject"}'] < 3600
                assert all(value >= 0 for key, value in page.items() if "duration_seconds" in key)
                before = page
            # That it has the wrong time is shown by what it says of a reload.
            assert faked.request("/-/reload", "POST").status_code == 200
            reloaded.add(round(faked.scrape()[RELOADED], -3))
        assert len(reloaded) == 4
        assert faked.answers("/")
