"""What the first page shows: the machine, the groups and cgroups that are watched, and what there is to say of them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from exporter.catalog.declare import Number
from exporter.config import Config
from exporter.errors import Unavailable, VmemError
from exporter.explain.findings import Finding, Report, Severity, report
from exporter.explain.observer import Observer
from exporter.explain.rows import Machine, Row, Sample
from exporter.explain.units import shown, size
from exporter.lane import Lane, Stuck
from exporter.watch.groups import Key

MOST_ROWS = 50
MOST_FINDINGS = 20
"""How many are shown where not all are asked for."""

NEARLY_FULL = 0.9
"""The share of its limit from which a cgroup's bar is drawn as full."""

SHARED_SECONDS = 2.0
"""A sample is shown to all who ask within this time: who opens the page again and again costs no more than this."""

REMEMBERED_SECONDS = 300.0
"""A sample of no more than this age is what the next one is compared with: for growth, faults and waiting."""


PATIENCE = 5.0
"""Seconds that a sample may take: one of 5,000 processes takes a tenth of it."""


class Samples:
    """Samples for the page, one at a time. It keeps the last one, and who is in which group."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._lane = Lane("overview", threads=1)
        self._one = threading.Lock()
        self._config: Config | None = None
        self._asked = Config()
        self._taken = -math.inf
        self._last: tuple[Report, str] | None = None
        self._sample: Sample | None = None

    def newest(self, config: Config) -> tuple[Report, str]:
        """What there is to say now, and why it is not of all, if it isn't. Raises Unavailable."""
        if not self._one.acquire(timeout=PATIENCE):
            raise Unavailable("the reading under way took all the time")
        try:
            age = time.monotonic() - self._taken
            if self._last is None or age > SHARED_SECONDS or config is not self._config:
                self._last = self._beside(config, self._sample if age <= REMEMBERED_SECONDS else None)
                self._taken = time.monotonic()
            return self._last
        finally:
            self._one.release()

    @property
    def unread(self) -> dict[tuple[Key, str], str]:
        """What could not be read of processes: the first error of each group and reason."""
        return self._observer.unread

    def _beside(self, config: Config, before: Sample | None) -> tuple[Report, str]:
        """A new one, taken where a file that the kernel doesn't give holds up nobody else."""
        [(_, outcome)] = self._lane.run([("sample", lambda: self._take(config, before))], patience=PATIENCE)
        if isinstance(outcome, Stuck):
            raise Unavailable(f"reading what this page shows takes more than {PATIENCE:.0f} seconds")
        if isinstance(outcome, Exception):
            raise outcome
        return cast("tuple[Report, str]", outcome)

    def _take(self, config: Config, before: Sample | None) -> tuple[Report, str]:
        if config is not self._config:
            self._config = config
            self._asked = replace(
                config,
                processes=config.processes if config.collectors.process else (),
                cgroups=config.cgroups if config.collectors.cgroup else (),
            )
        problem = ""
        try:
            sample = self._observer.sample(self._asked)
        except VmemError as error:
            # What keeps cgroups from being read doesn't keep processes from it.
            problem, sample = str(error), self._observer.sample(replace(self._asked, cgroups=()))
        self._sample = sample
        return report(before, sample), problem


