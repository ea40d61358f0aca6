"""The table of rules: when each holds, what that means, what to do, and which document says so."""

from __future__ import annotations

from exporter.explain import checks
from exporter.explain.findings import Rule
from exporter.explain.rows import Machine, Subject

OF_SUBJECT: tuple[Rule[[Subject, Machine]], ...] = (
    Rule(
        name="near-limit",
        check=checks.near_limit,
        when="a working set of 90 % of a limit, its own or one above (critical: 95 %)",
        title="{share} of {where}",
        meaning="Page cache gives way first, then memory to swap; when nothing is left to reclaim, the kernel kills in"
        " that cgroup, however much the machine has free. The smallest limit above a process counts, not only its own.",
        action="Raise the limit to {needs} (what is resident and in swap, and 20 %): {file}; or make it use less.",
        document="Documentation/admin-guide/cgroup-v2.rst, memory.max; Documentation/admin-guide/cgroup-v1/memory.rst",
    ),
    Rule(
        name="time-lost",
        check=checks.time_lost,
        when="1 major fault a second, or 1 % of the time waited (warning: 10/s or 1 %; critical: 10 %)",
        title="{rate} major faults",
        meaning="Each major fault waits for a device. At 0.1 ms each (flash) to 10 ms (a disk that turns), an"
        " assumption, these cost {low} to {high} a second, over all threads. {told}",
        action="Find what was pushed out: swap, or a program and its files that the page cache had no room for. Give it"
        " memory, or lock what must be fast.",
        document="Documentation/accounting/delay-accounting.rst, Documentation/accounting/psi.rst, proc(5)",
    ),
    Rule(
        name="in-swap",
        check=checks.in_swap,
        when="1 MiB in swap (warning: touched while watched, or more than 100 MiB and 10 % of it all)",
        title="{swap} in swap, {share} of its memory",
        meaning="{touched} A page of it comes back by a major fault when it is touched.",
        action="What must answer fast should have none: give it memory, lower its cgroup's swap limit, or lock it"
        " (mlock(2)). What is idle may stay there.",
        document="Documentation/admin-guide/mm/concepts.rst, Anonymous Memory and Reclaim",
    ),
    Rule(
        name="growing",
        check=checks.growing,
        when="1 MiB and 1 % more anonymous memory, in RAM and swap, while watched (warning: an hour is left)",
        title="grew by {by} in {seconds} s",
        meaning="Anonymous memory has no file to be dropped to: it goes only when the program gives it back.{until}",
        action="Watch it longer: start-up and caches that fill end, a leak doesn't. Then look at its heap.",
        document="Documentation/admin-guide/mm/concepts.rst, Anonymous Memory",
    ),
    Rule(
        name="locked-less",
        check=checks.locked_less,
        when="something is locked, not all that is resident, and RLIMIT_MEMLOCK is below what is resident",
        title="process {pid} has locked {locked} of {resident}, and may lock {limit}",
        meaning="The rest can be swapped out. A lock beyond RLIMIT_MEMLOCK is refused with ENOMEM, which many programs"
        " only log.",
        action="Raise LimitMEMLOCK= of its unit (ulimit -l), or give it CAP_IPC_LOCK; then start it anew.",
        document="mlock(2), getrlimit(2)",
    ),
    Rule(
        name="small-pages",
        check=checks.small_pages,
        when="8 GiB of anonymous memory in one process on small pages, with THP off or 1 GiB of huge pages idle",
        title="process {pid} has a heap of {heap} on small pages, and {why}",
        meaning="Each 4 KiB page needs its own entry in the page table and the TLB; a huge page takes 512 of them.",
        action="Let it use huge pages: madvise in /sys/kernel/mm/transparent_hugepage/enabled with MADV_HUGEPAGE, or"
        " the pool by MAP_HUGETLB; and measure before and after.",
        document="Documentation/admin-guide/mm/transhuge.rst, Documentation/admin-guide/mm/hugetlbpage.rst",
    ),
    Rule(
        name="page-tables",
        check=checks.page_tables,
        when="64 MiB of page tables that are 2 % of what is resident, or 1 % of the machine's RAM",
        title="{tables} of page tables",
        meaning="Every process has its own, also for memory that many share. They are neither dropped nor swapped.",
        action="Share less between fewer processes (a pool of connections), or map it by huge pages.",
        document="Documentation/filesystems/proc.rst, VmPTE; Documentation/admin-guide/mm/hugetlbpage.rst",
    ),
    Rule(
        name="strict-overcommit",
        check=checks.strict_overcommit,
        when="overcommit_memory is 2, and address space is four times what was touched of it and 1 GiB more",
        title="{virtual} of address space for {resident} of memory, where promises are counted",
        meaning="With vm.overcommit_memory=2 private writable address space is charged when it is asked for, touched or"
        " not: a sparse program, or its fork, is refused with ENOMEM while memory is free.",
        action="Make it reserve less, or raise vm.overcommit_ratio; mode 0 refuses only obvious excess.",
        document="Documentation/mm/overcommit-accounting.rst",
    ),
    Rule(
        name="dies-first",
        check=checks.dies_first,
        when="its oom_score is the highest of the machine (warning: less than 10 % of RAM is available)",
        title="{who} has the highest oom_score of the machine, {score}{same}",
        meaning="When the machine runs out of memory, it is the likeliest to be killed. A cgroup that runs out looks at"
        " its own processes alone.",
        action="If it must not be: lower its oom_score_adj (OOMScoreAdjust= of its unit).",
        document="Documentation/filesystems/proc.rst, oom_score and oom_score_adj",
    ),
    Rule(
        name="sparse",
        check=checks.sparse,
        when="address space of four times what was touched of it, and 256 MiB more; overcommit_memory is not 2",
        title="{virtual} of address space, {resident} of it in RAM: harmless",
        meaning="Address space is a promise. A page takes RAM when it is first touched, by a minor fault.",
        action="Nothing. Judge it by what is resident and in swap.",
        document="Documentation/admin-guide/mm/concepts.rst, Virtual Memory Primer",
    ),
)
"""What is looked at for each group, process and cgroup, the gravest first."""

