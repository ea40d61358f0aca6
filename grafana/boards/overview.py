"""Where to look first: the groups and cgroups that are in trouble now, of all the hosts."""

from __future__ import annotations

from panels import (
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    FAULTS,
    LOW_IS_BAD,
    ORANGE,
    RATIO,
    RED,
    Column,
    Line,
    every,
    figure,
    graph,
    growth,
    increase,
    listing,
    page,
    rate,
    row,
    steps,
    variable,
)

from boards import cgroup, process_group

UID = "vmem-overview"
NEAR = 0.9
"""The part of a cgroup's limit from which on the rest is soon gone."""


def group(metric: str, *more: str) -> str:
    """A metric of the groups that are chosen."""
    return every(metric, 'group=~"$group"', *more)


RESIDENT = group("vmem_process_resident_bytes")
SWAP = group("vmem_process_swap_bytes")
MAJOR = rate(group("vmem_process_major_page_faults_total"))
IN_TROUBLE = f"({SWAP} > 0 or {MAJOR} > 0)"

CGROUP_MAJOR = rate(group("vmem_cgroup_major_page_faults_total"))
OF_LIMIT = f"{group('vmem_cgroup_working_set_bytes')} / ({group('vmem_cgroup_effective_limit_bytes')} < Inf)"
KILLS = increase(group("vmem_cgroup_events_total", 'event="oom_kill"'))
STALLED = rate(group("vmem_cgroup_pressure_stall_seconds_total", 'stall="full"'))


def _by_cgroup(query: str) -> str:
    return f"sum by (instance, group, cgroup) ({query})"


CGROUP_IN_TROUBLE = " or ".join(
    _by_cgroup(query) for query in (f"{OF_LIMIT} > {NEAR}", f"{KILLS} > 0", f"{CGROUP_MAJOR} > 0", f"{STALLED} > 0.01")
)


def _of_trouble(query: str) -> str:
    return f"{_by_cgroup(query)} and ({CGROUP_IN_TROUBLE})"


