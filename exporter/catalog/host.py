"""What is shown of the host. Sources whose keys are open (meminfo, vmstat) are declared by pattern, so that a field
that a newer kernel adds is there without a change; the words beside the best known ones say what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, NamedTuple

from exporter.catalog.declare import (
    KIB,
    MICROSECONDS,
    ONE,
    PERCENT,
    Key,
    Kind,
    Metric,
    Unit,
    columns,
    declare,
    gauge,
    value,
)

N = int | None


class Pressure(NamedTuple):
    """/proc/pressure/memory (Linux 4.20; kernel/sched/psi.c). Stall time in microseconds."""

    some: Annotated[
        N,
        Key("some", MICROSECONDS, since="4.20"),
        value(
            "vmem_host_pressure_stall_seconds_total",
            "Time in which some task, or all of them at once (full), waited for memory: the totals of",
            stall="some",
        ),
    ] = None
    full: Annotated[
        N, Key("full", MICROSECONDS, since="4.20"), value("vmem_host_pressure_stall_seconds_total", stall="full")
    ] = None


@dataclass(frozen=True, slots=True)
class Open:
    """The metrics of a source whose set of keys is open: one for each key that the pattern takes whole."""

    source: str
    name: str
    kind: Kind
    keys: str
    help: str
    unit: Unit = ONE
    labels: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    known: dict[str, Metric | None] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for key in self.notes:
            self.metric(key)

    def metric(self, key: str) -> Metric | None:
        """The metric of a kernel key, None for one that isn't shown."""
        if key not in self.known:
            shown = re.fullmatch(self.keys, key)
            text = self.help.format(key=key, note=self.notes[key] + ": " if key in self.notes else "")
            self.known[key] = (
                declare(Metric(self.name.format(snake(key)), self.kind, text, self.labels, self.source, self.since))
                if shown
                else None
            )
        return self.known[key]


