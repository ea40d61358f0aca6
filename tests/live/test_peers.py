"""The numbers of the exporter beside those that others give of the same processes and the same host."""

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import StartChild, StartExporter
from kernel.cgroups import Cgroup
from support import procfs
from support.daemon import daemon, free_address
from support.needs import program
from support.page import Page, parsed, series
from support.procfs import KIB, MIB

pytestmark = pytest.mark.live

Scrape = Callable[[], Page]


@contextmanager
def peer(directory: Path, name: str, *flags: str) -> Iterator[Scrape]:
    """Another exporter at work, by its scrape."""
    address = free_address()
    command = [program(name), *(flag.replace("ADDRESS", address) for flag in flags)]
    with daemon(command, address, "/metrics", directory / f"{name}.log") as started:
        yield lambda: parsed(started.request("/metrics").text)


GROUPS = ("peer-many", "peer-swapped")
PEER_CONFIG = """
process_names:
- {name: "{{.Comm}}", comm: [peer-many, peer-swapped]}
"""
CONFIG = "processes: [{name: '{comm}', cmdline: ['child\\.py peer-']}]"

Same = tuple[str, dict[str, str], str, dict[str, str]]
"""A metric of the exporter, and the one of process-exporter that is the same, each with its labels."""

GAUGES: list[Same] = [
    ("vmem_process_count", {}, "num_procs", {}),
    ("vmem_process_threads", {}, "num_threads", {}),
    ("vmem_process_virtual_bytes", {}, "memory_bytes", {"memtype": "virtual"}),
    ("vmem_process_swap_bytes", {}, "memory_bytes", {"memtype": "swapped"}),
]
COUNTERS: list[Same] = [
    ("vmem_process_minor_page_faults_total", {}, "minor_page_faults_total", {}),
    ("vmem_process_major_page_faults_total", {}, "major_page_faults_total", {}),
    ("vmem_process_cpu_seconds_total", {"mode": "user"}, "cpu_seconds_total", {"mode": "user"}),
    ("vmem_process_cpu_seconds_total", {"mode": "system"}, "cpu_seconds_total", {"mode": "system"}),
    (
        "vmem_process_context_switches_total",
        {"kind": "voluntary"},
        "context_switches_total",
        {"ctxswitchtype": "voluntary"},
    ),
    (
        "vmem_process_context_switches_total",
        {"kind": "involuntary"},
        "context_switches_total",
        {"ctxswitchtype": "nonvoluntary"},
    ),
]


