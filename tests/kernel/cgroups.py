"""Memory cgroups made by a test, on either version, and the kernel's own numbers of them.

Nothing here comes from the package under test: its numbers are compared with what these few lines read.
"""

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

UNLIMITED_V1 = (1 << 63) - (1 << 12)  # PAGE_COUNTER_MAX in bytes, with pages of 4 KiB


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a cgroup: the exporter's series, and for each version "file" or "file key [field]"."""

    series: str
    v2: str = ""
    v1: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    labels_v1: tuple[tuple[str, str], ...] | None = None
    divide: int = 1

    def source(self, version: int) -> str:
        return self.v2 if version == 2 else self.v1


def event(name: str, v1: str = "") -> Quantity:
    return Quantity("vmem_cgroup_events_total", f"memory.events {name}", v1, labels=(("event", name),))


def stall(kind: str) -> Quantity:
    return Quantity(
        "vmem_cgroup_pressure_stall_seconds_total",
        f"memory.pressure {kind} total",
        labels=(("stall", kind),),
        divide=1_000_000,
    )


HUGE = (("page_size", "2048kB"),)

QUANTITIES = {
    "usage": Quantity("vmem_cgroup_usage_bytes", "memory.current", "memory.usage_in_bytes"),
    "peak": Quantity("vmem_cgroup_peak_bytes", "memory.peak", "memory.max_usage_in_bytes"),
    "limit": Quantity("vmem_cgroup_limit_bytes", "memory.max", "memory.limit_in_bytes"),
    "effective limit": Quantity(
        "vmem_cgroup_effective_limit_bytes", "memory.max of all above", "memory.stat hierarchical_memory_limit"
    ),
    "high": Quantity("vmem_cgroup_high_bytes", "memory.high"),
    "swap": Quantity("vmem_cgroup_swap_bytes", "memory.swap.current", "memory.stat total_swap"),
    "swap limit": Quantity("vmem_cgroup_swap_limit_bytes", "memory.swap.max"),
    "anon": Quantity(
        "vmem_cgroup_stat_bytes",
        "memory.stat anon",
        "memory.stat total_rss",
        labels=(("stat", "anon"),),
        labels_v1=(("stat", "rss"),),
    ),
    "page faults": Quantity("vmem_cgroup_page_faults_total", "memory.stat pgfault", "memory.stat total_pgfault"),
    "major page faults": Quantity(
        "vmem_cgroup_major_page_faults_total", "memory.stat pgmajfault", "memory.stat total_pgmajfault"
    ),
    "high events": event("high"),
    "max events": event("max", "memory.failcnt"),
    "oom events": event("oom"),
    "oom kills": event("oom_kill", "memory.oom_control oom_kill"),
    "oom group kills": event("oom_group_kill"),
    "some stall": stall("some"),
    "full stall": stall("full"),
    "processes": Quantity("vmem_cgroup_processes", "cgroup.procs", "cgroup.procs"),
    "hugetlb": Quantity("vmem_cgroup_hugetlb_bytes", "hugetlb.2MB.current", labels=HUGE),
    "hugetlb limit": Quantity("vmem_cgroup_hugetlb_limit_bytes", "hugetlb.2MB.max", labels=HUGE),
}


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One cgroup: its path below the root of the hierarchy, and its directory."""

    path: str
    directory: Path
    version: int

    def write(self, file: str, value: object) -> None:
        (self.directory / file).write_text(f"{value}")

    def limit(self, memory: int, swap: int) -> None:
        """No more than this many bytes of memory and, beside them, of swap."""
        if self.version == 2:
            self.write("memory.max", memory)
            self.write("memory.swap.max", swap)
        else:
            self.write("memory.limit_in_bytes", memory)
            self.write("memory.memsw.limit_in_bytes", memory + swap)

    def has(self, name: str) -> bool:
        source = QUANTITIES[name].source(self.version)
        return bool(source) and (self.directory / source.split()[0]).exists()

    def number(self, name: str) -> float:
        """The kernel's number now, in the unit of the exporter's series; math.inf for "no limit"."""
        quantity = QUANTITIES[name]
        file, *key = quantity.source(self.version).split()
        if name == "effective limit" and self.version == 2:
            above = [self.directory, *self.directory.parents]
            return min(number((each / "memory.max").read_text()) for each in above if (each / "memory.max").exists())
        if name == "processes":
            return sum(len(procs.read_text().split()) for procs in self.directory.rglob(file))
        text = (self.directory / file).read_text()
        if not key:
            return number(text)
        words = next(line for line in text.splitlines() if line.startswith(key[0] + " ")).split()
        word = words[1] if len(key) == 1 else next(word for word in words if word.startswith(key[1] + "="))
        return number(word.rpartition("=")[2]) / quantity.divide

    def remove(self) -> None:
        """Remove it, waiting for the kernel to be done with the last process of it."""
        for _ in range(100):
            try:
                self.directory.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.05)
        self.directory.rmdir()


def number(text: str) -> float:
    """A number as the cgroup files write it, where "max" and version 1's largest mean that there is no limit."""
    if text.strip() == "max":
        return math.inf
    value = int(text)
    return math.inf if value >= UNLIMITED_V1 else value


@dataclass(slots=True)
class Hierarchy:
    """The hierarchy that holds the memory controller, and the cgroups that were made in it."""

    root: Path
    version: int
    made: list[Cgroup] = field(default_factory=list)

    @classmethod
    def of_this_machine(cls, mountinfo: str = "/proc/self/mountinfo") -> "Hierarchy":
        """Where the running kernel has its memory controller. LookupError where it has none mounted."""
        for line in Path(mountinfo).read_text().splitlines():
            mount, _, filesystem = line.partition(" - ")
            root, (kind, _, options) = Path(mount.split()[4]), filesystem.split()
            if kind == "cgroup" and "memory" in options.split(","):
                return cls(root, 1)
            if kind == "cgroup2" and "memory" in (root / "cgroup.controllers").read_text().split():
                return cls(root, 2)
        raise LookupError("no memory controller is mounted")

    def make(self, path: str) -> Cgroup:
        """A new cgroup, with those above it that are not there yet. FileExistsError if it is there."""
        above, _, _ = path.rpartition("/")
        if above and not (self.root / above.lstrip("/")).exists():
            self.make(above)
        new = Cgroup(path, self.root / path.lstrip("/"), self.version)
        new.directory.mkdir()
        self.made.append(new)
        if self.version == 2:
            for controller in ("memory", "hugetlb"):
                with suppress(OSError):  # a kernel without it
                    (new.directory.parent / "cgroup.subtree_control").write_text(f"+{controller}")
        return new

    def remove_all(self) -> None:
        """Remove what was made, the deepest first."""
        while self.made:
            self.made.pop().remove()