BOARD = page(
    UID,
    "Memory / Overview",
    "Which group of processes, which cgroup or which host is in trouble now.",
    (
        variable("job", "Job", "vmem_exporter_build_info"),
        variable("instance", "Instance", 'vmem_exporter_build_info{job="$job"}', several=True),
        variable("group", "Group", every("", '__name__=~"vmem_process_count|vmem_cgroup_count"'), several=True),
    ),
    (
        figure(
            "Groups with memory in swap",
            "Process groups that have memory on disk. 0 is what a server wants; the table below names the others.",
            COUNT,
            f"count({SWAP} > 0) or vector(0)",
            steps((1, RED)),
        ),
        figure(
            "Groups that wait for the disk",
            "Process groups with major page faults now. A group that has just started has some; one that stays here is"
            " slow because of memory.",
            COUNT,
            f"count({MAJOR} > 0) or vector(0)",
            steps((1, ORANGE)),
        ),
        figure(
            "Cgroups close to their limit",
            "Containers and services whose working set is above 90 % of the limit in force on them. What comes next is"
            " reclaim, then the OOM killer.",
            COUNT,
            f"count({OF_LIMIT} > {NEAR}) or vector(0)",
            steps((1, ORANGE)),
        ),
        figure(
            "Processes killed",
            "Processes that the kernel killed for want of memory in the time shown, anywhere on the hosts. Every one"
            " is worth a question.",
            COUNT,
            f"sum({increase(every('vmem_host_oom_kill_total'))})",
            steps((0.5, RED)),
            decimals=0,
        ),
        figure(
            "Least memory available",
            "The host with the smallest part of its RAM still to be had without swapping. Below 10 % a burst of work"
            " can begin to swap; below 5 % it does.",
            RATIO,
            f"min({every('vmem_host_mem_available_bytes')} / {every('vmem_host_mem_total_bytes')})",
            LOW_IS_BAD,
        ),
        figure(
            "Groups without a process",
            "Configured groups that match nothing: the program is down, or the entry that should match it is wrong.",
            COUNT,
            f"count({group('vmem_process_count')} == 0) or vector(0)",
            steps((1, ORANGE)),
        ),
    ),
    row(
        "In trouble now",
        listing(
            "Process groups in trouble",
            "Groups that have memory in swap or wait for the disk, the worst first. Bad: swap and major faults"
            " together: the group is swapped in and out while it works. Click a group for its dashboard.",
            ("group", "instance"),
            Column("Major faults", f"{MAJOR} and {IN_TROUBLE}", FAULTS, steps((0.1, ORANGE), (10, RED)), decimals=1),
            Column("In swap", f"{SWAP} and {IN_TROUBLE}", BYTES, steps((1, RED))),
            Column("Resident", f"{RESIDENT} and {IN_TROUBLE}", BYTES),
            Column("Virtual", f"{group('vmem_process_virtual_bytes')} and {IN_TROUBLE}", BYTES),
            Column("Locked", f"{group('vmem_process_locked_bytes')} and {IN_TROUBLE}", BYTES),
            Column("Growth", f"{growth(RESIDENT)} and {IN_TROUBLE}", BYTES_A_SECOND),
            sort="Major faults",
            link=("group", process_group.UID, "Show this group"),
            nothing="No group has memory in swap or waits for the disk",
        ),
        listing(
            "Cgroups in trouble",
            "Containers and services above 90 % of their limit, with a process killed in the time shown, waiting for"
            " the disk, or stalled for more than 1 % of the time (counted by cgroup v2 alone). Bad: near the limit and"
            " waiting for the disk at once: the OOM killer is next. Click a cgroup for its dashboard.",
            ("cgroup", "group", "instance"),
            Column("Of its limit", _of_trouble(OF_LIMIT), RATIO, steps((NEAR, ORANGE), (0.97, RED)), decimals=0),
            Column("Killed", _of_trouble(KILLS), COUNT, steps((0.5, RED)), decimals=0),
            Column("In swap", _of_trouble(group("vmem_cgroup_swap_bytes")), BYTES, steps((1, ORANGE))),
            Column("Major faults", _of_trouble(CGROUP_MAJOR), FAULTS, steps((0.1, ORANGE), (10, RED)), decimals=1),
            Column("Stalled", _of_trouble(STALLED), RATIO, steps((0.01, ORANGE), (0.1, RED)), decimals=1),
            sort="Of its limit",
            link=("cgroup", cgroup.UID, "Show this cgroup"),
            nothing="No cgroup is near its limit, stalled, or had a process killed",
        ),
    ),
    row(
        "The ten worst, over time",
        graph(
            "Most in swap",
            "Memory on disk. Bad: a line that appears at all on a server; a step says when RAM ran short.",
            BYTES,
            Line(f"topk(10, {SWAP} > 0)", "{{group}} on {{instance}}"),
            nothing="No group has memory in swap",
        ),
        graph(
            "Most major page faults",
            "Touches of memory that waited for the disk. Bad: a plateau; a single peak is a program that started.",
            FAULTS,
            Line(f"topk(10, {MAJOR} > 0)", "{{group}} on {{instance}}"),
            nothing="No group waits for the disk",
        ),
        graph(
            "Fastest growth",
            "How fast resident memory grew over the hour before each moment. Bad: a line that stays above 0 for hours.",
            BYTES_A_SECOND,
            Line(f"topk(10, {growth(RESIDENT)} > 0)", "{{group}} on {{instance}}"),
            nothing="No group grows",
        ),
        graph(
            "Largest",
            "RAM that the largest groups hold. Bad: one that climbs while the others keep their height.",
            BYTES,
            Line(f"topk(10, {RESIDENT})", "{{group}} on {{instance}}"),
        ),
        graph(
            "Closest to their limit",
            "Working set of cgroups as a part of the limit in force. Bad: a line that rises toward 100 %, or lies on"
            " it. Cgroups without a limit are not shown.",
            RATIO,
            Line(f"topk(10, {OF_LIMIT})", "{{cgroup}} on {{instance}}"),
            nothing="No cgroup that is watched has a limit",
        ),
        graph(
            "Hosts stalled for want of memory",
            "The part of the time in which every task of a host that wanted to run waited for memory. Bad: more than 1"
            " % for minutes; at 10 % the host is hardly usable.",
            RATIO,
            Line(rate(every("vmem_host_pressure_stall_seconds_total", 'stall="full"')), "{{instance}}"),
        ),
    ),
)
