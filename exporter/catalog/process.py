"""What is read of every watched process, and what is shown of it.

To show another field of one of these files, add its line to the record: the parser, the sample, docs/METRICS.md and
the test that reads the captured kernels follow from it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, NamedTuple

from exporter.catalog.declare import (
    KIB,
    METRICS,
    NANOSECONDS,
    TICKS,
    Column,
    Key,
    columns,
    counter,
    declare,
    gauge,
    largest,
    oldest,
    total,
)

N = int | None
"""A number of the kernel's, or None where this kernel or this process has none."""


class Stat(NamedTuple):
    """/proc/PID/stat (fs/proc/array.c, do_task_stat). Times in clock ticks; a zombie still has it."""

    minflt: Annotated[
        int,
        Key("minflt", position=10),
        total(
            "vmem_process_minor_page_faults_total",
            "Page faults that needed no disk, one for each page touched for the first time:",
        ),
    ]
    majflt: Annotated[
        int,
        Key("majflt", position=12),
        total(
            "vmem_process_major_page_faults_total",
            "Page faults that waited for the disk, some 10,000 times slower than minor ones:",
        ),
    ]
    utime: Annotated[
        int, Key("utime", TICKS, 14), total("vmem_process_cpu_seconds_total", "CPU time spent:", mode="user")
    ]
    stime: Annotated[int, Key("stime", TICKS, 15), total("vmem_process_cpu_seconds_total", mode="system")]
    num_threads: Annotated[int, Key("num_threads", position=20), total("vmem_process_threads", "Threads:")]
    starttime: Annotated[
        int,
        Key("starttime", TICKS, 22),
        oldest("vmem_process_oldest_start_time_seconds", "Unix time at which the process started:"),
    ]


class Task(NamedTuple):
    """What else /proc/PID/stat tells, by which a process is known. The stack's address is 0 to whom it isn't shown."""

    flags: Annotated[int, Key("flags", position=9)]
    starttime: Annotated[int, Key("starttime", TICKS, 22)]
    start_stack: Annotated[int, Key("start_stack", position=28)]


class Status(NamedTuple):
    """/proc/PID/status (fs/proc/task_mmu.c, task_mem). Sizes in KiB; kernel threads and zombies have no Vm lines."""

    vm_peak: Annotated[
        N,
        Key("VmPeak", KIB),
        largest("vmem_process_virtual_peak_bytes", "The most address space that a process has had:"),
    ] = None
    vm_size: Annotated[
        N,
        Key("VmSize", KIB),
        total("vmem_process_virtual_bytes", "Address space, reserved but not necessarily in RAM; it grows at malloc:"),
    ] = None
    vm_lck: Annotated[
        N, Key("VmLck", KIB), total("vmem_process_locked_bytes", "Memory locked into RAM, which can't be swapped out:")
    ] = None
    vm_pin: Annotated[
        N,
        Key("VmPin", KIB, since="3.2"),
        total("vmem_process_pinned_bytes", "Memory pinned at its physical place, for RDMA and the like:"),
    ] = None
    vm_hwm: Annotated[
        N, Key("VmHWM", KIB), largest("vmem_process_resident_peak_bytes", "The most RAM that a process has had:")
    ] = None
    vm_rss: Annotated[
        N,
        Key("VmRSS", KIB),
        total("vmem_process_resident_bytes", "RAM in use now, pages shared between processes counted in each:"),
        largest("vmem_process_resident_largest_bytes", "RAM in use by one process:"),
    ] = None
    rss_anon: Annotated[
        N,
        Key("RssAnon", KIB, since="4.5"),
        total("vmem_process_resident_part_bytes", "RAM in use by what it holds:", part="anon"),
    ] = None
    rss_file: Annotated[N, Key("RssFile", KIB, since="4.5"), total("vmem_process_resident_part_bytes", part="file")] = (
        None
    )
    rss_shmem: Annotated[
        N, Key("RssShmem", KIB, since="4.5"), total("vmem_process_resident_part_bytes", part="shmem")
    ] = None
    vm_data: Annotated[
        N, Key("VmData", KIB), total("vmem_process_data_bytes", "Private writable address space, heaps above all:")
    ] = None
    vm_stk: Annotated[
        N, Key("VmStk", KIB), total("vmem_process_stack_bytes", "Address space of main threads' stacks:")
    ] = None
    vm_exe: Annotated[N, Key("VmExe", KIB), total("vmem_process_text_bytes", "Address space of program code:")] = None
    vm_lib: Annotated[
        N, Key("VmLib", KIB), total("vmem_process_library_bytes", "Address space of shared libraries' code:")
    ] = None
    vm_pte: Annotated[
        N, Key("VmPTE", KIB), total("vmem_process_page_table_bytes", "Kernel memory spent on page tables:")
    ] = None
    vm_swap: Annotated[
        N,
        Key("VmSwap", KIB, since="2.6.34"),
        total("vmem_process_swap_bytes", "Anonymous memory that is in swap and not in RAM, shared memory not counted:"),
        largest("vmem_process_swap_largest_bytes", "Memory in swap of one process:"),
    ] = None
    hugetlb_pages: Annotated[
        N,
        Key("HugetlbPages", KIB, since="4.4"),
        total("vmem_process_hugetlb_bytes", "Memory in huge pages of the reserved pools, not part of VmRSS:"),
    ] = None
    voluntary_ctxt_switches: Annotated[
        N,
        Key("voluntary_ctxt_switches"),
        total(
            "vmem_process_context_switches_total",
            "Context switches of each process's main thread, by whether it waited (voluntary) or was made to yield:",
            kind="voluntary",
        ),
    ] = None
    nonvoluntary_ctxt_switches: Annotated[
        N, Key("nonvoluntary_ctxt_switches"), total("vmem_process_context_switches_total", kind="involuntary")
    ] = None