@pytest.mark.usefixtures("swap")
def test_groups_agree_with_process_exporter(
    tmp_path: Path, cgroup: Cgroup, start_exporter: StartExporter, start_child: StartChild
) -> None:
    swapped = start_child("peer-swapped", cgroup)
    many = [start_child("peer-many") for _ in range(3)]
    children = {"peer-many": many, "peer-swapped": [swapped]}
    swapped.run("m = memory(64 << 20); touch(m)")
    cgroup.limit(memory=24 * MIB, swap=1024 * MIB)
    many[0].run("m = memory(300 << 20)")
    many[1].run("import threading; stop = threading.Event(); threading.Thread(target=stop.wait, daemon=True).start()")
    (tmp_path / "peer.yaml").write_text(PEER_CONFIG)
    flags = (
        f"-config.path={tmp_path / 'peer.yaml'}",
        "-web.listen-address=ADDRESS",
        "-threads=false",
        "-gather-smaps=false",
    )
    with peer(tmp_path, "prometheus-process-exporter", *flags) as scrape_peer:
        exporter = start_exporter(CONFIG)

        def watched() -> Page:
            # What takes its time to scrape, and what is of other processes, moves.
            return {key: value for key, value in exporter.scrape().items() if 'group="peer-' in key}

        first, first_of_peer = procfs.while_still(watched, scrape_peer)
        for child in many:
            child.run("n = memory(16 << 20); touch(n)")
        swapped.run("touch(m)")
        second, second_of_peer = procfs.while_still(watched, scrape_peer)

    for group in GROUPS:
        for name, labels, peers_name, peers_labels in GAUGES + COUNTERS:
            ours = series(name, group=group, **labels)
            theirs = series(f"namedprocess_namegroup_{peers_name}", groupname=group, **peers_labels)
            if (name, labels, peers_name, peers_labels) in GAUGES:
                assert (first[ours], second[ours]) == (first_of_peer[theirs], second_of_peer[theirs]), ours
            else:
                rise = second[ours] - first[ours]
                assert rise == pytest.approx(second_of_peer[theirs] - first_of_peer[theirs], abs=1e-6), ours
        # The peer reads the kernel's approximate count, and whole seconds.
        resident = sum(procfs.status(child.pid)["VmRSS"] for child in children[group]) * KIB
        assert second[series("vmem_process_resident_bytes", group=group)] == resident
        started = second_of_peer[series("namedprocess_namegroup_oldest_start_time_seconds", groupname=group)]
        assert 0 <= second[series("vmem_process_oldest_start_time_seconds", group=group)] - started < 1
    assert second[series("vmem_process_count", group="peer-many")] == 3
    assert second[series("vmem_process_swap_bytes", group="peer-swapped")] >= 32 * MIB
    major = series("vmem_process_major_page_faults_total", group="peer-swapped")
    minor = series("vmem_process_minor_page_faults_total", group="peer-many")
    assert second[major] - first[major] > 0
    assert second[minor] - first[minor] >= 3 * 16 * MIB // (4 * KIB)


SYSCTLS = {
    "overcommit_memory": ("overcommit_memory", 1),
    "overcommit_ratio": ("overcommit_ratio", 0.01),
    "overcommit_kbytes": ("overcommit_bytes", KIB),
    "admin_reserve_kbytes": ("admin_reserve_bytes", KIB),
    "user_reserve_kbytes": ("user_reserve_bytes", KIB),
    "swappiness": ("swappiness", 1),
    "min_free_kbytes": ("min_free_bytes", KIB),
    "watermark_scale_factor": ("watermark_scale_factor", 1),
    "vfs_cache_pressure": ("vfs_cache_pressure", 1),
    "page-cluster": ("page_cluster", 1),
    "panic_on_oom": ("panic_on_oom", 1),
    "oom_kill_allocating_task": ("oom_kill_allocating_task", 1),
    "max_map_count": ("max_map_count", 1),
    "zone_reclaim_mode": ("zone_reclaim_mode", 1),
}
"""The kernel's word for a sysctl, and what the exporter makes of it: a metric and a factor."""

NODE_FLAGS = (
    "--web.listen-address=ADDRESS",
    "--collector.disable-defaults",
    *(f"--collector.{name}" for name in ("meminfo", "meminfo_numa", "vmstat", "pressure", "ksmd", "sysctl")),
    "--collector.vmstat.fields=.*",
    *(f"--collector.sysctl.include=vm.{sysctl}" for sysctl in SYSCTLS),
)

POOLS = {"Total": "pool", "Free": "free", "Rsvd": "reserved", "Surp": "surplus"}

RULES = [
    *((f"node_memory_HugePages_{word}", f"vmem_hugetlb_{pool}_pages{{DEFAULT}}") for word, pool in POOLS.items()),
    *(
        (rf"node_memory_numa_HugePages_{word}\{{(.*)\}}", rf"vmem_node_hugetlb_{pool}_pages{{\1,DEFAULT}}")
        for word, pool in POOLS.items()
    ),
    (r"node_memory_numa_(\w+)\{(.*)\}", r"vmem_node_\1_bytes{\2}"),
    (r"node_memory_(\w+)", r"vmem_host_\1"),
    (r"node_vmstat_(\w+)", r"vmem_host_\1_total"),
    (r"node_pressure_memory_waiting_seconds_total", r'vmem_host_pressure_stall_seconds_total{stall="some"}'),
    (r"node_pressure_memory_stalled_seconds_total", r'vmem_host_pressure_stall_seconds_total{stall="full"}'),
    (r"node_ksmd_(\w+)", r"vmem_ksm_\1"),
]
"""How node_exporter's series would be called here: the first rule that fits says it, but for _ and capitals."""


