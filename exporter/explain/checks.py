"""When each rule holds. A check gives None where its rule doesn't hold, or isn't known to."""

from __future__ import annotations

import math
import os

from exporter.catalog.declare import Number
from exporter.explain.findings import Evidence, Found, Severity
from exporter.explain.rows import LIMIT_FILE, SWAP_FILE, Machine, Subject
from exporter.explain.units import GIB, MIB, shown, size

PAGE = os.sysconf("SC_PAGE_SIZE")

FAULT_ON_FLASH, FAULT_ON_DISK = 1e-4, 1e-2
"""Seconds that a major fault is taken to wait for flash, and for a disk that turns: an assumption, which is said."""

SWAP_LITTLE = 1 * MIB
SWAP_MUCH, SWAP_SHARE = 100 * MIB, 0.1
"""Swap beyond both is a warning, as of the alert VmemProcessSwapped."""
FAULTS, FAULTS_MANY = 1.0, 10.0
"""Major faults a second."""
LOST, LOST_MUCH = 0.01, 0.1
"""Share of the time that is waited for memory."""
SPARSE_TIMES, SPARSE = 4, 256 * MIB
GROWTH, GROWTH_SHARE, SOON = 1 * MIB, 0.01, 3600
NEAR, VERY_NEAR, ROOM = 0.9, 0.95, 1.2
HEAP = 8 * GIB
TABLES, TABLES_SHARE, TABLES_OF_RAM = 64 * MIB, 0.02, 0.01
"""Page tables of memory in small pages, all touched, are 8 bytes for 4 KiB: 0.002 of it."""
STRICT_LITTLE = 1 * GIB
COMMITTED, COMMITTED_FULL = 0.9, 0.98
IDLE, IDLE_OF_RAM = 0.5, 0.01
RAM_SHORT = 0.1


def _of_status(subject: Subject, name: str, value: Number | None) -> Evidence:
    return Evidence(name, value or 0, "bytes", f"/proc/{_pids(subject)}/status")


def _pids(subject: Subject) -> str:
    processes = subject.row.processes
    return str(processes[0].pid) if len(processes) == 1 else "PID"


def _faults(subject: Subject) -> Evidence | None:
    rate = subject.rate("major_faults")
    return None if rate is None else Evidence("majflt", rate, "1/s", f"/proc/{_pids(subject)}/stat")


def in_swap(subject: Subject, machine: Machine) -> Found | None:
    swap, resident = subject.row.memory.swap or 0, subject.row.memory.resident or 0
    if swap < SWAP_LITTLE:
        return None
    evidence = [_of_status(subject, "VmSwap", swap), _of_status(subject, "VmRSS", resident)]
    faults, touched = subject.rose("major_faults"), "How much of it is touched isn't known: it was not watched."
    if faults is not None:
        share = min(faults * PAGE / swap, 1.0)
        touched = (
            f"In {subject.seconds:.1f} s at least {shown(share, 'ratio')} of it was touched ({faults} major faults)."
            if faults
            else f"None of it was touched in {subject.seconds:.1f} s: cold pages cost nothing while they stay cold."
        )
        evidence.append(Evidence("majflt over the interval", faults, "count", f"/proc/{_pids(subject)}/stat"))
        refaults = subject.cgroup_rose("anon_refaults")
        if refaults is not None and subject.row.cgroup:
            source = f"{subject.row.cgroup.folder}/memory.stat"
            evidence.append(Evidence("workingset_refault_anon over the interval", refaults, "count", source))
        if (came := machine.counted("pswpin")) is not None:
            evidence.append(Evidence("pswpin of the machine over the interval", came, "count", "/proc/vmstat"))
    much = swap > SWAP_MUCH and swap > SWAP_SHARE * (swap + resident)
    severity = Severity.WARNING if faults or much else Severity.INFO
    words = {"swap": size(swap), "share": shown(swap / (swap + resident), "ratio"), "touched": touched}
    return Found(severity, tuple(evidence), words)


