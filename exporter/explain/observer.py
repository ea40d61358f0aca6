"""Takes samples: reads what `rows` holds, of everything that a configuration watches or of one subject alone."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import TypeVar

from exporter.catalog import cgroup as catalog
from exporter.catalog.declare import KIB, MICROSECONDS, TICKS, Number
from exporter.catalog.process import Stat, Status
from exporter.config import Config
from exporter.errors import ParseError, Refused, UsageError
from exporter.explain.rows import LIMIT_FILE, Cgroup, Host, Kind, Memory, Pool, Process, Row, Sample, total
from exporter.kernel.cgroup import memory_path
from exporter.kernel.limits import locked_memory
from exporter.kernel.pressure import pressure
from exporter.kernel.read import exists, link, listing, names, read
from exporter.kernel.stat import stat
from exporter.kernel.status import effective_capabilities, status
from exporter.kernel.taskstats import Taskstats
from exporter.kernel.text import choice, number, pairs
from exporter.kernel.uptime import uptime
from exporter.lane import Lane
from exporter.watch.cgroup_reader import PATIENCE, Reader, Reading
from exporter.watch.cgroups import Hierarchy, NoHierarchy, Tree, find_hierarchy
from exporter.watch.groups import Key
from exporter.watch.identity import utf_8
from exporter.watch.namespace import Namespace
from exporter.watch.processes import Processes

CAP_IPC_LOCK = 1 << 14
"""include/uapi/linux/capability.h: RLIMIT_MEMLOCK doesn't bind who has it."""

log = logging.getLogger(__name__)

T = TypeVar("T")


