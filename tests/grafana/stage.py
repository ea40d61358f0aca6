"""A stage for the dashboards: real processes in real trouble, the exporter that watches them, and a Prometheus.

Needs root: it borrows swap, huge pages and delay accounting, and makes cgroups of its own.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from grafana.viewer import ROOT, Prometheus, Viewer
from kernel import borrow
from kernel.cgroups import Cgroup, Hierarchy
from support.child import Child
from support.daemon import daemon, free_address
from support.exporter import exporter
from support.needs import allowed, program

MIB = 1 << 20
SCRAPE = 1  # seconds
JOB = "vmem-exporter"
HOST, V1, V2 = "shop-1", "captured-v1", "captured-v2"
"""Names of instances: this machine, and two captured kernels, of which one has the version of cgroups that it lacks."""
CAPTURED = {V1: ROOT / "tests" / "fixtures" / "6.18-hybrid", V2: ROOT / "tests" / "fixtures" / "6.1-v2"}
HUGE_PAGES = 8

PROMETHEUS = """
global: {{scrape_interval: {scrape}s, scrape_timeout: {scrape}s}}
scrape_configs:
  - job_name: {job}
    static_configs: [{targets}]
"""
WATCH_CAPTURED = """
cgroups: [{name: lab, path: /lab/*}]
"""


ROOTS = {"procfs": "proc", "sysfs": "sys", "cgroupfs": "cgroup"}


@dataclass(slots=True)
class Stage:
    """What is on it, and the ways to put more there."""

    prometheus: Prometheus
    top: Cgroup
    hierarchy: Hierarchy
    children: list[Child] = field(default_factory=list)
    started: float = field(default_factory=time.time)

    def cgroup(self, name: str, *, memory: int, swap: int = 0) -> Cgroup:
        """A cgroup with a limit, in bytes."""
        made = self.hierarchy.make(f"{self.top.path}/{name}")
        made.limit(memory, swap)
        return made

    def child(self, name: str, cgroup: Cgroup | None = None) -> Child:
        """A process of this name. It ends with the stage, if nothing ends it before."""
        child = Child(name, cgroup.directory / "cgroup.procs" if cgroup else None)
        self.children.append(child)
        return child

    def victim(self, name: str, cgroup: Cgroup, size: int) -> None:
        """A process that touches more than its cgroup may have, and is killed for it."""
        child = self.child(name, cgroup)
        try:
            child.run(f"touch(memory({size}))")
        except OSError:
            return
        raise AssertionError(f"{name} lived through {size} bytes in {cgroup.path}")

    def viewer(self, **chosen: str) -> Viewer:
        """Someone who looks at all that has happened since the stage was set."""
        return Viewer(self.prometheus, self.started, time.time(), SCRAPE, chosen=chosen)


def in_background(line: str) -> str:
    """A line for a child that goes on while the child takes other lines."""
    return f"import threading, time; threading.Thread(target=lambda: {line}, daemon=True).start()"


@contextmanager
def stage(directory: Path, config: str, *, top: str = "", captured: bool = False, swap: int = 256) -> Iterator[Stage]:
    """Set a stage, with swap of so many MiB where the machine has none.

    In the configuration {top} stands for the path of the cgroup that holds the stage's others.
    """
    with ExitStack() as stack:
        stack.enter_context(allowed("swap", borrow.swap(swap)))
        stack.enter_context(allowed("huge pages", borrow.hugepages(HUGE_PAGES)))
        stack.enter_context(allowed("the right to account for delays", borrow.delay_accounting()))
        hierarchy = Hierarchy.of_this_machine()
        above = stack.enter_context(allowed("the right to make a memory cgroup", _top(hierarchy, top)))
        watched: dict[str, tuple[str, list[str]]] = {HOST: (config.replace("{top}", above.path), [])}
        for name, tree in CAPTURED.items() if captured else ():
            watched[name] = WATCH_CAPTURED, [f"--path.{root}={tree / folder}" for root, folder in ROOTS.items()]
        targets = {}
        for name, (text, flags) in watched.items():
            (directory / name).mkdir()
            targets[name] = stack.enter_context(exporter(directory / name, text, *flags)).address
        file = directory / "prometheus.yaml"
        shown = ", ".join(
            f'{{targets: ["{target}"], labels: {{instance: {name}}}}}' for name, target in targets.items()
        )
        file.write_text(PROMETHEUS.format(scrape=SCRAPE, job=JOB, targets=shown))
        made = Stage(stack.enter_context(serve(directory)), above, hierarchy)
        try:
            yield made
        finally:
            for child in made.children:
                child.end()


_number = itertools.count(1)


@contextmanager
def serve(directory: Path) -> Iterator[Prometheus]:
    """A Prometheus with the configuration and the data of a stage."""
    address = free_address()
    command = [program("prometheus"), f"--config.file={directory / 'prometheus.yaml'}", "--log.level=warn"]
    command += [f"--web.listen-address={address}", f"--storage.tsdb.path={directory / 'data'}"]
    with daemon(command, address, "/-/ready", directory / "prometheus.log") as server:
        yield Prometheus(f"http://{server.address}")


@contextmanager
def _top(hierarchy: Hierarchy, path: str) -> Iterator[Cgroup]:
    try:
        yield hierarchy.make(path or f"/vmem-stage-{os.getpid()}-{next(_number)}")
    finally:
        hierarchy.remove_all()
