"""What is shown of a cgroup, on version 1 and on version 2 of cgroups.

What differs in meaning between the versions has a name of its own; a cell that one version doesn't have is no sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from exporter.catalog.declare import Metric, counter, gauge

LABELS = ("cgroup", "group")

COUNT = gauge("vmem_cgroup_count", "Cgroups that the entry matches now.", "group", source="cgroupfs")
NOT_SHOWN = gauge(
    "vmem_cgroup_not_shown",
    "Cgroups that match, beyond max_cgroups: the smallest by usage.",
    "group",
    source="cgroupfs",
)
INFO = gauge("vmem_cgroup_info", "Always 1; the version of the hierarchy that was read.", *LABELS, "version")
PROCESSES = gauge(
    "vmem_cgroup_processes", "Processes in the cgroup and below it: cgroup.procs.", *LABELS, source="cgroup.procs"
)
WORKING_SET = gauge(
    "vmem_cgroup_working_set_bytes",
    "Usage less the page cache that is easily dropped, at least 0: memory.current less inactive_file of memory.stat;"
    " v1: memory.usage_in_bytes less total_inactive_file. What Kubernetes evicts by.",
    *LABELS,
    source="memory.current, memory.stat",
)
EFFECTIVE_LIMIT = gauge(
    "vmem_cgroup_effective_limit_bytes",
    "The limit that will kill: the smallest memory.max of the cgroup and its ancestors; v1: hierarchical_memory_limit"
    " of memory.stat.",
    *LABELS,
    source="memory.max",
)
STAT_BYTES = gauge(
    "vmem_cgroup_stat_bytes",
    "The byte fields of memory.stat under the kernel's own names; v1: the total_ fields less that prefix. The versions'"
    " fields differ: v1's rss is anonymous memory with swap cache, v2's anon is without.",
    *LABELS,
    "stat",
    source="memory.stat",
)
STAT_EVENTS = counter(
    "vmem_cgroup_stat_events_total",
    "The event fields of memory.stat under the kernel's own names; v1: the total_ fields less that prefix.",
    *LABELS,
    "stat",
    source="memory.stat",
)
PAGE_FAULTS = counter(
    "vmem_cgroup_page_faults_total",
    "Page faults, minor and major: pgfault of memory.stat; v1: total_pgfault.",
    *LABELS,
    source="memory.stat",
)
MAJOR_PAGE_FAULTS = counter(
    "vmem_cgroup_major_page_faults_total",
    "Page faults that waited for the disk: pgmajfault of memory.stat; v1: total_pgmajfault.",
    *LABELS,
    source="memory.stat",
)
EVENTS = counter(
    "vmem_cgroup_events_total",
    "What happened in the cgroup and below it: memory.events. max: the limit was hit and memory reclaimed; oom: that"
    " did not help; oom_kill: tasks killed, which may count a process more than once. v1: max is memory.failcnt of the"
    " cgroup alone, which stays 0 where memory.memsw.limit_in_bytes is no larger than memory.limit_in_bytes; oom_kill"
    " that of memory.oom_control.",
    *LABELS,
    "event",
    source="memory.events",
)
LOCAL_EVENTS = counter(
    "vmem_cgroup_local_events_total",
    "What happened in the cgroup itself: memory.events.local.",
    *LABELS,
    "event",
    source="memory.events.local",
    since="5.2",
)
SWAP_EVENTS = counter(
    "vmem_cgroup_swap_events_total",
    "How often the cgroup hit its limit of swap (max), found no swap left (fail): memory.swap.events.",
    *LABELS,
    "event",
    source="memory.swap.events",
)
PRESSURE = counter(
    "vmem_cgroup_pressure_stall_seconds_total",
    "Time in which some task, or all of them at once (full), waited for memory: the totals of memory.pressure.",
    *LABELS,
    "stall",
    source="memory.pressure",
    since="4.20",
)
_HUGETLB = (*LABELS, "page_size")
HUGETLB = gauge(
    "vmem_cgroup_hugetlb_bytes",
    "Memory in huge pages of the reserved pools: hugetlb.SIZE.current; v1: hugetlb.SIZE.usage_in_bytes.",
    *_HUGETLB,
    source="hugetlb.SIZE.current",
)
HUGETLB_LIMIT = gauge(
    "vmem_cgroup_hugetlb_limit_bytes",
    "Limit of memory in huge pages: hugetlb.SIZE.max; v1: hugetlb.SIZE.limit_in_bytes.",
    *_HUGETLB,
    source="hugetlb.SIZE.max",
)
SWAP = gauge(
    "vmem_cgroup_swap_bytes",
    "Memory in swap: memory.swap.current; v1: total_swap of memory.stat.",
    *LABELS,
    source="memory.swap.current",
)


EVENT_FILES = (
    ("memory.events", EVENTS),
    ("memory.events.local", LOCAL_EVENTS),
    ("memory.swap.events", SWAP_EVENTS),
)
"""Version 2's files of events."""