class Observer:
    """Reads rows. One that lives on keeps nothing but who is in which group."""

    def __init__(self, procfs: str, sysfs: str, cgroupfs: str | None) -> None:
        self._procfs, self._sysfs, self._cgroupfs = procfs, sysfs, cgroupfs
        self._namespace = Namespace(procfs, cgroupfs)
        self._processes: Processes | None = None
        self._config: Config | None = None
        self._lane = Lane("explain")
        self._taskstats: Taskstats | None = None
        self._ask_delays = self._delays_are_told()

    @property
    def unread(self) -> dict[tuple[Key, str], str]:
        """What it could not read to tell who is in which group: the first error of each group and reason."""
        return dict(self._processes.unread) if self._processes else {}

    def sample(self, config: Config, asked: str | None = None) -> Sample:
        """The host, and every group and cgroup of the configuration, or the one thing asked for.

        A number is a pid, what starts with / a cgroup, anything else a group or an entry of `cgroups`. Raises
        UsageError where there is no such thing, ParseError and Refused where it can't be read.
        """
        path = f"{self._procfs}/uptime"
        moment = _Moment(self, uptime(read(path) or b"", path))
        if asked is None:
            rows = [*self._groups(moment, config), *self._watched_cgroups(moment, config)]
        elif asked.isdecimal():
            rows = [self._one_process(moment, int(asked))]
        elif asked.startswith("/"):
            rows = [self._one_cgroup(moment, asked)]
        else:
            rows = self._named(moment, config, asked)
        return Sample(self._host(moment.at), tuple(rows))

    # The rows.

    def _one_process(self, moment: _Moment, pid: int) -> Row:
        process = moment.process(pid)
        if process is None:
            hidden = "" if exists(f"{self._procfs}/1") else " that may be seen (it hides other users': hidepid)"
            raise UsageError(f"process {pid}: found none in {self._procfs}{hidden}, expected a pid")
        return moment.row("process", f"{process.comm}[{pid}]", [process])

    def _one_cgroup(self, moment: _Moment, path: str) -> Row:
        hierarchy = self._hierarchy()
        below = path.removeprefix(hierarchy.root) if path.startswith(f"{hierarchy.root}/") else path
        row = moment.cgroup_row(below.rstrip("/"))
        if row is None:
            raise UsageError(f"cgroup {path}: found no {hierarchy.folder(below)}, expected a path below it")
        return row

    def _named(self, moment: _Moment, config: Config, name: str) -> list[Row]:
        members: list[int] = []
        groups = [group for group in self._refreshed(config).groups if group.key[0] == name]
        for group in groups:
            members += [process.pid for process in group.members]
        if members and (found := moment.all(members)):
            return [moment.row("group", name, found)]
        entries = [entry for entry in config.cgroups if entry.name == name]
        if entries and (rows := self._watched_cgroups(moment, Config(cgroups=tuple(entries)))):
            return rows
        if groups or entries:
            raise UsageError(f"group {name}: found nothing that its entry matches now, expected a process or cgroup")
        known = sorted({group.key[0] for group in self._refreshed(config).groups} | {e.name for e in config.cgroups})
        shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
        raise UsageError(f"group {name}: found no such group, expected a pid, a /cgroup or one of {shown or 'none'}")

    def _groups(self, moment: _Moment, config: Config) -> list[Row]:
        rows = []
        for group in self._refreshed(config).groups:
            name, labels = group.key
            if not group.members and not (group.entry and group.entry.fixed):
                continue
            shown = name + ("{" + ",".join(f"{key}={value}" for key, value in labels) + "}" if labels else "")
            rows.append(moment.row("group", shown, moment.all(process.pid for process in group.members)))
        return rows

    def _watched_cgroups(self, moment: _Moment, config: Config) -> list[Row]:
        if not config.cgroups:
            return []
        tree = Tree(self._hierarchy())
        paths: dict[str, None] = {}
        for entry in config.cgroups:
            paths.update(dict.fromkeys(list(tree.matching(entry))[: entry.max_cgroups]))
        rows = []
        for path in paths:
            try:
                rows.append(moment.cgroup_row(path))
            except (ParseError, Refused) as error:
                log.warning("cgroup %s can't be read: %s", path, error)
        return [row for row in rows if row is not None]

    def _refreshed(self, config: Config) -> Processes:
        if self._processes is None:
            # No counters are read through it: it says who is in which group.
            self._processes = Processes(self._procfs, self._namespace, (0, 1), 0)
        if config is not self._config:
            self._processes.configure(config)
            self._config = config
        self._processes.refresh()
        return self._processes

    def _hierarchy(self) -> Hierarchy:
        try:
            return find_hierarchy(self._procfs, self._cgroupfs)
        except NoHierarchy as error:
            raise UsageError(str(error)) from None

    # The host.

    def _host(self, at: float) -> Host:
        proc = self._procfs
        meminfo = self._told(f"{proc}/meminfo", pairs) or {}
        stalled = self._told(f"{proc}/pressure/memory", pressure)
        modes = self._told(f"{self._sysfs}/kernel/mm/transparent_hugepage/enabled", choice) or {}
        scores: dict[int, int] = {}
        for name in listing(proc):
            if name.isdecimal() and (score := self._told(f"{proc}/{name}/oom_score", number)) is not None:
                scores[int(name)] = score
        highest = max(scores.values(), default=None)
        return Host(
            at=at,
            meminfo={key: value * 1024 for key, value in meminfo.items()},
            vmstat=self._told(f"{proc}/vmstat", pairs) or {},
            pressure_some=_seconds(stalled and stalled.some),
            pressure_full=_seconds(stalled and stalled.full),
            overcommit_memory=self._told(f"{proc}/sys/vm/overcommit_memory", number),
            transparent_hugepage=next((mode for mode, in_force in modes.items() if in_force), None),
            pools=tuple(self._pools()),
            oom_score=highest,
            oom_first=tuple(sorted(pid for pid, score in scores.items() if score == highest)),
        )

    def _pools(self) -> Iterable[Pool]:
        for name in names(f"{self._sysfs}/kernel/mm/hugepages"):
            folder = f"{self._sysfs}/kernel/mm/hugepages/{name}"
            kib = name.removeprefix("hugepages-").removesuffix("kB")
            counts = [self._told(f"{folder}/{file}_hugepages", number) for file in ("nr", "free", "resv")]
            if kib.isdecimal() and None not in counts:
                pages, free, reserved = (count or 0 for count in counts)
                yield Pool(size=int(kib) * 1024, folder=folder, pages=pages, free=free, reserved=reserved)

    def _told(self, path: str, parser: Callable[[bytes, str], T]) -> T | None:
        """What a file says; None where it isn't there or can't be read: no finding is made of that."""
        try:
            text = read(path)
            return None if text is None else parser(text, path)
        except (ParseError, Refused):
            return None

    # One process.

    def process(self, pid: int) -> Process | None:
        """One process, None where there is none. Raises Refused and ParseError."""
        folder = f"{self._procfs}/{pid}"
        line, text = read(f"{folder}/stat"), read(f"{folder}/status")
        if line is None or text is None:
            return None
        counts, sizes = stat(line, f"{folder}/stat"), status(text, f"{folder}/status")
        in_cgroup = self._told(f"{folder}/cgroup", memory_path)
        limit: Number | None = None
        if sizes.vm_lck:
            free_of_it = (self._told(f"{folder}/status", effective_capabilities) or 0) & CAP_IPC_LOCK
            limit = float("inf") if free_of_it else self._told(f"{folder}/limits", locked_memory)
        return Process(
            pid=pid,
            comm=line[line.index(b"(") + 1 : line.rindex(b")")].decode("utf-8", "replace"),
            born=counts.starttime / TICKS.divide,
            memory=_memory(counts, sizes, self._waited(pid)),
            oom_score=self._told(f"{folder}/oom_score", number),
            oom_score_adj=self._told(f"{folder}/oom_score_adj", number),
            cgroup=utf_8(self._namespace.path(in_cgroup, folder)).rstrip("/") if in_cgroup else "",
            lock_limit=limit,
        )

    def _delays_are_told(self) -> bool:
        # The kernel is asked by pid, as this process's namespace counts them.
        switch = self._told(f"{self._procfs}/sys/kernel/task_delayacct", number)
        try:
            return switch == 1 and link(f"{self._procfs}/self") == str(os.getpid())
        except Refused:
            return False

    def _waited(self, pid: int) -> float | None:
        if not self._ask_delays:
            return None
        try:
            self._taskstats = self._taskstats or Taskstats()
            delays = self._taskstats.read(pid)
        except (ParseError, Refused):
            self._ask_delays = False
            return None
        # The causes nest: a swap-in may reclaim, and be thrashing. Their sum would count a wait twice.
        return None if delays is None else max(delay or 0 for delay in delays) / 1e9

    # One cgroup.

    def cgroup_reader(self) -> tuple[Hierarchy, Reader] | None:
        """What reads the cgroups of one sample, None where there is no memory controller."""
        try:
            hierarchy = find_hierarchy(self._procfs, self._cgroupfs)
        except (NoHierarchy, ParseError, Refused):
            return None
        return hierarchy, Reader(hierarchy, Tree(hierarchy), [])

    def reading(self, reader: Reader, path: str) -> Reading | None:
        """One cgroup's numbers, None where it has gone. Raises Refused."""
        for _, outcome in self._lane.run([(path, reader.job(path))], patience=PATIENCE):
            if isinstance(outcome, Reading):
                return outcome
            if isinstance(outcome, Refused | ParseError):
                raise outcome
        return None