@dataclass(frozen=True, slots=True)
class Bar:
    """Parts of a bar: the class of each, where it begins and how wide it is, in hundredths."""

    parts: tuple[tuple[str, str, str], ...]
    text: str

    @classmethod
    def of(cls, parts: Sequence[tuple[str, Number | None]], whole: Number, text: str) -> Bar:
        """Parts of a whole; what is beyond it is cut off."""
        at, drawn = 0.0, []
        for name, value in parts:
            width = min(100 * (value or 0) / whole, 100 - at) if whole else 0.0
            if width > 0:
                drawn.append((name, f"{at:.2f}", f"{width:.2f}"))
                at += width
        return cls(tuple(drawn), text)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table: its name, its bar, its numbers as they are shown, and the worst that is said of it."""

    name: str
    bar: Bar | None
    numbers: tuple[str, ...]
    worst: Severity | None


@dataclass(frozen=True, slots=True)
class Said:
    """A finding, once for all that it is said of in the same words: as of a group and of the cgroup that it is in."""

    subjects: tuple[str, ...]
    finding: Finding

    @property
    def evidence(self) -> list[tuple[str, str, str]]:
        """The numbers that it stands on, as they are shown, and where each is from."""
        return [(item.name, shown(item.value, item.unit), item.source) for item in self.finding.evidence]


_Shown = tuple[Bar | None, tuple[str, ...]]

GROUPS = ("Resident", "Swap", "Locked", "Virtual", "Headroom", "Processes")
CGROUPS = ("Working set", "Usage", "Limit", "Headroom", "Swap", "OOM kills")


def view(told: Report, problem: str, *, all: bool) -> dict[str, Any]:
    """What the template is given."""
    rows = [
        (subject.row, max((finding.severity for finding in found), default=None)) for subject, found in told.subjects
    ]
    groups = [(row, worst) for row, worst in rows if row.kind == "group"]
    cgroups = [(row, worst) for row, worst in rows if row.kind == "cgroup"]
    groups.sort(key=lambda item: -(item[0].memory.resident or 0))
    cgroups.sort(key=lambda item: -((item[0].cgroup and item[0].cgroup.usage) or 0))
    largest = max((row.memory.resident or 0 for row, _ in groups), default=0)
    said = _said(told.findings)
    grave = [each for each in said if each.finding.severity > Severity.INFO]
    harmless = [each for each in said if each.finding.severity == Severity.INFO]
    severities = [each.finding.severity for each in grave]
    counts = ((severity, severities.count(severity)) for severity in (Severity.CRITICAL, Severity.WARNING))
    most_rows, most_findings = (None, None) if all else (MOST_ROWS, MOST_FINDINGS)
    group_lines = _lines(groups[:most_rows], lambda row: _group(row, largest))
    cgroup_lines = _lines(cgroups[:most_rows], _cgroup)
    return {
        "problem": problem,
        "machine": _machine(told.machine),
        "watched_for": shown(told.machine.seconds, "seconds") if told.machine.before else "",
        "grave": grave[:most_findings],
        "grave_count": len(grave),
        "counts": [(severity, count) for severity, count in counts if count],
        "harmless": harmless[:most_findings],
        "harmless_count": len(harmless),
        "tables": [
            ("groups", "Groups of processes", GROUPS, group_lines, len(groups)),
            ("cgroups", "Cgroups", CGROUPS, cgroup_lines, len(cgroups)),
        ],
    }


def _said(findings: Sequence[Finding]) -> list[Said]:
    by_words: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        words = (str(finding.severity), finding.title, finding.meaning, finding.action)
        by_words.setdefault(words, []).append(finding)
    return [Said(tuple(each.subject for each in same), same[0]) for same in by_words.values()]


def _lines(
    rows: list[tuple[Row, Severity | None]], line: Callable[[Row], tuple[Bar | None, tuple[str, ...]]]
) -> list[Line]:
    return [Line(row.name, *line(row), worst) for row, worst in rows]


def _group(row: Row, largest: Number) -> _Shown:
    memory = row.memory
    parts = (("anon", memory.anon), ("file", memory.file), ("shmem", memory.shmem))
    text = ", ".join(f"{name} {size(value)}" for name, value in parts if value is not None)
    headroom = row.cgroup.headroom if row.cgroup else None
    numbers = (memory.resident, memory.swap, memory.locked, memory.virtual, headroom)
    return Bar.of(parts, largest, text), (*map(_size, numbers), str(len(row.processes)))


def _cgroup(row: Row) -> _Shown:
    cgroup = row.cgroup
    if cgroup is None:
        return None, ("-",) * len(CGROUPS)
    limit = math.inf if cgroup.effective_limit is None else cgroup.effective_limit
    bar = None
    if limit < math.inf:
        share = (cgroup.working_set or 0) / limit if limit else 1.0
        part = "full" if share >= NEARLY_FULL else "anon"
        bar = Bar.of([(part, share)], 1, f"{100 * share:.0f} % of its limit")
    numbers = (cgroup.working_set, cgroup.usage, limit, cgroup.headroom, cgroup.swap)
    kills = "-" if cgroup.oom_kills is None else str(cgroup.oom_kills)
    return bar, (*map(_size, numbers), kills)


def _size(value: Number | None) -> str:
    return "no limit" if value == math.inf else size(value)


def _machine(machine: Machine) -> list[tuple[str, str]]:
    meminfo = machine.host.meminfo
    swap, free = meminfo.get("SwapTotal"), meminfo.get("SwapFree")
    used = None if swap is None or free is None else swap - free
    told = [
        ("RAM", size(meminfo.get("MemTotal"))),
        ("Available", size(meminfo.get("MemAvailable"))),
        ("Swap in use", f"{size(used)} of {size(swap)}" if swap else "no swap"),
    ]
    if machine.stalled is not None:
        told.append(("Waiting for memory", shown(machine.stalled, "ratio")))
    return told