def time_lost(subject: Subject, machine: Machine) -> Found | None:
    rate, evidence = subject.rate("major_faults"), []
    if (faults := _faults(subject)) is not None:
        evidence.append(faults)
    cgroup = subject.row.cgroup if subject.row.cgroup and subject.row.cgroup.above else None
    waited, stalled = subject.rate("waited"), subject.cgroup_rose("pressure_some")
    share: float | None = None
    if waited is not None:
        share = waited
        evidence.append(
            Evidence("all its tasks waited for memory, at least", share, "ratio", "taskstats, over netlink")
        )
    elif stalled is not None and cgroup:
        share = stalled / subject.seconds
        source = f"{cgroup.folder}/memory.pressure"
        evidence.append(Evidence("some task of its cgroup waited for memory", share, "ratio", source))
    elif machine.stalled is not None:
        name = "some task of the machine waited for memory"
        evidence.append(Evidence(name, machine.stalled, "ratio", "/proc/pressure/memory"))
    rate = rate or 0
    # A cgroup's pressure is not that of each process in it.
    own = share if share is not None and (waited is not None or subject.row.kind == "cgroup") else None
    if rate < FAULTS and (own or 0) < LOST:
        return None
    low, high = rate * FAULT_ON_FLASH, rate * FAULT_ON_DISK
    if (own if own is not None else low) >= LOST_MUCH:
        severity = Severity.CRITICAL
    else:
        severity = Severity.WARNING if rate >= FAULTS_MANY or (own or 0) >= LOST else Severity.INFO
    words = {
        "rate": shown(rate, "1/s"),
        "low": shown(low, "seconds"),
        "high": shown(high, "seconds"),
        "told": f"The kernel measured {shown(share, 'ratio')} of the time." if share is not None else "",
    }
    return Found(severity, tuple(evidence), words)


def sparse(subject: Subject, machine: Machine) -> Found | None:
    # Where promises are counted, strict_overcommit has more to say.
    if machine.host.overcommit_memory == 2 or not _mostly_promised(subject, SPARSE):
        return None
    return Found(Severity.INFO, _touched(subject), _sizes(subject))


def _mostly_promised(subject: Subject, least: int) -> bool:
    """Whether address space is far more than what was touched of it, which may be in swap or in huge pages by now."""
    memory = subject.row.memory
    if memory.virtual is None or memory.resident is None:
        return False
    touched = memory.resident + (memory.swap or 0) + (memory.hugetlb or 0)
    return memory.virtual >= SPARSE_TIMES * touched and memory.virtual - touched >= least


def _touched(subject: Subject) -> tuple[Evidence, ...]:
    memory = subject.row.memory
    pairs = (
        ("VmSize", memory.virtual),
        ("VmRSS", memory.resident),
        ("VmSwap", memory.swap),
        ("HugetlbPages", memory.hugetlb),
    )
    return tuple(_of_status(subject, name, value) for name, value in pairs if value or name == "VmRSS")


def _sizes(subject: Subject) -> dict[str, str]:
    return {"virtual": size(subject.row.memory.virtual), "resident": size(subject.row.memory.resident)}


def growing(subject: Subject, machine: Machine) -> Found | None:
    # Page cache that is mapped comes and goes: what must be kept, in RAM or swap, is what leaks.
    grew = [subject.rose(name, newcomers=False) for name in ("anon", "swap")]
    if None in grew:
        return None
    held = (subject.row.memory.anon or 0) + (subject.row.memory.swap or 0)
    by = sum(part or 0 for part in grew)
    if by < GROWTH or by < GROWTH_SHARE * (held - by):
        return None
    rate = by / subject.seconds
    evidence = [
        Evidence("RssAnon + VmSwap", held, "bytes", f"/proc/{_pids(subject)}/status"),
        Evidence("RssAnon + VmSwap, growth", rate, "bytes/s", f"/proc/{_pids(subject)}/status"),
    ]
    cgroup = subject.row.cgroup
    room, source, name = machine.host.meminfo.get("MemAvailable", math.inf), "/proc/meminfo", "MemAvailable"
    if cgroup and (tightest := cgroup.tightest) and tightest.own_headroom < room:
        room, source = tightest.own_headroom, f"{tightest.folder}/{LIMIT_FILE[tightest.version]}"
        name = f"headroom of {tightest.path}"
    if room < math.inf:
        evidence.append(Evidence(name, room, "bytes", source))
    left = room / rate
    until = f" At this rate {name} is used up in {shown(round(left), 'count')} s." if left < math.inf else ""
    severity = Severity.WARNING if left < SOON else Severity.INFO
    return Found(severity, tuple(evidence), {"by": size(by), "seconds": f"{subject.seconds:.1f}", "until": until})