def snake(key: str) -> str:
    """A kernel key as part of a metric's name: MemAvailable and Active(anon) as mem_available and active_anon."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", re.sub(r"\W+", "_", key).strip("_")).lower()


MEMINFO = Open(
    "/proc/meminfo",
    "vmem_host_{}_bytes",
    "gauge",
    # The HugePages_ lines are counts of the default size's pool, which is shown with the other pools.
    r"(?!HugePages_).*",
    "{note}{key} of /proc/meminfo.",
    KIB,
    notes={
        "MemTotal": "RAM that the kernel can use",
        "MemFree": "RAM that holds nothing at all; low is normal, see MemAvailable",
        "MemAvailable": "RAM that programs can still get without swapping",
        "Buffers": "Page cache of block devices",
        "Cached": "Page cache of files, and shared memory",
        "SwapCached": "Memory that is in swap and in RAM again",
        "SwapTotal": "Swap space",
        "SwapFree": "Swap space that is not in use",
        "Dirty": "Page cache that waits to be written",
        "Writeback": "Page cache that is being written",
        "AnonPages": "Heaps, stacks and other memory without a file, mapped by programs",
        "Mapped": "Files mapped by programs",
        "Shmem": "Shared memory and tmpfs",
        "Slab": "Memory for the kernel's own objects",
        "SReclaimable": "Kernel objects that can be dropped under pressure",
        "SUnreclaim": "Kernel objects that can't be dropped",
        "PageTables": "Memory that maps virtual to physical addresses",
        "KernelStack": "Stacks of the kernel for its tasks",
        "Mlocked": "Memory locked into RAM",
        "Unevictable": "Memory that can't be reclaimed",
        "CommitLimit": "What may be promised to programs; a limit only where overcommit_memory is 2",
        "Committed_AS": "What has been promised to programs, touched or not",
        "AnonHugePages": "Anonymous memory that transparent huge pages back",
        "Hugepagesize": "Size of a default huge page",
        "Hugetlb": "RAM set aside for the pools of huge pages, of all sizes, used or not",
        "Zswap": "RAM that the compressed pages of zswap take",
        "Zswapped": "Size before compression of what zswap holds",
    },
)
NODE_MEMINFO = Open(
    "/sys/devices/system/node/nodeN/meminfo",
    "vmem_node_{}_bytes",
    "gauge",
    r"Mem(Total|Free|Used)|(In)?[Aa]ctive(\((anon|file)\))?|Unevictable|Mlocked|Dirty|Writeback|FilePages|Mapped"
    r"|AnonPages|Shmem|KernelStack|PageTables|Slab|S(Reclaimable|Unreclaim)|AnonHugePages|SwapCached",
    "{note}{key} of a NUMA node's meminfo.",
    KIB,
    ("node",),
    notes={"MemTotal": "RAM of the node", "MemFree": "Free RAM of the node", "MemUsed": "RAM of the node in use"},
)
VMSTAT = Open(
    "/proc/vmstat",
    "vmem_host_{}_total",
    "counter",
    # Everything that counts events; fields that begin with nr_, and workingset_nodes, are amounts.
    r"(?!nr_|workingset_nodes$)(pg|psw|swap|swp|zsw|allocstall|workingset|compact|thp|oom|numa_|slabs|kswapd|pageoutrun"
    r"|drop_|unevictable|htlb|zone_reclaim|cow_ksm|ksm|direct_map|balloon).*",
    "{note}{key} of /proc/vmstat.",
    notes={
        "pgfault": "Page faults, minor and major",
        "pgmajfault": "Page faults that waited for the disk",
        "pgpgin": "KiB read from disks",
        "pgpgout": "KiB written to disks",
        "pswpin": "Pages swapped in",
        "pswpout": "Pages swapped out",
        "oom_kill": "Processes killed for want of memory",
        "allocstall_normal": "Allocations that had to reclaim memory themselves, which is felt as latency",
        "allocstall_movable": "Allocations that had to reclaim memory themselves, which is felt as latency",
        "pgscan_kswapd": "Pages looked at by background reclaim",
        "pgscan_direct": "Pages looked at by programs that had to reclaim",
        "pgsteal_kswapd": "Pages reclaimed in the background",
        "pgsteal_direct": "Pages reclaimed by programs that had to",
        "workingset_refault_anon": "Swapped pages needed again soon after they went: thrashing",
        "workingset_refault_file": "File pages needed again soon after they went: thrashing",
        "compact_stall": "Allocations that had to wait for compaction",
        "thp_fault_alloc": "Huge pages given at a page fault",
        "thp_fault_fallback": "Page faults that wanted a huge page and got small ones",
        "thp_collapse_alloc": "Huge pages made by khugepaged from small ones",
        "thp_split_page": "Huge pages split into small ones",
        "zswpin": "Pages taken back out of zswap",
        "zswpout": "Pages put into zswap",
    },
)

HOST_PRESSURE = columns(Pressure, "/proc/pressure/memory")

_SWAPS = ("device", "kind")
SWAP_SIZE = gauge(
    "vmem_host_swap_device_size_bytes", "Size of a swap device: /proc/swaps.", *_SWAPS, source="/proc/swaps"
)
SWAP_USED = gauge(
    "vmem_host_swap_device_used_bytes", "Part of a swap device in use: /proc/swaps.", *_SWAPS, source="/proc/swaps"
)
SWAP_PRIORITY = gauge(
    "vmem_host_swap_device_priority",
    "Priority of a swap device, the highest is used first: /proc/swaps.",
    *_SWAPS,
    source="/proc/swaps",
)


@dataclass(frozen=True, slots=True)
class ValueFile:
    """A file with one number in it, and the metric that shows it."""

    file: str
    metric: Metric
    unit: Unit = ONE


def _sysctl(file: str, name: str, help: str, unit: Unit = ONE) -> ValueFile:
    source = f"/proc/sys/vm/{file}"
    return ValueFile(file, gauge(f"vmem_vm_{name}", f"{help}: {source}.", source=source), unit)


SYSCTLS = (
    _sysctl(
        "overcommit_memory",
        "overcommit_memory",
        "Whether more memory may be promised than there is: 0 by a heuristic, 1 always, 2 never",
    ),
    _sysctl("overcommit_ratio", "overcommit_ratio", "Part of RAM that counts into CommitLimit", PERCENT),
    _sysctl("overcommit_kbytes", "overcommit_bytes", "Bytes that count into CommitLimit in place of the ratio", KIB),
    _sysctl("admin_reserve_kbytes", "admin_reserve_bytes", "Memory kept back for root", KIB),
    _sysctl("user_reserve_kbytes", "user_reserve_bytes", "Memory kept back for users in overcommit mode 2", KIB),
    _sysctl("swappiness", "swappiness", "Willingness to swap before dropping page cache, 0 to 200"),
    _sysctl("min_free_kbytes", "min_free_bytes", "RAM that the kernel keeps free for itself", KIB),
    _sysctl(
        "watermark_scale_factor", "watermark_scale_factor", "How early background reclaim starts, in 1/10,000 of RAM"
    ),
    _sysctl("vfs_cache_pressure", "vfs_cache_pressure", "Willingness to drop directory and inode caches, 100 is even"),
    _sysctl("page-cluster", "page_cluster", "Pages read at once from swap, as a power of two"),
    _sysctl("panic_on_oom", "panic_on_oom", "Whether the machine panics where it would kill: 0, 1 or 2"),
    _sysctl(
        "oom_kill_allocating_task", "oom_kill_allocating_task", "Whether the task that asks is the one killed: 0 or 1"
    ),
    _sysctl("max_map_count", "max_map_count", "Mappings that a process may have"),
    _sysctl("zone_reclaim_mode", "zone_reclaim_mode", "How a NUMA node is reclaimed before another one is used"),
)


def _pool(file: str, name: str, help: str) -> tuple[str, Metric]:
    source = "/sys/kernel/mm/hugepages"
    return file, gauge(f"vmem_hugetlb_{name}_pages", f"{help}: {file} of {source}.", "page_size", source=source)


def _node_pool(file: str, name: str, help: str) -> tuple[str, Metric]:
    source = "/sys/devices/system/node/nodeN/hugepages"
    name = f"vmem_node_hugetlb_{name}_pages"
    return file, gauge(name, f"{help}: {file} of {source}.", "node", "page_size", source=source)


POOLS = (
    _pool("nr_hugepages", "pool", "Huge pages that are set aside, used or not"),
    _pool("free_hugepages", "free", "Huge pages set aside and not in use, RAM that nobody else can have"),
    _pool("resv_hugepages", "reserved", "Free huge pages that are promised to a mapping"),
    _pool("surplus_hugepages", "surplus", "Huge pages beyond the pool, made on demand"),
    _pool("nr_overcommit_hugepages", "overcommit", "Most surplus huge pages that may be made"),
)
NODE_POOLS = (
    _node_pool("nr_hugepages", "pool", "Huge pages that are set aside on the node, used or not"),
    _node_pool("free_hugepages", "free", "Huge pages set aside on the node and not in use"),
    _node_pool("surplus_hugepages", "surplus", "Huge pages of the node beyond the pool"),
)

_THP = "/sys/kernel/mm/transparent_hugepage"


def _mode(file: str, help: str) -> ValueFile:
    return ValueFile(file, gauge(f"vmem_thp_{file}", f"{help}: {file} of {_THP}.", "mode", source=f"{_THP}/{file}"))


THP_MODES = (
    _mode("enabled", "Where transparent huge pages are used; 1 for the mode in force"),
    _mode("defrag", "How hard a page fault tries for a huge page; 1 for the mode in force"),
    _mode("shmem_enabled", "Where shared memory gets huge pages; 1 for the mode in force"),
)


def _khugepaged(file: str, help: str) -> ValueFile:
    name = f"vmem_thp_khugepaged_{file}_total"
    source = f"{_THP}/khugepaged/{file}"
    return ValueFile(file, declare(Metric(name, "counter", f"{help}: {source}.", (), source)))


KHUGEPAGED = (
    _khugepaged("pages_collapsed", "Huge pages that khugepaged made from small ones"),
    _khugepaged("full_scans", "Passes of khugepaged over all memory"),
)
THP_SIZE_AMOUNTS = Open(
    f"{_THP}/hugepages-SIZE/stats",
    "vmem_thp_size_{}",
    "gauge",
    "nr_.*",
    "{note}{key} of " + _THP + "/hugepages-SIZE/stats.",
    labels=("page_size",),
    notes={"nr_anon": "Anonymous huge pages of this size in use"},
    since="6.8",
)
THP_SIZE_EVENTS = Open(
    f"{_THP}/hugepages-SIZE/stats",
    "vmem_thp_size_{}_total",
    "counter",
    "(?!nr_).*",
    "{note}{key} of " + _THP + "/hugepages-SIZE/stats.",
    labels=("page_size",),
    notes={
        "anon_fault_alloc": "Huge pages of this size given at a page fault",
        "anon_fault_fallback": "Page faults that wanted this size and got smaller pages",
        "swpout": "Huge pages of this size swapped out whole",
        "split": "Huge pages of this size split",
    },
    since="6.8",
)
MEMORY_TIER = gauge(
    "vmem_node_memory_tier",
    "Tier of a NUMA node's memory, the smallest number is the fastest: /sys/devices/virtual/memory_tiering.",
    "node",
    source="/sys/devices/virtual/memory_tiering",
    since="6.1",
)
KSM_EVENTS = Open(
    "/sys/kernel/mm/ksm",
    "vmem_ksm_{}_total",
    "counter",
    "full_scans|pages_(scanned|skipped)",
    "{note}{key} of /sys/kernel/mm/ksm.",
    notes={"full_scans": "Passes of KSM over all mergeable memory"},
)
KSM_AMOUNTS = Open(
    "/sys/kernel/mm/ksm",
    "vmem_ksm_{}",
    "gauge",
    "run|pages_(shared|sharing|unshared|volatile)|ksm_zero_pages|stable_node_(chains|dups)",
    "{note}{key} of /sys/kernel/mm/ksm.",
    notes={
        "run": "Whether same pages are merged: 0 no, 1 yes, 2 unmerging",
        "pages_shared": "Pages kept that stand for many",
        "pages_sharing": "Pages saved by merging",
    },
)
KSM_PROFIT = gauge(
    "vmem_ksm_general_profit_bytes",
    "RAM that merging saves, less what it costs; it may be negative: general_profit of /sys/kernel/mm/ksm.",
    source="/sys/kernel/mm/ksm",
    since="6.4",
)
ZSWAP_ENABLED = gauge(
    "vmem_zswap_enabled",
    "Whether pages on their way to swap are compressed in RAM first: enabled of /sys/module/zswap/parameters.",
    source="/sys/module/zswap/parameters",
)
ZSWAP_LIMIT = gauge(
    "vmem_zswap_max_pool_ratio",
    "Part of RAM that zswap's pool may take: max_pool_percent of /sys/module/zswap/parameters.",
    source="/sys/module/zswap/parameters",
)
