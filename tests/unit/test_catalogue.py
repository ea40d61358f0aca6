"""The catalogue: a metric is declared once, and all else follows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.page import parsed, series

from exporter.catalog import METRICS, Metric
from exporter.catalog.declare import declare

CHECKOUT = Path(__file__).parents[2]
FIXTURE = CHECKOUT / "tests/fixtures/6.18-hybrid"

LINE = (
    '    thp_enabled: Annotated[N, Key("THP_enabled", since="5.0"),'
    ' total("vmem_process_thp_enabled", "Processes that may have huge pages:")] = None\n'
)


def test_one_line_in_a_record_brings_a_field_of_the_kernels_to_the_page_and_the_document(tmp_path: Path) -> None:
    for folder in ("exporter", "tools", "docs"):
        shutil.copytree(CHECKOUT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
    catalogue = tmp_path / "exporter/catalog/process.py"
    text = catalogue.read_text()
    head, status, rest = text.partition('    """/proc/PID/status (fs/proc/task_mmu.c, task_mem).')
    docstring, blank, fields = rest.partition("\n\n")
    catalogue.write_text(head + status + docstring + blank + LINE + fields)
    (tmp_path / "config.yaml").write_text("processes: [{name: all}]")

    def run(*arguments: str) -> str:
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    roots = [f"--path.procfs={FIXTURE / 'proc'}", f"--path.sysfs={FIXTURE / 'sys'}"]
    page = parsed(run("-m", "exporter", "once", "--config.file=config.yaml", *roots))
    allowed = [
        file
        for file in FIXTURE.glob("proc/[0-9]*/status")
        if re.search(rb"^THP_enabled:\t1$", file.read_bytes(), re.M) and b"\nKthread:\t1" not in file.read_bytes()
    ]
    assert len(allowed) > 1
    assert page[series("vmem_process_thp_enabled", group="all")] == len(allowed)
    run("-m", "tools.metrics_doc")
    assert "`vmem_process_thp_enabled`" in (tmp_path / "docs/METRICS.md").read_text()


def test_a_name_stands_for_one_thing() -> None:
    one = Metric("vmem_host_mem_total_bytes", "gauge", "Something else.")
    with pytest.raises(ValueError, match="vmem_host_mem_total_bytes is declared twice"):
        declare(one)
    assert METRICS[one.name].help == "RAM that the kernel can use: MemTotal of /proc/meminfo."