def near_limit(subject: Subject, machine: Machine) -> Found | None:
    # A small cgroup that is half empty may leave less than a large one above it that is full to the brim.
    full = [level for level in subject.row.cgroup or () if (level.working_set or 0) >= NEAR * (level.limit or math.inf)]
    level = min(full, key=lambda level: level.own_headroom, default=None)
    if level is None or not level.limit or level.working_set is None:
        return None
    needs = (level.working_set + (level.swap or 0)) * ROOM
    evidence = [
        Evidence("working set (usage less inactive_file)", level.working_set, "bytes", f"{level.folder}/memory.stat"),
        Evidence("limit", level.limit, "bytes", f"{level.folder}/{LIMIT_FILE[level.version]}"),
        Evidence("swap", level.swap or 0, "bytes", f"{level.folder}/{SWAP_FILE[level.version]}"),
    ]
    if level.oom_kills is not None:
        file = "memory.events" if level.version == "2" else "memory.oom_control"
        evidence.append(Evidence("oom_kill", level.oom_kills, "count", f"{level.folder}/{file}"))
    assert subject.row.cgroup
    above = level.path != subject.row.cgroup.path
    words = {
        "where": f"the limit of {level.path}" + (f", which is above {subject.row.cgroup.path}" if above else ""),
        "share": shown(level.working_set / level.limit, "ratio"),
        "needs": size(needs),
        "file": f"{level.folder}/{LIMIT_FILE[level.version]}",
    }
    critical = level.working_set >= VERY_NEAR * level.limit
    return Found(Severity.CRITICAL if critical else Severity.WARNING, tuple(evidence), words)


def small_pages(subject: Subject, machine: Machine) -> Found | None:
    process = max(subject.row.processes, key=lambda process: process.memory.anon or 0, default=None)
    heap = process.memory.anon if process else None
    if process is None or heap is None or heap < HEAP or process.memory.hugetlb:
        return None
    mode, huge = machine.host.transparent_hugepage, machine.host.meminfo.get("AnonHugePages")
    idle = [pool for pool in machine.host.pools if pool.idle * pool.size >= GIB]
    # All of the machine's transparent huge pages together couldn't back half of this heap.
    on_small = huge is not None and huge < heap / 2
    if not on_small or not (mode == "never" or idle):
        return None
    evidence = [Evidence("RssAnon", heap, "bytes", f"/proc/{process.pid}/status")]
    evidence.append(Evidence("AnonHugePages of the machine", huge or 0, "bytes", "/proc/meminfo"))
    if mode is not None:
        evidence.append(Evidence("mode", mode, "word", "/sys/kernel/mm/transparent_hugepage/enabled"))
    evidence += [Evidence("idle huge pages", pool.idle * pool.size, "bytes", pool.folder) for pool in idle]
    why = "transparent huge pages are off" if mode == "never" else "a pool of huge pages lies idle"
    return Found(Severity.WARNING, tuple(evidence), {"heap": size(heap), "pid": str(process.pid), "why": why})


def page_tables(subject: Subject, machine: Machine) -> Found | None:
    tables, resident = subject.row.memory.page_tables or 0, subject.row.memory.resident or 0
    ram = machine.host.meminfo.get("MemTotal", math.inf)
    if tables < TABLES or (tables < TABLES_SHARE * resident and tables < TABLES_OF_RAM * ram):
        return None
    evidence = [_of_status(subject, "VmPTE", tables), _of_status(subject, "VmRSS", resident)]
    return Found(Severity.WARNING, tuple(evidence), {"tables": size(tables)})


def locked_less(subject: Subject, machine: Machine) -> Found | None:
    for process in subject.row.processes:
        memory, limit = process.memory, process.lock_limit
        locked, resident = memory.locked or 0, memory.resident or 0
        if limit is not None and 0 < locked < resident and limit < resident:
            evidence = (
                Evidence("VmLck", locked, "bytes", f"/proc/{process.pid}/status"),
                Evidence("VmRSS", resident, "bytes", f"/proc/{process.pid}/status"),
                Evidence("Max locked memory", limit, "bytes", f"/proc/{process.pid}/limits"),
            )
            words = {"locked": size(locked), "resident": size(resident), "limit": size(limit), "pid": str(process.pid)}
            return Found(Severity.WARNING, evidence, words)
    return None