OF_MACHINE: tuple[Rule[[Machine]], ...] = (
    Rule(
        name="commit-limit",
        check=checks.commit_limit,
        when="overcommit_memory is 2, and 90 % of CommitLimit are promised (critical: 98 %)",
        title="{share} of CommitLimit are promised",
        meaning="Beyond it malloc, mmap and fork fail with ENOMEM, whatever is free.",
        action="Raise vm.overcommit_ratio or add swap, or end what reserves and doesn't use.",
        document="Documentation/mm/overcommit-accounting.rst",
    ),
    Rule(
        name="always-overcommit",
        check=checks.always_overcommit,
        when="overcommit_memory is 1, and more is promised than RAM and swap hold",
        title="{committed} promised, of {have} that there are",
        meaning="With vm.overcommit_memory=1 nothing is refused: who touches what isn't there meets the OOM killer.",
        action="Right for sparse arrays and for programs that fork with a large heap; otherwise take 0.",
        document="Documentation/mm/overcommit-accounting.rst",
    ),
    Rule(
        name="idle-pool",
        check=checks.idle_pool,
        when="half of a pool of huge pages is neither used nor promised (warning: 1 % of the machine's RAM)",
        title="{wasted} in huge pages reserved, and idle",
        meaning="Memory in the pool can't be used for anything else, nor be swapped.",
        action="Have the program map it (MAP_HUGETLB, huge_pages=on, -XX:+UseLargePages), or give it back: lower"
        " vm.nr_hugepages.",
        document="Documentation/admin-guide/mm/hugetlbpage.rst",
    ),
)
"""What is looked at once."""

RULES = (*OF_SUBJECT, *OF_MACHINE)
