"""One group of processes: what it asked for, what it holds, what it waits for, and whether it grows."""

from __future__ import annotations

from panels import (
    BYTES,
    BYTES_A_SECOND,
    COUNT,
    FAULTS,
    ORANGE,
    RATIO,
    RED,
    SECONDS,
    Column,
    Line,
    figure,
    graph,
    growth,
    listing,
    one,
    page,
    rate,
    row,
    steps,
    variable,
)

UID = "vmem-process-group"


def group(metric: str, *more: str) -> str:
    """A metric of the group that is chosen."""
    return one(metric, 'group="$group"', *more)


VIRTUAL = group("vmem_process_virtual_bytes")
RESIDENT = group("vmem_process_resident_bytes")
SWAP = group("vmem_process_swap_bytes")
LOCKED = group("vmem_process_locked_bytes")
MAJOR = group("vmem_process_major_page_faults_total")

BOARD = page(
    UID,
    "Memory / Process group",
    "One group of processes: address space against RAM, swap, page faults, locked memory, and growth.",
    (
        variable("job", "Job", "vmem_exporter_build_info"),
        variable("instance", "Instance", 'vmem_exporter_build_info{job="$job"}'),
        variable("group", "Group", one("vmem_process_count")),
    ),
    (
        figure(
            "Processes",
            "How many processes the group has now. 0 means that what should be watched does not run, or that the"
            " configuration no longer matches it.",
            COUNT,
            group("vmem_process_count"),
            width=3,
        ),
        figure(
            "Virtual",
            "Address space that the group has reserved. It costs no RAM until it is touched: a large number here alone"
            " is no problem.",
            BYTES,
            VIRTUAL,
            width=3,
        ),
        figure(
            "Resident",
            "RAM that the group holds now. Pages that processes share are counted in each of them, so that the true"
            " cost of many forked workers is lower.",
            BYTES,
            RESIDENT,
            width=3,
        ),
        figure(
            "In swap",
            "Memory of the group that is on disk and not in RAM. For anything that must answer quickly it should be 0:"
            " the next touch of it waits for the disk.",
            BYTES,
            SWAP,
            steps((1, RED)),
            width=3,
        ),
        figure(
            "Major faults",
            "Page faults a second that had to wait for the disk, each as slow as some 10,000 minor ones. A few at"
            " start are normal; a latency-sensitive process should have none after that.",
            FAULTS,
            rate(MAJOR),
            steps((0.1, ORANGE), (10, RED)),
            width=3,
        ),
        figure(
            "Locked",
            "Memory that can't be swapped out (mlock). For a process that is meant to be locked it should be about as"
            " large as Resident; 0 means that the lock did not take, mostly for want of RLIMIT_MEMLOCK.",
            BYTES,
            LOCKED,
            width=3,
        ),
        figure(
            "Running for",
            "Age of the oldest process. A number that keeps falling back to seconds is a crash loop.",
            SECONDS,
            f"time() - {group('vmem_process_oldest_start_time_seconds')}",
            width=3,
        ),
        figure(
            "A limit to set",
            "The most that the group held in RAM and in swap in the last day, and 20 % of headroom. A limit below this"
            " will be hit by ordinary work; one far above it protects nobody. Of a group that leaks it says nothing.",
            BYTES,
            f"1.2 * (max_over_time({RESIDENT}[1d]) + max_over_time({SWAP}[1d]))",
            width=3,
        ),
    ),
    row(
        "Virtual is a promise, resident is RAM",
        graph(
            "Virtual against resident",
            "Virtual grows when memory is asked for, resident when it is touched. A wide gap is normal. Bad: resident"
            " climbs steadily toward virtual and never comes down, which is a leak, or a cache without a bound.",
            BYTES,
            Line(VIRTUAL, "virtual (VmSize)", "blue"),
            Line(group("vmem_process_data_bytes"), "heaps and other private data (VmData)", "purple"),
            Line(RESIDENT, "resident (VmRSS)", "orange"),
            width=12,
        ),
        graph(
            "Resident by part",
            "What the RAM holds: anon is heaps and stacks, file is programs and mapped files, shmem is shared memory."
            " Bad: anon that only rises. The kernel can drop file at no cost; anon it can only swap.",
            BYTES,
            Line(group("vmem_process_resident_part_bytes", 'part="anon"'), "anon: heaps and stacks", "orange"),
            Line(group("vmem_process_resident_part_bytes", 'part="shmem"'), "shmem: shared memory", "purple"),
            Line(group("vmem_process_resident_part_bytes", 'part="file"'), "file: programs and mapped files", "blue"),
            width=12,
            stacked=True,
        ),
    ),
    row(
        "Waiting for the disk",
        graph(
            "In swap",
            "Memory of the group that is on disk. Bad: anything above 0 for a latency-sensitive process; a rise says"
            " that the host, or the group's cgroup, ran short of RAM at that time. It stays there until it is touched.",
            BYTES,
            Line(SWAP, "group (VmSwap)", "red"),
            Line(group("vmem_process_swap_largest_bytes"), "largest process", "orange"),
        ),
        graph(
            "Minor page faults",
            "First touches of memory, a microsecond each. Peaks at start and under load are normal. Bad: a high"
            " plateau while resident stays the same, which is memory taken and given back again and again: the"
            " allocator, or many short-lived processes.",
            FAULTS,
            Line(rate(group("vmem_process_minor_page_faults_total")), "minor", "green"),
        ),
        graph(
            "Major page faults",
            "Touches of memory that waited for the disk. Bad: any plateau. Together with swap above 0 the group is"
            " being swapped; without, its program or its mapped files were dropped from RAM and are read again.",
            FAULTS,
            Line(rate(MAJOR), "major", "red"),
        ),
    ),
    row(
        "The cure: locked memory and huge pages",
        graph(
            "Locked",
            "Whether the lock took. Good: locked lies on resident. Bad: locked is 0, or stays at one height while"
            " resident grows: then only a part was locked, and the rest can still be swapped.",
            BYTES,
            Line(RESIDENT, "resident (VmRSS)", "orange"),
            Line(LOCKED, "locked (VmLck)", "green"),
            Line(group("vmem_process_pinned_bytes"), "pinned for devices (VmPin)", "purple"),
        ),
        graph(
            "Huge pages",
            "Memory in huge pages, which never counts as resident when it comes from the reserved pool. They pay for"
            " heaps of more than 8 GB. Bad: 0 for a process that was set up to use them. The transparent ones are"
            " shown for groups with the option smaps.",
            BYTES,
            Line(group("vmem_process_hugetlb_bytes"), "from the reserved pool (HugetlbPages)", "green"),
            Line(group("vmem_process_anon_huge_bytes"), "transparent (AnonHugePages)", "blue"),
        ),
        graph(
            "Page tables",
            "What the kernel spends to map the group's memory, about 2 MB for each GB in small pages, for each"
            " process. Bad: more than a few percent of resident: many processes that map the same large memory; huge"
            " pages help.",
            BYTES,
            Line(group("vmem_process_page_table_bytes"), "page tables (VmPTE)", "purple"),
        ),
    ),
    row(
        "Bloat or leak",
        graph(
            "Growth",
            "How fast the group grew over the hour before each moment, with what it has in swap added, since a leak"
            " that is swapped out does not show in resident. Bad: above 0 for hours after start-up. Bloat falls to 0"
            " in the end, a leak never does.",
            BYTES_A_SECOND,
            Line(growth(RESIDENT), "resident", "orange"),
            Line(f"{growth(RESIDENT)} + {growth(SWAP)}", "resident and swap", "red"),
        ),
        graph(
            "Now against the past",
            "Resident now, and at the same time a day and a week ago. Good: the lines lie on each other, whatever"
            " their shape. Bad: now lies above a day ago, and that above a week ago.",
            BYTES,
            Line(RESIDENT, "now", "orange"),
            Line(f"{RESIDENT} offset 1d", "a day ago", "blue"),
            Line(f"{RESIDENT} offset 1w", "a week ago", "purple"),
        ),
        graph(
            "The largest process",
            "RAM of the largest process, and the most that any that runs now has ever had. Bad: one process near the"
            " whole group's resident in a group of equals, or a peak that each restart reaches sooner.",
            BYTES,
            Line(group("vmem_process_resident_largest_bytes"), "largest now (VmRSS)", "orange"),
            Line(group("vmem_process_resident_peak_bytes"), "peak (VmHWM)", "red", limit=True),
        ),
    ),
    row(
        "The processes",
        graph(
            "Processes and threads",
            "How many there are. Bad: a count that climbs with memory (workers or threads that are never ended), or"
            " one that keeps dropping to 0.",
            COUNT,
            Line(group("vmem_process_count"), "processes", "orange"),
            Line(group("vmem_process_threads"), "threads", "blue"),
        ),
        graph(
            "CPU",
            "Processor time that the group takes; 100 % is one processor. Bad: system time that rises with page faults:"
            " the kernel is busy with memory, not with the group's work.",
            RATIO,
            Line(rate(group("vmem_process_cpu_seconds_total", 'mode="user"')), "user", "blue"),
            Line(rate(group("vmem_process_cpu_seconds_total", 'mode="system"')), "system", "red"),
            stacked=True,
        ),
        graph(
            "Context switches",
            "How often main threads gave up the processor: voluntary ones wait for something, such as the disk behind"
            " a major fault. Bad: voluntary switches that rise with major faults while the work done falls.",
            "count:switches/s",
            Line(rate(group("vmem_process_context_switches_total", 'kind="voluntary"')), "voluntary", "blue"),
            Line(rate(group("vmem_process_context_switches_total", 'kind="involuntary"')), "involuntary", "purple"),
        ),
    ),
    row(
        "With the options smaps, delays, oom_score and per_process",
        graph(
            "Shared pages counted once",
            "The group's honest size (option smaps): proportional counts a page of n processes as 1/n in each, unique"
            " is what would be free if the group ended. Bad: unique close to resident in a group of forked workers:"
            " nothing is shared any more.",
            BYTES,
            Line(RESIDENT, "resident (VmRSS)", "orange"),
            Line(group("vmem_process_proportional_bytes"), "proportional (Pss)", "blue"),
            Line(group("vmem_process_unique_bytes"), "unique (Private_Clean and Private_Dirty)", "green"),
        ),
        graph(
            "Time lost",
            "Time that the group's threads waited for memory (option delays); 100 % is one thread that does nothing"
            " else. Bad: any plateau. swapin is swap, thrashing is page cache that was dropped too soon, reclaim and"
            " compaction are the search for free pages.",
            RATIO,
            Line(rate(group("vmem_process_delay_seconds_total")), "{{cause}}"),
            stacked=True,
            nothing="Set delays: true for this group to see what waiting costs",
        ),
        graph(
            "Who is killed first",
            "The kernel's badness score of the worst process (option oom_score): when RAM runs out, the process with"
            " the highest score of the host or the cgroup is killed. Bad: the one that must survive is near the top.",
            COUNT,
            Line(group("vmem_process_oom_score_largest"), "score (oom_score)", "red"),
            nothing="Set oom_score: true for this group to see its score",
        ),
        listing(
            "Each process",
            "The largest processes of the group, one a line (option per_process). Bad: one that stands out from its"
            " siblings, or any with memory in swap.",
            ("comm", "pid"),
            Column("Virtual", group("vmem_pid_virtual_bytes"), BYTES),
            Column("Resident", group("vmem_pid_resident_bytes"), BYTES),
            Column("In swap", group("vmem_pid_swap_bytes"), BYTES, steps((1, RED))),
            Column("Locked", group("vmem_pid_locked_bytes"), BYTES),
            Column(
                "Major faults",
                rate(group("vmem_pid_major_page_faults_total")),
                FAULTS,
                steps((0.1, ORANGE), (10, RED)),
                decimals=1,
            ),
            sort="Resident",
            nothing="Set per_process: true for this group to see its processes",
        ),
    ),
)
