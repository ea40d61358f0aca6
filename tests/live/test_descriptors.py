"""How many files are kept open, by the limit of descriptors and by the flag."""

import resource
from pathlib import Path

import pytest
from conftest import StartExporter
from support.exporter import COMMAND, Exporter, exporter
from support.procfs import open_files

from exporter.collectors import DESCRIPTORS_RESERVED, MOST_KEPT_OPEN, keep_open_default

CONFIG = "processes: [{name: all}]"


@pytest.mark.parametrize(
    ("soft", "processes"),
    [
        (0, 0),
        (DESCRIPTORS_RESERVED, 0),
        (DESCRIPTORS_RESERVED + 3, 1),
        (1024, 192),
        (20_000, MOST_KEPT_OPEN),
        (resource.RLIM_INFINITY, MOST_KEPT_OPEN),
    ],
)
def test_the_budget_is_what_the_limit_leaves_beside_a_reserve(
    soft: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, 1 << 20))
    assert keep_open_default() == processes


def kept_open(exporter: Exporter) -> list[str]:
    """The files of processes that it holds between two scrapes."""
    for _ in range(2):
        assert exporter.scrape()['vmem_process_count{group="all"}'] > 5
    links = open_files(exporter.process.pid)
    return sorted(link.rpartition("/")[2] for link in links if link.startswith("/proc/"))


@pytest.mark.live
def test_the_hard_limit_is_used_and_the_rest_is_read_by_name(tmp_path: Path) -> None:
    limit = f"--nofile=100:{DESCRIPTORS_RESERVED + 10}"
    with exporter(tmp_path, CONFIG, command=("prlimit", limit, COMMAND)) as limited:
        assert kept_open(limited) == ["stat"] * 5 + ["status"] * 5


@pytest.mark.live
def test_the_flag_keeps_so_many_or_none(start_exporter: StartExporter) -> None:
    assert kept_open(start_exporter(CONFIG, "--process.keep-open=3")) == ["stat"] * 3 + ["status"] * 3
    assert kept_open(start_exporter(CONFIG, "--process.keep-open=0")) == []
