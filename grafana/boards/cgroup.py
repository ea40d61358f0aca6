"""One cgroup: a container, a pod, a service. How close it is to its limit, and what that costs it."""

from __future__ import annotations

from panels import (
    BYTES,
    COUNT,
    FAULTS,
    ORANGE,
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

UID = "vmem-cgroup"


def cgroup(metric: str, *more: str) -> str:
    """A metric of the cgroup that is chosen."""
    return one(metric, 'group="$group"', 'cgroup="$cgroup"', *more)


def limited(metric: str) -> str:
    """A limit where there is one: infinity can't be drawn."""
    return f"{cgroup(metric)} < Inf"


def _events(matcher: str) -> str:
    return f"{increase(cgroup('vmem_cgroup_events_total', matcher), '$__rate_interval')} > 0"


USAGE = cgroup("vmem_cgroup_usage_bytes")
WORKING_SET = cgroup("vmem_cgroup_working_set_bytes")
LIMIT = limited("vmem_cgroup_effective_limit_bytes")
SWAP = cgroup("vmem_cgroup_swap_bytes")
MAJOR = cgroup("vmem_cgroup_major_page_faults_total")
V2_ALONE = "cgroup v1 does not count this"

BOARD = page(
    UID,
    "Memory / Cgroup",
    "One cgroup, such as a container or a service: usage against its limit, events, pressure, refaults and swap.",
    (
        variable("job", "Job", "vmem_exporter_build_info"),
        variable("instance", "Instance", 'vmem_exporter_build_info{job="$job"}'),
        variable("group", "Group", one("vmem_cgroup_count")),
        variable("cgroup", "Cgroup", one("vmem_cgroup_usage_bytes", 'group="$group"')),
    ),
    (
        figure(
            "Of the limit",
            "The working set as a part of the limit in force. Above 90 % the rest is soon gone, and then the kernel"
            " reclaims, throttles or kills.",
            RATIO,
            f"{WORKING_SET} / ({LIMIT})",
            steps((0.9, ORANGE), (0.97, RED)),
            decimals=0,
            nothing="no limit",
        ),
        figure(
            "Limit in force",
            "The smallest limit of the cgroup and of all above it: a pod's limit binds its containers. Where there is"
            " none, the host's RAM is the limit.",
            BYTES,
            LIMIT,
            nothing="no limit",
        ),
        figure(
            "Working set",
            "Memory that can't be dropped easily: usage less the page cache that was not used lately. It is what"
            " Kubernetes evicts by, and what to compare with the limit.",
            BYTES,
            WORKING_SET,
        ),
        figure(
            "In swap",
            "Memory of the cgroup that is on disk. For a service that must answer quickly it should be 0.",
            BYTES,
            SWAP,
            steps((1, RED)),
        ),
        figure(
            "Processes killed",
            "Processes of the cgroup that the kernel killed for want of memory in the time shown. Each is a crash that"
            " the program's own log does not explain.",
            COUNT,
            increase(cgroup("vmem_cgroup_events_total", 'event="oom_kill"')),
            steps((0.5, RED)),
            decimals=0,
        ),
        figure(
            "Processes",
            "Processes in the cgroup and below it. 0 is a cgroup that is only still there; a number that grows without"
            " end is a leak of processes.",
            COUNT,
            cgroup("vmem_cgroup_processes"),
        ),
    ),
    row(
        "Against the limit",
        graph(
            "Usage, working set and limit",
            "Usage includes page cache, which fills whatever room there is: usage at the limit alone is normal. Bad:"
            " the working set climbs to the limit, in a straight line (a leak) or in steps (load).",
            BYTES,
            Line(USAGE, "usage", "blue"),
            Line(WORKING_SET, "working set", "orange"),
            Line(LIMIT, "limit in force", "red", limit=True),
            Line(limited("vmem_cgroup_high_bytes"), "throttled above (memory.high)", "yellow", limit=True),
            width=12,
        ),
        graph(
            "What it holds",
            "The usage by kind. anon (rss on cgroup v1) is heaps and stacks, file (cache on v1) is page cache, kernel"
            " is the kernel's own objects. Bad: anon that fills the limit: there is nothing left to drop.",
            BYTES,
            Line(cgroup("vmem_cgroup_stat_bytes", 'stat=~"anon|rss|file|cache|kernel"'), "{{stat}}"),
            width=12,
            stacked=True,
        ),
    ),
    row(
        "What the limit costs",
        graph(
            "Limit hit",
            "How often the kernel acted at a limit. max: usage met the limit, and memory was reclaimed at once; high:"
            " tasks were slowed down. Bad: all the time: the work goes on at the speed of reclaim. Cgroup v1 does not"
            " count it where memory and swap together (memsw) have the same limit as memory.",
            "count:events",
            Line(_events('event!~"oom.*"'), "{{event}}", "orange"),
            width=6,
            bars=True,
            nothing="No hit of a limit was counted",
        ),
        graph(
            "Killed",
            "oom: a limit was met and reclaim did not help; oom_kill: processes killed for it. Bad: any. Bars at even"
            " distances are a crash loop: the program starts, grows, and is killed again.",
            "count:events",
            Line(_events('event=~"oom.*"'), "{{event}}", "red"),
            width=6,
            bars=True,
            nothing="Nobody was killed",
        ),
        graph(
            "Time lost to memory pressure",
            "The part of the time in which some task waited for memory, or all of them at once (full). Bad: full above"
            " 1 % for minutes, or some above 10 %: the limit is too small for the work.",
            RATIO,
            Line(rate(cgroup("vmem_cgroup_pressure_stall_seconds_total", 'stall="some"')), "some", "orange"),
            Line(rate(cgroup("vmem_cgroup_pressure_stall_seconds_total", 'stall="full"')), "full", "red"),
            width=6,
            nothing=V2_ALONE,
        ),
        graph(
            "Dropped too soon",
            "Pages that were needed again soon after the kernel had dropped or swapped them (refaults). Bad: a"
            " plateau: the cgroup thrashes, and what it needs at once is larger than its limit.",
            PAGES_A_SECOND,
            Line(
                rate(cgroup("vmem_cgroup_stat_events_total", 'stat="workingset_refault_anon"')),
                "anon, from swap",
                "red",
            ),
            Line(rate(cgroup("vmem_cgroup_stat_events_total", 'stat="workingset_refault_file"')), "file", "blue"),
            width=6,
        ),
    ),
    row(
        "Swap and page faults",
        graph(
            "In swap",
            "Memory of the cgroup that is on disk, and its limit where there is one. Bad: a rise together with major"
            " faults; at its limit the OOM killer is next.",
            BYTES,
            Line(SWAP, "swap", "red"),
            Line(limited("vmem_cgroup_swap_limit_bytes"), "limit of swap", "red", limit=True),
            Line(limited("vmem_cgroup_memsw_limit_bytes"), "limit of memory and swap (v1)", "purple", limit=True),
        ),
        graph(
            "Page faults",
            "All page faults, minor and major. Peaks at start and under load are normal. Bad: a high plateau while"
            " usage stays the same.",
            FAULTS,
            Line(rate(cgroup("vmem_cgroup_page_faults_total")), "minor and major", "green"),
        ),
        graph(
            "Major page faults",
            "Touches of memory that waited for the disk. Bad: a plateau. With swap above 0 it is swapping; without,"
            " the page cache has no room, and programs are read from disk again and again.",
            FAULTS,
            Line(rate(MAJOR), "major", "red"),
        ),
    ),
    row(
        "Reclaim and huge pages",
        graph(
            "Reclaim",
            "Pages that the kernel looked at to find some that it could take back, and those that it took. Bad: far"
            " more looked at than taken: nothing is left that could be dropped.",
            PAGES_A_SECOND,
            Line(rate(cgroup("vmem_cgroup_stat_events_total", 'stat="pgscan"')), "looked at (pgscan)", "orange"),
            Line(rate(cgroup("vmem_cgroup_stat_events_total", 'stat="pgsteal"')), "taken (pgsteal)", "green"),
            nothing=V2_ALONE,
        ),
        graph(
            "Huge pages",
            "Memory in huge pages of the reserved pools, by size, which is not part of usage, and its limit. Bad: at"
            " the limit a process gets SIGBUS.",
            BYTES,
            Line(cgroup("vmem_cgroup_hugetlb_bytes"), "{{page_size}}"),
            Line(limited("vmem_cgroup_hugetlb_limit_bytes"), "limit of {{page_size}}", "red", limit=True),
            nothing="Huge pages are not counted for this cgroup",
        ),
        graph(
            "Peak",
            "The most memory that the cgroup has used since it was made. A limit to set is this and 20 % where the"
            " peak is ordinary work. Bad: the peak lies on the limit: the cgroup wanted more than it got.",
            BYTES,
            Line(cgroup("vmem_cgroup_peak_bytes"), "peak", "orange"),
            Line(LIMIT, "limit in force", "red", limit=True),
        ),
    ),
)
