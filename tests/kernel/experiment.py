"""What a scenario works with: processes of known shape, cgroups of its own, and a record of what was found.

A record is one JSON line. "claims" are the kernel's numbers, each with the bounds that it must keep;
"pairs" are a number of the kernel's beside the exporter's of the same moment.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kernel.cgroups import QUANTITIES, Cgroup, Hierarchy

PATIENCE = 60  # seconds that a process under pressure may need for one step, emulated and throttled
KIB, MIB = 1 << 10, 1 << 20

Page = dict[str, float]
"""One answer of /metrics: the series as text, its labels sorted by name, and its value."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A number of the kernel's, and the bounds that it must keep. Both are part of it."""

    what: str
    found: float
    at_least: float
    at_most: float

    @property
    def holds(self) -> bool:
        return self.at_least <= self.found <= self.at_most


@dataclass(frozen=True, slots=True)
class Pair:
    """A number of the kernel's, read before and after the exporter's; None where the exporter gave none."""

    what: str
    series: str
    before: float
    after: float
    exporter: float | None

    @property
    def agrees(self) -> bool:
        """Equal; or between the two readings, for a number that moved in the meantime."""
        low, high = sorted((self.before, self.after))
        return self.exporter is not None and low <= self.exporter <= high


@dataclass(slots=True)
class Record:
    """What one scenario found."""

    scenario: str
    claims: list[Claim] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    seconds: float = 0
    error: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "Record":
        claims, pairs = line.pop("claims"), line.pop("pairs")
        return cls(claims=[Claim(**each) for each in claims], pairs=[Pair(**each) for each in pairs], **line)


class Shape:
    """A running process of shape.py, in a cgroup from before its first page on."""

    def __init__(self, cgroup: Cgroup, *steps: str) -> None:
        # A shell enters the cgroup and becomes the process: to fork in Python is not safe beside threads.
        enter = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup.directory / "cgroup.procs")]
        self.process = subprocess.Popen(
            [*enter, sys.executable, "-I", "-S", "shape.py", *steps],
            cwd=Path(__file__).parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self.process.pid
        self.unread = b""
        if not self.answered("start"):
            raise OSError(f"no process could be started in {cgroup.path}")
        for step in steps:
            self.answered(step)

    def answered(self, step: str) -> bool:
        """Wait for the answer to a step. False if the process was killed by it; OSError if it was refused."""
        assert self.process.stdout is not None
        while b"\n" not in self.unread:
            readable, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            if not readable:
                raise TimeoutError(f"the step {step} took longer than {PATIENCE} seconds")
            piece = os.read(self.process.stdout.fileno(), 4096)
            if not piece:
                return False
            self.unread += piece
        answer, _, self.unread = self.unread.partition(b"\n")
        if answer != b"ok":
            raise OSError(f"the step {step} was {answer.decode()}")
        return True

    def ask(self, step: str) -> bool:
        """Take one more step: False if it killed the process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{step}\n".encode())
        self.process.stdin.flush()
        return self.answered(step)

    def wait(self) -> int:
        """How it ended: minus the number of the signal, for one that was killed."""
        return self.process.wait(timeout=PATIENCE)

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(slots=True)
class Experiment:
    """One scenario at work."""

    hierarchy: Hierarchy
    scrape: Callable[[], Page]
    record: Record
    shapes: list[Shape] = field(default_factory=list)

    def cgroup(self, path: str) -> Cgroup:
        return self.hierarchy.make(path)

    def start(self, cgroup: Cgroup, *steps: str) -> Shape:
        shape = Shape(cgroup, *steps)
        self.shapes.append(shape)
        return shape

    def claim(self, what: str, found: float, at_least: float = 0, at_most: float = float("inf")) -> None:
        self.record.claims.append(Claim(what, found, at_least, at_most))

    def compare(self, cgroup: Cgroup, *names: str, group: str = "lab", labels: dict[str, str] | None = None) -> None:
        """Put the kernel's numbers of a cgroup beside the exporter's; those that its version lacks are left out."""
        there = [name for name in names if cgroup.has(name)]
        before = {name: cgroup.number(name) for name in there}
        page = self.scrape()
        after = {name: cgroup.number(name) for name in there}
        for name in there:
            quantity = QUANTITIES[name]
            own = quantity.labels_v1 if cgroup.version == 1 and quantity.labels_v1 else quantity.labels
            pairs = sorted({"cgroup": cgroup.path, "group": group, **(labels or {}), **dict(own)}.items())
            series = quantity.series + "{" + ",".join(f'{key}="{value}"' for key, value in pairs) + "}"
            what = f"{quantity.source(cgroup.version)} of {cgroup.path}"
            self.record.pairs.append(Pair(what, series, before[name], after[name], page.get(series)))

    def until(self, condition: Callable[[], bool]) -> bool:
        """Wait, for as long as the slowest of the kernel's own clocks needs, for something to become true."""
        for _ in range(80):
            if condition():
                return True
            time.sleep(0.1)
        return False

    def clean(self) -> None:
        for shape in self.shapes:
            shape.end()
        self.hierarchy.remove_all()
