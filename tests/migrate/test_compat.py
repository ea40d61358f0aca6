"""docs/MIGRATING.md and the rules that keep old names alive: every name exists, on both sides."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.daemon import daemon, free_address
from support.exporter import COMMAND
from support.needs import program
from support.promql import metric, selectors

from exporter.catalog import METRICS

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "prometheus/compat"
DOCUMENT = (ROOT / "docs/MIGRATING.md").read_text()
RULES = {
    file.stem: [(rule["record"], rule["expr"]) for rule in yaml.safe_load(file.read_text())["groups"][0]["rules"]]
    for file in sorted(COMPAT.glob("*.yaml"))
}
PEERS = ("namedprocess", "container", "machine", "node")

# What cAdvisor's docs/storage/prometheus.md lists of memory.
CADVISOR = {
    "container_hugetlb_failcnt",
    "container_hugetlb_max_usage_bytes",
    "container_hugetlb_usage_bytes",
    "container_memory_bandwidth_bytes",
    "container_memory_bandwidth_local_bytes",
    "container_memory_cache",
    "container_memory_failcnt",
    "container_memory_failures_total",
    "container_memory_mapped_file",
    "container_memory_max_usage_bytes",
    "container_memory_numa_pages",
    "container_memory_rss",
    "container_memory_swap",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_processes",
    "container_referenced_bytes",
    "container_spec_memory_limit_bytes",
    "container_spec_memory_reservation_limit_bytes",
    "container_spec_memory_swap_limit_bytes",
    "machine_memory_bytes",
    "machine_node_hugepages_count",
    "machine_node_memory_capacity_bytes",
}
SINCE = {
    "container_memory_kernel_usage",
    "container_memory_migrate",
    "container_memory_total_active_file_bytes",
    "container_memory_total_inactive_file_bytes",
    "container_oom_events_total",
    "container_pressure_memory_stalled_seconds_total",
    "container_pressure_memory_waiting_seconds_total",
}
"""What its metrics/prometheus.go has beyond that."""


def named(*prefixes: str) -> set[str]:
    """The metrics that the document names, but for those that stand for several."""
    found = re.findall(rf"`((?:{'|'.join(prefixes)})_\w*…?\w*)", DOCUMENT)
    # A label of this exporter's, which begins as those of cAdvisor's metrics do.
    return {name for name in found if "…" not in name and not name.endswith("_") and name != "container_id"}


@pytest.fixture(scope="module")
def ours() -> set[str]:
    """The metrics of this exporter: those of the catalogue, and what this kernel has beside them."""
    page = subprocess.run([COMMAND, "once"], capture_output=True, text=True, check=True).stdout
    return {*METRICS, *re.findall(r"^# TYPE (\w+)", page, re.M)}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The metrics of the peers that run here: what a scrape of each shows now."""
    directory = tmp_path_factory.mktemp("peers")
    flags = {
        "process-exporter": ("-procnames=pytest,python3,python", "-web.listen-address=ADDRESS"),
        "node-exporter": ("--web.listen-address=ADDRESS", "--collector.meminfo_numa", "--collector.ksmd"),
    }
    found = {}
    for name, arguments in flags.items():
        address = free_address()
        command = [program(f"prometheus-{name}"), *(flag.replace("ADDRESS", address) for flag in arguments)]
        with daemon(command, address, "/metrics", directory / name) as started:
            found[name] = set(re.findall(r"^(\w+)[{ ]", started.request("/metrics").text, re.M))
    return found


def test_the_rules_give_the_old_values() -> None:
    for arguments in (
        ["check", "rules", *sorted(COMPAT.glob("*.yaml"))],
        ["test", "rules", COMPAT / "tests/compat.yaml"],
    ):
        done = subprocess.run([program("promtool"), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_of_this_exporter_that_is_named_exists(ours: set[str]) -> None:
    asked = {metric(selector) for rules in RULES.values() for _, query in rules for selector in selectors(query)}
    # A size that only other machines have, as the largest pages of the kernel's own mapping, is in no page here.
    elsewhere = {name for name in asked if name.startswith("vmem_host_") and name not in METRICS}
    assert asked - elsewhere <= ours
    assert named("vmem") - elsewhere <= ours
    assert len(elsewhere - ours) < 10


def test_every_metric_that_a_rule_makes_is_in_the_document() -> None:
    made = {record for rules in RULES.values() for record, _ in rules}
    assert {name for name in made if not name.startswith("node_memory_numa_")} <= named(*PEERS)
    assert {record for record, _ in RULES["cadvisor"]} <= {*CADVISOR, *SINCE}


@pytest.mark.live
def test_every_metric_of_a_peer_that_runs_here_is_named_and_every_named_one_is_its_own(
    theirs: dict[str, set[str]],
) -> None:
    processes = {name for name in theirs["process-exporter"] if name.startswith("namedprocess_")}
    assert named("namedprocess") == processes
    memory = {name for name in theirs["node-exporter"] if name.startswith(("node_memory_", "node_vmstat_"))}
    memory = {name for name in memory if not name.startswith("node_memory_numa_")}
    assert memory <= named("node")
    # Sizes that another kernel or processor has.
    assert len({name for name in named("node") if name.startswith("node_memory_")} - memory) < 10
    assert {record for record, _ in RULES["process-exporter"]} <= processes


def test_every_memory_metric_of_cadvisor_is_named() -> None:
    assert named("container", "machine") == {*CADVISOR, *SINCE}