class _Moment:
    """One sample under way: every process and cgroup is read once."""

    def __init__(self, observer: Observer, at: float) -> None:
        self.at = at
        self._observer = observer
        self._read: dict[int, Process | None] = {}
        self._cgroups: dict[str, Cgroup | None] = {}
        self._reader = observer.cgroup_reader()

    def process(self, pid: int) -> Process | None:
        if pid not in self._read:
            self._read[pid] = self._observer.process(pid)
        return self._read[pid]

    def all(self, pids: Iterable[int]) -> list[Process]:
        """Those of many that are there and can be read."""
        found = []
        for pid in pids:
            try:
                process = self.process(pid)
            except (ParseError, Refused):
                continue
            if process is not None:
                found.append(process)
        return found

    def row(self, kind: Kind, name: str, processes: list[Process], cgroup: Cgroup | None = None) -> Row:
        if cgroup is None:
            paths = dict.fromkeys(process.cgroup for process in processes)
            homes = [home for path in paths if (home := self._home(path)) is not None]
            cgroup = min(homes, key=lambda home: home.headroom, default=None)
        memory = total(process.memory for process in processes)
        return Row(kind=kind, name=name, at=self.at, processes=tuple(processes), memory=memory, cgroup=cgroup)

    def _home(self, path: str) -> Cgroup | None:
        try:
            return self.cgroup(path)
        except (ParseError, Refused):
            return None

    def cgroup_row(self, path: str) -> Row | None:
        cgroup = self.cgroup(path)
        if cgroup is None or self._reader is None:
            return None
        tree = Tree(self._reader[0])
        pids: list[int] = []
        for below in ("", *(child.removeprefix(path) for child in tree.below(path))):
            pids += map(int, (read(f"{cgroup.folder}{below}/cgroup.procs") or b"").split())
        return self.row("cgroup", path or "/", self.all(pids), cgroup)

    def cgroup(self, path: str) -> Cgroup | None:
        if path not in self._cgroups:
            self._cgroups[path] = self._cgroup(path)
        return self._cgroups[path]

    def _cgroup(self, path: str) -> Cgroup | None:
        if self._reader is None:
            return None
        hierarchy, reader = self._reader
        reading = self._observer.reading(reader, path)
        if reading is None:
            return None
        found = dict(zip(reading.gauges + reading.counters, reading.values + reading.counts, strict=True))
        version = hierarchy.version
        return Cgroup(
            path=path or "/",
            folder=hierarchy.folder(path),
            version=version.number,
            usage=found.get((version.values[version.usage], "")),
            working_set=found.get((catalog.WORKING_SET, "")),
            swap=found.get((catalog.SWAP, "")),
            limit=found.get((version.values[LIMIT_FILE[version.number]], "")),
            effective_limit=found.get((catalog.EFFECTIVE_LIMIT, "")),
            anon_refaults=found.get((catalog.STAT_EVENTS, "workingset_refault_anon")),
            pressure_some=found.get((catalog.PRESSURE, "some")),
            pressure_full=found.get((catalog.PRESSURE, "full")),
            oom_kills=found.get((catalog.EVENTS, "oom_kill")),
            above=self.cgroup(path.rpartition("/")[0]) if path else None,
        )


def _memory(counts: Stat, sizes: Status, waited: float | None) -> Memory:
    def size(kib: int | None) -> Number | None:
        return None if kib is None else KIB(kib)

    return Memory(
        virtual=size(sizes.vm_size),
        resident=size(sizes.vm_rss),
        anon=size(sizes.rss_anon),
        file=size(sizes.rss_file),
        shmem=size(sizes.rss_shmem),
        swap=size(sizes.vm_swap),
        locked=size(sizes.vm_lck),
        hugetlb=size(sizes.hugetlb_pages),
        page_tables=size(sizes.vm_pte),
        minor_faults=counts.minflt,
        major_faults=counts.majflt,
        waited=waited,
    )


def _seconds(microseconds: int | None) -> Number | None:
    return None if microseconds is None else MICROSECONDS(microseconds)
