"""A look at the machine: which services and programs are large, which containers there are, how memory is set up."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from exporter.config import COMM_BYTES, Config
from exporter.errors import ParseError, Refused
from exporter.explain.observer import Observer
from exporter.explain.rows import Host, Process
from exporter.kernel.read import exists, read
from exporter.kernel.text import number
from exporter.watch.cgroups import Hierarchy, NoHierarchy, Tree, find_hierarchy
from exporter.watch.presets import PRESETS

LARGE = 0.01
"""Of the machine's RAM, in RAM and swap: what has as much gets an entry of its own."""

AT_LEAST = 3
"""Entries that there are however small the processes, where there are so many."""

AT_MOST = 20
"""Entries for services and programs, the largest; the rest is for the entries behind them."""

RUNTIMES = ("kubernetes", "docker", "podman")
"""Presets of containers; a node of Kubernetes may itself be in one of docker's."""

_SERVICE = re.compile(r"((?!/user\.slice/)/(?:[^/]+\.slice/)+)([^/@]+)(@[^/]*)?\.service(?=/|$)")
"""A unit in the path of a cgroup. What a user's own systemd runs is that user's session, and told by program."""

_NODE_EXPORTER = re.compile("node_exporter|prometheus-node")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Processes that would be one group: a systemd service, or what has one name."""

    name: str
    globs: tuple[str, ...] = ()
    """The cgroups of the service; none for a program, which is found by its name."""
    processes: tuple[Process, ...]

    def sum(self, *names: str) -> int:
        """The bytes of these numbers of `Memory`, over all its processes."""
        return int(sum(getattr(each.memory, name) or 0 for each in self.processes for name in names))

    @property
    def size(self) -> int:
        """Bytes in RAM and swap. What its processes share is in it as often as it is shared."""
        return self.sum("resident", "swap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was seen. The largest services and programs first."""

    host: Host
    found: tuple[Found, ...]
    services: int
    """Of systemd, that have processes in cgroups of their own."""
    containers: dict[str, int]
    """By preset: cgroups that the preset takes. Presets without any are left out."""
    hierarchy: Hierarchy | None
    delays_accounted: bool
    hidden: bool
    """Whether the processes of other users can't be seen."""
    node_exporter: bool


def survey(procfs: str, sysfs: str, cgroupfs: str | None) -> Survey:
    """Look at the machine. What can't be read, or goes meanwhile, isn't in it. Raises ParseError and Refused."""
    observer = Observer(procfs, sysfs, cgroupfs)
    host = observer.sample(Config()).host
    try:
        hierarchy = find_hierarchy(procfs, cgroupfs)
        containers = _containers(Tree(hierarchy))
    except (NoHierarchy, ParseError, Refused):
        hierarchy, containers = None, {}
    services: dict[tuple[str, str], list[Process]] = defaultdict(list)
    programs: dict[str, list[Process]] = defaultdict(list)
    seen = list(_processes(observer, procfs))
    for process in seen:
        if _in_container(process.cgroup):
            continue
        if unit := _SERVICE.match(process.cgroup):
            services[unit[1], unit[2] + ("@" if unit[3] else "")].append(process)
        else:
            programs[process.comm].append(process)
    found = [_service(*unit, processes) for unit, processes in services.items()]
    # The kernel's names may be any bytes, and a configuration is UTF-8: such a name can't be asked for.
    found += [
        Found(name=comm, processes=tuple(processes))
        for comm, processes in programs.items()
        if 0 < len(comm.encode()) <= COMM_BYTES and "\ufffd" not in comm
    ]
    found.sort(key=lambda each: (-each.size, each.name))
    large = LARGE * host.meminfo.get("MemTotal", 0)
    return Survey(
        host=host,
        found=tuple(each for place, each in enumerate(found[:AT_MOST]) if each.size >= large or place < AT_LEAST),
        services=len(services),
        containers=containers,
        hierarchy=hierarchy,
        delays_accounted=_switch(f"{procfs}/sys/kernel/task_delayacct"),
        hidden=not exists(f"{procfs}/1"),
        node_exporter=any(_NODE_EXPORTER.match(process.comm) for process in seen),
    )


def _processes(observer: Observer, procfs: str) -> Iterator[Process]:
    """Those with memory of their own, which kernel threads and zombies have not, read as `explain` reads them."""
    psutil.PROCFS_PATH = procfs
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        try:
            # psutil tells quickly which ones are worth a second look; for that look it lacks the cgroup, and what is
            # locked or in swap.
            if psutil.Process(pid).memory_info().rss and (process := observer.process(pid)):
                yield process
        # psutil takes the files to be whole, and has no error of its own where one isn't.
        except (psutil.Error, ParseError, Refused, ValueError, IndexError):
            continue


def _service(folder: str, unit: str, processes: list[Process]) -> Found:
    path = _escaped(f"{folder}{unit}") + ("*" if unit.endswith("@") else "") + ".service"
    # A service that sorts its processes into cgroups of its own has none right in it.
    below = any(not process.cgroup.endswith(".service") for process in processes)
    return Found(name=unit.rstrip("@"), globs=(path, f"{path}/**") if below else (path,), processes=tuple(processes))


def _escaped(path: str) -> str:
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def _in_container(path: str) -> bool:
    levels = [path[: end.start()] for end in re.finditer("(?=/)|$", path)]
    return any(PRESETS[preset].search(level) for preset in RUNTIMES for level in levels)


def _containers(tree: Tree) -> dict[str, int]:
    counts = dict.fromkeys(RUNTIMES, 0)
    for path in tree.below(""):
        for preset in RUNTIMES:
            counts[preset] += bool(PRESETS[preset].search(path))
    return {preset: count for preset, count in counts.items() if count}


def _switch(path: str) -> bool:
    try:
        return number(read(path) or b"", path) == 1
    except (ParseError, Refused):
        return False
