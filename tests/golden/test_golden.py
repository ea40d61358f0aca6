"""The whole page that each captured kernel gives. `make golden` writes the pages again, to be looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.page import Page, parsed, series

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
KERNELS = ("6.1-v2", "6.18-hybrid")

# What the run itself decides: the exporter's process and Python, when it was, and how long it took.
OF_THE_RUN = re.compile(
    r"^((?:process_\w+|python_info\{.*\}|vmem_exporter_build_info\{.*\}|vmem_scrape_collector_duration_seconds\{.*\}"
    r"|vmem_exporter_config_last_reload_success_timestamp_seconds)) .*$",
    re.M,
)


def page(kernel: str) -> str:
    """The page, with what the run itself decides taken out."""
    tree = FIXTURES / kernel
    flags = [
        f"--path.{name}={tree / part}" for name, part in [("procfs", "proc"), ("sysfs", "sys"), ("cgroupfs", "cgroup")]
    ]
    command = [sys.executable, "-m", "exporter", "once", f"--config.file={HERE / 'config.yaml'}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    return re.sub(r"\{.*\} \*$", "{…} *", OF_THE_RUN.sub(r"\1 *", done.stdout), flags=re.M)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_page_of_a_captured_kernel_is_the_golden_one(kernel: str) -> None:
    golden = HERE / f"{kernel}.txt"
    found = page(kernel)
    if os.environ.get("VMEM_UPDATE_GOLDEN") == "1":
        golden.write_text(found)
    assert found == golden.read_text()


@pytest.fixture(scope="module", params=KERNELS)
def golden(request: pytest.FixtureRequest) -> tuple[Page, dict[str, dict[str, object]]]:
    """A golden page, and the processes that were captured in it: their pids, and what they had done."""
    text = (HERE / f"{request.param}.txt").read_text()
    specimen = json.loads((FIXTURES / request.param / "specimen.json").read_text())
    return parsed("".join(line for line in text.splitlines(keepends=True) if not line.endswith(" *\n"))), specimen


def test_what_the_captured_processes_had_done_is_on_the_page(
    golden: tuple[Page, dict[str, dict[str, object]]],
) -> None:
    found, specimen = golden

    def of(name: str, metric: str, **labels: str) -> float:
        pid = str(specimen[name]["pid"])
        [value] = [
            value
            for key, value in found.items()
            if key.startswith(f"vmem_pid_{metric}{{")
            and f'pid="{pid}"' in key
            and all(f'{k}="{v}"' in key for k, v in labels.items())
        ]
        return value

    mib = 1 << 20
    assert of("lazy", "virtual_bytes") > 512 * mib
    assert of("lazy", "resident_bytes") < 16 * mib
    assert 24 * mib < of("touched", "resident_part_bytes", part="anon") < 32 * mib
    assert of("touched", "resident_part_bytes", part="shmem") >= 4 * mib
    assert of("touched", "minor_page_faults_total") > 24 * mib / 4096
    assert of("touched", "threads") == 4
    assert of("locked", "locked_bytes") == 8 * mib
    assert of("swapped", "swap_bytes") > 8 * mib
    assert of("swapped", "major_page_faults_total") > 0
    assert of("huge", "hugetlb_bytes") == 4 * mib
    assert of("huge", "anon_huge_bytes") > 0


def test_the_groups_of_the_captured_kernels(golden: tuple[Page, dict[str, dict[str, object]]]) -> None:
    found, specimen = golden
    in_lab = sum(str(one["cgroup"]).startswith("/lab/") for one in specimen.values())
    # Version 1 of cgroups puts a zombie back into the root.
    zombies = int(series("vmem_cgroup_info", cgroup="/lab/web", group="lab", version="1") in found)
    assert found[series("vmem_process_count", group="lab", team="golden")] == in_lab - zombies
    assert found[series("vmem_process_count", group="nobody-there")] == 0
    assert found[series("vmem_process_count", group="kernel")] == 1
    assert series("vmem_process_resident_bytes", group="kernel") not in found
    assert found[series("vmem_cgroup_count", group="gone")] == 0
    assert found[series("vmem_cgroup_count", group="pods")] == 2
    assert found[series("vmem_cgroup_events_total", cgroup="/lab/killed", event="oom_kill", group="lab")] == 1
    assert found[series("vmem_cgroup_processes", cgroup="/lab/web", group="lab")] == 3
    assert all(found[key] == 1 for key in found if key.startswith("vmem_scrape_collector_success"))