EVENT_STATS = re.compile(
    r"(?!pgfault$|pgmajfault$)(pg|workingset_|thp_|zswp|swpin_|swpout_|numa_(pages|pte|hint|task)|memcg_|kswapd_).*"
)
"""The fields of memory.stat that count events; all others are bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """The files of one number that a version has, and the metric of each."""

    number: Literal["1", "2"]
    values: Mapping[str, Metric]
    usage: str
    stat_from: bytes
    """Where what is shown of memory.stat begins: version 1 has the fields of the cgroup alone before."""
    stat_prefix: str
    hugetlb: Mapping[str, Metric]


def _value(name: str, help: str, file: str, v1: str = "") -> tuple[Metric, str, str]:
    text = f"{help}: {file or v1}" + (f"; v1: {v1}." if file and v1 else ".")
    return gauge(f"vmem_cgroup_{name}_bytes", text, *LABELS, source=file or v1), file, v1


_VALUES = (
    _value("usage", "All memory charged, page cache included", "memory.current", "memory.usage_in_bytes"),
    _value("peak", "The most that the usage has been", "memory.peak", "memory.max_usage_in_bytes"),
    _value("limit", "Limit beyond which the kernel reclaims and then kills", "memory.max", "memory.limit_in_bytes"),
    _value("high", "Limit beyond which tasks are throttled and made to reclaim", "memory.high"),
    _value("low", "Usage below which reclaim spares the cgroup while it can", "memory.low"),
    _value("min", "Usage below which reclaim always spares the cgroup", "memory.min"),
    _value("swap_limit", "Limit of memory in swap", "memory.swap.max"),
    _value("swap_peak", "The most memory that has been in swap", "memory.swap.peak"),
    _value("zswap", "RAM that compressed pages take", "memory.zswap.current"),
    _value("zswap_limit", "Limit of RAM that compressed pages take", "memory.zswap.max"),
    _value("soft_limit", "Usage to which the cgroup is reclaimed first", "", "memory.soft_limit_in_bytes"),
    _value("memsw_limit", "Limit of memory and swap together", "", "memory.memsw.limit_in_bytes"),
    _value("memsw_usage", "Memory and swap together", "", "memory.memsw.usage_in_bytes"),
    _value("kernel", "Kernel memory charged", "", "memory.kmem.usage_in_bytes"),
)
V2 = Version(
    "2",
    {**{file: metric for metric, file, _ in _VALUES if file}, "memory.swap.current": SWAP},
    "memory.current",
    b"",
    "",
    {"current": HUGETLB, "max": HUGETLB_LIMIT},
)
V1 = Version(
    "1",
    {v1: metric for metric, _, v1 in _VALUES if v1},
    "memory.usage_in_bytes",
    b"hierarchical_memory_limit ",
    "total_",
    {"usage_in_bytes": HUGETLB, "limit_in_bytes": HUGETLB_LIMIT},
)