class OomScore(NamedTuple):
    """/proc/PID/oom_score and oom_score_adj (fs/proc/base.c). Plain numbers."""

    oom_score: Annotated[
        N, largest("vmem_process_oom_score_largest", "Badness: the process with the highest is killed first:")
    ] = None
    oom_score_adj: Annotated[
        N, largest("vmem_process_oom_score_adj_largest", "What was added to the badness, -1000 to 1000:")
    ] = None


class SmapsRollup(NamedTuple):
    """/proc/PID/smaps_rollup (Linux 4.14; fs/proc/task_mmu.c). KiB; a walk of the whole address space."""

    pss: Annotated[
        N,
        Key("Pss", KIB),
        total("vmem_process_proportional_bytes", "RAM in use, a page shared by n processes counted as 1/n in each:"),
    ] = None
    private_clean: Annotated[
        N,
        Key("Private_Clean", KIB),
        total("vmem_process_unique_bytes", "RAM that nobody else shares, free again when the process ends:"),
    ] = None
    private_dirty: Annotated[N, Key("Private_Dirty", KIB), total("vmem_process_unique_bytes")] = None
    lazy_free: Annotated[
        N,
        Key("LazyFree", KIB),
        total("vmem_process_lazy_free_bytes", "RAM given back with MADV_FREE and not yet taken by the kernel:"),
    ] = None
    anon_huge_pages: Annotated[
        N,
        Key("AnonHugePages", KIB),
        total("vmem_process_anon_huge_bytes", "Anonymous RAM that transparent huge pages back:"),
    ] = None
    swap_pss: Annotated[
        N,
        Key("SwapPss", KIB),
        total("vmem_process_proportional_swap_bytes", "Memory in swap, shared by n processes counted as 1/n in each:"),
    ] = None


class Delays(NamedTuple):
    """struct taskstats, by thread group (include/uapi/linux/taskstats.h). Nanoseconds; ended threads included."""

    swapin_delay_total: Annotated[
        N,
        Key("swapin_delay_total", NANOSECONDS),
        total(
            "vmem_process_delay_seconds_total",
            "Time that the group's threads waited for memory, by what they waited for, each thread's time counted:",
            cause="swapin",
        ),
    ] = None
    freepages_delay_total: Annotated[
        N,
        Key("freepages_delay_total", NANOSECONDS, since="2.6.28"),
        total("vmem_process_delay_seconds_total", cause="reclaim"),
    ] = None
    thrashing_delay_total: Annotated[
        N,
        Key("thrashing_delay_total", NANOSECONDS, since="4.20"),
        total("vmem_process_delay_seconds_total", cause="thrashing"),
    ] = None
    compact_delay_total: Annotated[
        N,
        Key("compact_delay_total", NANOSECONDS, since="5.19"),
        total("vmem_process_delay_seconds_total", cause="compaction"),
    ] = None


COUNT = gauge(
    "vmem_process_count",
    "Processes in the group now, zombies included; 0 for a configured group that has none.",
    "group",
    source="/proc",
)
STAT = columns(Stat, "/proc/PID/stat", "group")
STATUS = columns(Status, "/proc/PID/status", "group")
OOM_SCORE = columns(OomScore, "/proc/PID", "group")
SMAPS_ROLLUP = columns(SmapsRollup, "/proc/PID/smaps_rollup", "group")
DELAYS = columns(Delays, "taskstats over netlink", "group")
READ_ERRORS = counter(
    "vmem_process_read_errors_total",
    "Reads of a process that was there and could not be read, by reason; the group is empty where the process could"
    " not even be named, as under hidepid.",
    "group",
    "reason",
    source="/proc/PID",
)
SMAPS_AGE = gauge(
    "vmem_process_smaps_age_seconds",
    "Age of the group's oldest reading of /proc/PID/smaps_rollup: the walk is slow, and is made in turns.",
    "group",
    source="/proc/PID/smaps_rollup",
    since="4.14",
)
GROUPS_FOLDED = gauge(
    "vmem_process_groups_folded", 'Groups beyond max_groups, whose processes are in group "other".', source="/proc"
)


def _behind(first: type, column: Column) -> Column:
    return replace(column, index=column.index + len(first._fields))  # type: ignore[attr-defined]


ROW = (*STAT, *(_behind(Stat, column) for column in STATUS))
"""The columns of a process's row, which is Stat and Status end to end: what every scrape reads of every process."""


def _of_one(*parts: Column) -> tuple[Column, ...]:
    """The same columns for one process. VmRSS is summed over a group and has a largest: of one both are the same."""
    shown: dict[tuple[str, str], Column] = {}
    for column in parts:
        metric = column.metric
        name = metric.name.replace("vmem_process_", "vmem_pid_").replace("_largest", "").replace("oldest_", "")
        help = metric.help.rsplit(",", 1)[0] + ", of one process."
        labels = ("comm", "group", "pid", *metric.labels[1:])
        metric = METRICS.get(name) or declare(replace(metric, name=name, help=help, labels=labels))
        shown.setdefault((name, column.key.name), replace(column, metric=metric))
    return tuple(shown.values())


ROW_OF_ONE = _of_one(*ROW)
OOM_SCORE_OF_ONE = _of_one(*OOM_SCORE)
SMAPS_ROLLUP_OF_ONE = _of_one(*SMAPS_ROLLUP)
DELAYS_OF_ONE = _of_one(*DELAYS)
