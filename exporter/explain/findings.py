"""What follows from the numbers: each rule looked at for a subject, or for the machine.

findings(subject, machine)     of one group, process or cgroup
of_machine(machine)            of the machine itself
report(before, now)            of a whole sample, the worst first
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, ParamSpec

from exporter.catalog.declare import Number
from exporter.explain.rows import Machine, Sample, Subject, watched

P = ParamSpec("P")


class Severity(IntEnum):
    """How bad it is: the command's exit code is 1 when anything is critical."""

    INFO = 0
    WARNING = 1
    CRITICAL = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One number that a finding stands on: what it is, in which unit, and the kernel file that it is from.

    The unit is bytes, seconds, ratio, count, 1/s, bytes/s or word (then the value is a string).
    """

    name: str
    value: Number | str
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule's check gives where the rule holds: how bad, on what evidence, and the words that its texts take."""

    severity: Severity
    evidence: tuple[Evidence, ...]
    words: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[P]):
    """One rule: when it holds, what that means, what to do, and the kernel document that says so.

    Texts take the words of `Found` in braces.
    """

    name: str
    check: Callable[P, Found | None]
    when: str
    title: str
    meaning: str
    action: str
    document: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a person should know. `subject` is a row's name, "" for the machine."""

    rule: str
    subject: str
    severity: Severity
    title: str
    evidence: tuple[Evidence, ...]
    meaning: str
    action: str
    document: str


def findings(subject: Subject, machine: Machine) -> list[Finding]:
    """What there is to say of a subject, the worst first."""
    from exporter.explain.rules import OF_SUBJECT

    return _told(subject.row.name, OF_SUBJECT, subject, machine)


def of_machine(machine: Machine) -> list[Finding]:
    """What there is to say of the machine, the worst first."""
    from exporter.explain.rules import OF_MACHINE

    return _told("", OF_MACHINE, machine)


def _told(name: str, rules: Iterable[Rule[P]], *asked: P.args, **_: P.kwargs) -> list[Finding]:
    told = []
    for rule in rules:
        found = rule.check(*asked, **_)
        if found is not None:
            title, meaning, action = (text.format(**found.words) for text in (rule.title, rule.meaning, rule.action))
            told.append(
                Finding(rule.name, name, found.severity, title, found.evidence, meaning.strip(), action, rule.document)
            )
    return sorted(told, key=lambda finding: -finding.severity)


@dataclass(frozen=True, slots=True)
class Report:
    """A sample explained: its subjects with their findings, the worst first, and those of the machine."""

    subjects: tuple[tuple[Subject, tuple[Finding, ...]], ...]
    machine: Machine
    of_machine: tuple[Finding, ...]

    @property
    def findings(self) -> list[Finding]:
        """All of them, the worst first."""
        every = [*self.of_machine, *(finding for _, found in self.subjects for finding in found)]
        return sorted(every, key=lambda finding: -finding.severity)

    @property
    def critical(self) -> bool:
        """Whether anything is."""
        return any(finding.severity is Severity.CRITICAL for finding in self.findings)


def report(before: Sample | None, now: Sample) -> Report:
    """Explain a sample; without one of before, what needs an interval isn't said."""
    subjects, machine = watched(before, now)
    judged = [(subject, tuple(findings(subject, machine))) for subject in subjects]
    judged.sort(key=lambda item: _weight(*item))
    return Report(tuple(judged), machine, tuple(of_machine(machine)))


def _weight(subject: Subject, found: tuple[Finding, ...]) -> tuple[float, ...]:
    """The order of subjects: by their worst finding, how many there are as bad, and their resident memory."""
    worst = max((finding.severity for finding in found), default=-1)
    as_bad = sum(finding.severity == worst for finding in found)
    return -worst, -as_bad, -(subject.row.memory.resident or 0)