def strict_overcommit(subject: Subject, machine: Machine) -> Found | None:
    if machine.host.overcommit_memory != 2 or not _mostly_promised(subject, STRICT_LITTLE):
        return None
    mode = Evidence("overcommit_memory", 2, "count", "/proc/sys/vm/overcommit_memory")
    return Found(Severity.WARNING, (mode, *_touched(subject), *_committed(machine)), _sizes(subject))


def dies_first(subject: Subject, machine: Machine) -> Found | None:
    first = [process for process in subject.row.processes if process.pid in machine.host.oom_first]
    if not first or not first[0].oom_score:
        return None
    process, others = first[0], len(machine.host.oom_first) - len(first)
    evidence = [Evidence("oom_score", process.oom_score or 0, "count", f"/proc/{process.pid}/oom_score")]
    if process.oom_score_adj is not None:
        evidence.append(Evidence("oom_score_adj", process.oom_score_adj, "count", f"/proc/{process.pid}/oom_score_adj"))
    available, ram = machine.host.meminfo.get("MemAvailable"), machine.host.meminfo.get("MemTotal")
    short = available is not None and ram is not None and available < RAM_SHORT * ram
    if available is not None:
        evidence.append(Evidence("MemAvailable", available, "bytes", "/proc/meminfo"))
    same = f", as {others} more" if others else ""
    words = {"who": f"{process.comm}[{process.pid}]", "score": str(process.oom_score), "same": same}
    return Found(Severity.WARNING if short else Severity.INFO, tuple(evidence), words)


def _committed(machine: Machine) -> list[Evidence]:
    keys = ("Committed_AS", "CommitLimit")
    return [
        Evidence(key, machine.host.meminfo[key], "bytes", "/proc/meminfo")
        for key in keys
        if key in machine.host.meminfo
    ]


def commit_limit(machine: Machine) -> Found | None:
    committed, limit = (machine.host.meminfo.get(key) for key in ("Committed_AS", "CommitLimit"))
    if machine.host.overcommit_memory != 2 or committed is None or not limit or committed < COMMITTED * limit:
        return None
    mode = Evidence("overcommit_memory", 2, "count", "/proc/sys/vm/overcommit_memory")
    severity = Severity.CRITICAL if committed >= COMMITTED_FULL * limit else Severity.WARNING
    return Found(severity, (mode, *_committed(machine)), {"share": shown(committed / limit, "ratio")})


def always_overcommit(machine: Machine) -> Found | None:
    meminfo = machine.host.meminfo
    have = meminfo.get("MemTotal", 0) + meminfo.get("SwapTotal", 0)
    committed = meminfo.get("Committed_AS")
    if machine.host.overcommit_memory != 1 or committed is None or committed <= have:
        return None
    evidence = (
        Evidence("overcommit_memory", 1, "count", "/proc/sys/vm/overcommit_memory"),
        Evidence("Committed_AS", committed, "bytes", "/proc/meminfo"),
        Evidence("MemTotal + SwapTotal", have, "bytes", "/proc/meminfo"),
    )
    return Found(Severity.INFO, evidence, {"committed": size(committed), "have": size(have)})


def idle_pool(machine: Machine) -> Found | None:
    idle = [pool for pool in machine.host.pools if pool.pages and pool.idle >= IDLE * pool.pages]
    if not idle:
        return None
    wasted = sum(pool.idle * pool.size for pool in idle)
    evidence = []
    for pool in idle:
        counts = (("nr_hugepages", pool.pages), ("free_hugepages", pool.free), ("resv_hugepages", pool.reserved))
        evidence += [Evidence(name, count, "count", f"{pool.folder}/{name}") for name, count in counts]
    much = wasted >= IDLE_OF_RAM * machine.host.meminfo.get("MemTotal", math.inf)
    return Found(Severity.WARNING if much else Severity.INFO, tuple(evidence), {"wasted": size(wasted)})