def bare(key: str) -> str:
    """A series without what the two spell differently."""
    name, brace, labels = key.lower().partition("{")
    return name.replace("_", "") + brace + labels


def default_size(page: Page) -> str:
    """The label of the pool of default huge pages, the only one in meminfo."""
    return f'page_size="{page["vmem_host_hugepagesize_bytes"] / KIB:.0f}kB"'


def counterparts(node: Page, ours: Page) -> dict[str, tuple[str, float]]:
    """For each series of node_exporter that the exporter has too: which one it is, and the factor between them."""
    by_bare_name = {bare(key): key for key in ours}
    found: dict[str, tuple[str, float]] = {}
    for key in node:
        for pattern, template in RULES:
            if match := re.fullmatch(pattern, key):
                wanted = match.expand(template).replace("DEFAULT", default_size(ours))
                if bare(wanted) in by_bare_name:
                    found[key] = (by_bare_name[bare(wanted)], 1)
                break
    for sysctl, (name, factor) in SYSCTLS.items():
        key = f"node_sysctl_vm_{sysctl.replace('-', '_')}"
        if key in node:
            found[key] = (f"vmem_vm_{name}", factor)
    return found


def test_the_host_agrees_with_node_exporter(tmp_path: Path, start_exporter: StartExporter) -> None:
    exporter = start_exporter("collectors: {process: false, cgroup: false}")
    with peer(tmp_path, "prometheus-node-exporter", *NODE_FLAGS) as scrape_node:
        pairs = counterparts(scrape_node(), exporter.scrape())
        differ = dict(pairs)
        for _ in range(50):
            before, ours, after = scrape_node(), exporter.scrape(), scrape_node()
            for key, (name, factor) in tuple(differ.items()):
                low, high = sorted((before[key] * factor, after[key] * factor))
                moves = low != high and "_total" not in name
                room = 0.02 if moves else 1e-12  # a division that each makes in its own way
                if low * (1 - room) <= ours[name] <= high * (1 + room):
                    del differ[key]
            if not differ:
                break
    assert differ == {}
    both = {name for name, _ in pairs.values()}
    of_host = {key for key in ours if re.match(r"vmem_(host|vm)_|vmem_node_\w+_bytes\b", key)}
    # All that is shown of the host and its nodes, but for swap devices, which node_exporter doesn't have.
    assert {key for key in of_host - both if "_swap_device_" not in key} == set()
    assert {f"vmem_hugetlb_{pool}_pages{{{default_size(ours)}}}" for pool in POOLS.values()} <= both
    fields = {key for key in before if re.match("node_memory_(?!numa_)", key)}
    assert fields <= pairs.keys()


def test_promtool_complains_of_nothing_but_names_that_are_fixed(start_exporter: StartExporter) -> None:
    promtool = program("promtool")
    options = "smaps: true, oom_score: true, per_process: true"
    exporter = start_exporter(f"processes: [{{name: '{{comm}}', {options}}}]\ncgroups: [{{name: all, path: '/**'}}]")
    text = exporter.request("/metrics").text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    count = 'non-histogram and non-summary metrics should not have "_count" suffix'
    # sec_page_tables is the kernel's own word, for secondary page tables.
    allowed = {f"{name} {count}" for name in ("vmem_process_count", "vmem_cgroup_count", "vmem_vm_max_map_count")}
    allowed.add("vmem_host_sec_page_tables_bytes metric names should not contain abbreviated units")
    assert set(checked.stdout.splitlines() + checked.stderr.splitlines()) <= allowed
