"""One host: what is left, what was promised, what the kernel does to find more, and how it is set."""

from __future__ import annotations

from panels import (
    BYTES,
    COUNT,
    FAULTS,
    LOW_IS_BAD,
    ORANGE,
    PAGES,
    PAGES_A_SECOND,
    RATIO,
    RED,
    Line,
    figure,
    graph,
    increase,
    one,
    page,
    rate,
    row,
    steps,
    variable,
)

UID = "vmem-host"


def memory(field: str) -> str:
    """A field of /proc/meminfo."""
    return one(f"vmem_host_{field}_bytes")


def events(field: str) -> str:
    """The rate of a field of /proc/vmstat."""
    return rate(one(f"vmem_host_{field}_total"))


BOARD = page(
    UID,
    "Memory / Host",
    "One host: memory available, overcommit, swap, pressure, and huge pages.",
    (
        variable("job", "Job", "vmem_exporter_build_info"),
        variable("instance", "Instance", 'vmem_exporter_build_info{job="$job"}'),
    ),
    (
        figure(
            "Available",
            "The part of RAM that programs can still get without swapping. It is the number to watch: free RAM is"
            " always low, since the kernel fills it with cache.",
            RATIO,
            f"{memory('mem_available')} / {memory('mem_total')}",
            LOW_IS_BAD,
            decimals=0,
            width=3,
        ),
        figure(
            "Swap in use",
            "Memory on disk. Swap is a buffer for emergencies; a little that was swapped long ago and is never needed"
            " does no harm.",
            BYTES,
            f"{memory('swap_total')} - {memory('swap_free')}",
            steps((1, ORANGE)),
            width=3,
        ),
        figure(
            "Processes killed",
            "Processes that the kernel killed for want of memory in the time shown, in cgroups and on the whole host.",
            COUNT,
            increase(one("vmem_host_oom_kill_total")),
            steps((0.5, RED)),
            decimals=0,
            width=3,
        ),
        figure(
            "Promised of the limit",
            "Committed_AS as a part of CommitLimit. With overcommit by heuristic or always it may go above 100 % and"
            " is only a hint; with overcommit never, malloc fails at 100 %.",
            RATIO,
            f"{memory('committed_as')} / {memory('commit_limit')}",
            steps((0.9, ORANGE)),
            decimals=0,
            width=3,
        ),
        figure(
            "Overcommit",
            "Whether the kernel promises more memory than there is (vm.overcommit_memory). Heuristic is the default;"
            " always suits programs that fork while they are large; never makes malloc fail instead of the OOM killer.",
            COUNT,
            one("vmem_vm_overcommit_memory"),
            words={"0": "0 heuristic", "1": "1 always", "2": "2 never"},
            width=3,
        ),
        figure(
            "Overcommit ratio",
            "The part of RAM that counts into CommitLimit, beside swap (vm.overcommit_ratio). It matters only where"
            " overcommit is never: the default of 50 % then leaves half of the RAM out of reach without swap.",
            RATIO,
            one("vmem_vm_overcommit_ratio"),
            width=3,
        ),
        figure(
            "Swappiness",
            "How readily the kernel swaps programs' memory rather than drop page cache, 0 to 200 (vm.swappiness; 60 by"
            " default). On a server where swap is for emergencies, 1 to 10.",
            COUNT,
            one("vmem_vm_swappiness"),
            width=3,
        ),
        figure(
            "Huge pages for all",
            "Where transparent huge pages are used: always, by request alone (madvise), or never. Always can bloat"
            " programs that touch memory here and there; databases ask for never or madvise.",
            COUNT,
            f"{one('vmem_thp_enabled')} == 1",
            width=3,
            by="{{mode}}",
        ),
    ),
    row(
        "What is left",
        graph(
            "Memory",
            "RAM in all, what programs can still get, and what holds nothing at all. Low free is normal. Bad:"
            " available falls steadily, or comes near 0.",
            BYTES,
            Line(memory("mem_total"), "total", "red", limit=True),
            Line(memory("mem_available"), "available", "green"),
            Line(memory("mem_free"), "free", "blue"),
            width=12,
        ),
        graph(
            "What holds the RAM",
            "The largest uses of RAM. The kernel can drop page cache and reclaimable objects, and nothing else here."
            " Bad: the kernel's own objects that only grow (a leak in the kernel), or huge page pools that hold RAM"
            " which nobody uses.",
            BYTES,
            Line(memory("anon_pages"), "programs (AnonPages)", "orange"),
            Line(memory("shmem"), "shared memory, tmpfs (Shmem)", "purple"),
            Line(memory("hugetlb"), "huge page pools (Hugetlb)", "yellow"),
            Line(memory("sunreclaim"), "kernel objects that stay (SUnreclaim)", "red"),
            Line(f"{memory('page_tables')} + {memory('kernel_stack')}", "page tables and kernel stacks", "dark-red"),
            Line(memory("sreclaimable"), "kernel objects that can go (SReclaimable)", "light-blue"),
            # Cached has tmpfs in it, which is memory that can't be dropped.
            Line(f"{memory('cached')} + {memory('buffers')} - {memory('shmem')}", "page cache", "blue"),
            width=12,
            stacked=True,
        ),
    ),
    row(
        "What was promised",
        graph(
            "Promised against the limit",
            "What programs have asked for, touched or not, against what the kernel would promise under overcommit"
            " never. Bad there: promised near the limit, for malloc will fail. Elsewhere: a steep rise that resident"
            " memory will follow.",
            BYTES,
            Line(memory("committed_as"), "promised (Committed_AS)", "orange"),
            Line(memory("commit_limit"), "limit (CommitLimit)", "red", limit=True),
            Line(memory("mem_total"), "RAM", "blue", limit=True),
        ),
        graph(
            "Overcommit settings",
            "The mode over time: 0 heuristic, 1 always, 2 never. Bad: a step that nobody knows of: an image, a package"
            " or a tuning tool changed it.",
            COUNT,
            Line(one("vmem_vm_overcommit_memory"), "mode (overcommit_memory)", "orange"),
            Line(one("vmem_vm_overcommit_ratio"), "ratio (overcommit_ratio)", "blue"),
        ),
        graph(
            "Kept back",
            "Memory that the kernel keeps free for itself, and for an administrator and a user to log in with under"
            " overcommit never. Bad: min_free below 64 MB on a large host: bursts of network traffic find no memory.",
            BYTES,
            Line(one("vmem_vm_min_free_bytes"), "free at least (min_free_kbytes)", "orange"),
            Line(one("vmem_vm_admin_reserve_bytes"), "for the administrator (admin_reserve_kbytes)", "blue"),
            Line(one("vmem_vm_user_reserve_bytes"), "for a user (user_reserve_kbytes)", "purple"),
        ),
    ),
    row(
        "Swap",
        graph(
            "Swap space",
            "How much there is, and how much is used. Bad: a rise that does not stop: when it is full, the OOM killer"
            " is next. A plateau that is never read again is harmless.",
            BYTES,
            Line(memory("swap_total"), "total", "red", limit=True),
            Line(one("vmem_host_swap_device_used_bytes"), "used of {{device}}"),
        ),
        graph(
            "Swapped in and out",
            "Pages moved. Out alone is the kernel making room, once. Bad: in and out at the same time: what is swapped"
            " out is needed again at once, and everything becomes slow.",
            PAGES_A_SECOND,
            Line(events("pswpout"), "out (pswpout)", "blue"),
            Line(events("pswpin"), "in (pswpin)", "red"),
        ),
        graph(
            "Major page faults",
            "Touches of memory that waited for the disk, of all processes. Bad: a plateau. With pages swapped in it is"
            " swap; without, programs and mapped files were dropped from RAM.",
            FAULTS,
            Line(events("pgmajfault"), "major (pgmajfault)", "red"),
        ),
    ),
    row(
        "Pressure",
        graph(
            "Time lost to memory pressure",
            "The part of the time in which some task waited for memory, or every one at once (full). Bad: full above 1"
            " % for minutes; at 10 % the host is hardly usable.",
            RATIO,
            Line(rate(one("vmem_host_pressure_stall_seconds_total", 'stall="some"')), "some", "orange"),
            Line(rate(one("vmem_host_pressure_stall_seconds_total", 'stall="full"')), "full", "red"),
        ),
        graph(
            "Reclaim",
            "Pages taken back for the host: by the kernel in the background, or by programs that had to wait for it"
            " (direct). Bad: direct at all for long, for it is felt as latency. What the limits of cgroups cost is on"
            " their dashboard.",
            PAGES_A_SECOND,
            Line(events("pgsteal_kswapd"), "in the background (pgsteal_kswapd)", "green"),
            Line(events("pgsteal_direct"), "by programs (pgsteal_direct)", "red"),
        ),
        graph(
            "Dropped too soon",
            "Pages needed again soon after they were dropped or swapped (refaults). Bad: a plateau: the host thrashes,"
            " and what runs on it needs more RAM than there is.",
            PAGES_A_SECOND,
            Line(events("workingset_refault_anon"), "anon, from swap", "red"),
            Line(events("workingset_refault_file"), "file", "blue"),
        ),
    ),
    row(
        "Huge pages of the reserved pools",
        graph(
            "Pools by size",
            "Huge pages set aside, and those of them that nobody uses, which are RAM lost to all others. Bad: free"
            " equal to the pool for days (nobody uses it), or free at 0 (the next process gets none).",
            PAGES,
            Line(one("vmem_hugetlb_pool_pages"), "{{page_size}} pool"),
            Line(one("vmem_hugetlb_free_pages"), "{{page_size}} free"),
        ),
        graph(
            "Promised and on demand",
            "Free huge pages that are promised to a mapping already (reserved), and pages made beyond the pool"
            " (surplus). Bad: reserved for hours and never used, or a surplus that stays: the pool is too small.",
            PAGES,
            Line(one("vmem_hugetlb_reserved_pages"), "{{page_size}} reserved"),
            Line(one("vmem_hugetlb_surplus_pages"), "{{page_size}} surplus"),
        ),
        graph(
            "Pools by NUMA node",
            "Free huge pages on each node. Bad: none on one node and many on another: half of the processes get memory"
            " that is far away.",
            PAGES,
            Line(one("vmem_node_hugetlb_free_pages"), "node {{node}}: {{page_size}} free"),
        ),
    ),
    row(
        "Transparent huge pages and NUMA",
        graph(
            "Given and refused",
            "Page faults that got a huge page, and those that wanted one and got small pages. Bad: mostly refused:"
            " memory is fragmented.",
            "count:pages/s",
            Line(events("thp_fault_alloc"), "given (thp_fault_alloc)", "green"),
            Line(events("thp_fault_fallback"), "refused (thp_fault_fallback)", "red"),
            Line(events("thp_split_page"), "split again (thp_split_page)", "orange"),
        ),
        graph(
            "In transparent huge pages",
            "Programs' memory that huge pages back. Bad: a fall under load, when huge pages are split to be swapped.",
            BYTES,
            Line(memory("anon_huge_pages"), "AnonHugePages", "green"),
            Line(memory("anon_pages"), "all of AnonPages", "orange"),
        ),
        graph(
            "NUMA nodes",
            "RAM in use on each node. Bad: one node full beside an empty one: processes on the full one reclaim or"
            " swap while there is RAM elsewhere.",
            BYTES,
            Line(one("vmem_node_mem_used_bytes"), "node {{node}} used"),
            Line(one("vmem_node_mem_total_bytes"), "node {{node}} total", "red", limit=True),
        ),
    ),
)
