"""A report as a person reads it in a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator

from exporter.explain.findings import Evidence, Finding, Report, Severity
from exporter.explain.rows import Machine, Subject
from exporter.explain.table import label, lines, pressure, printable
from exporter.explain.units import shown, size

COLOURS = {Severity.INFO: "36", Severity.WARNING: "33", Severity.CRITICAL: "31"}
"""Cyan, yellow, red: of the eight that every terminal has."""


def render(report: Report, *, whole: bool, width: int, colour: bool) -> str:
    """The report of one subject or some, or of the `whole` machine, where what is only informative has one line."""
    parts: list[str] = []
    if whole:
        parts += [*_host(report.machine), "", *lines([subject for subject, _ in report.subjects], width)]
    for subject, found in report.subjects:
        if not whole:
            parts += [*(["", ""] if parts else []), *_subject(subject)]
            parts += _findings(found, width, colour)
    if whole:
        parts += _findings(
            [item for item in report.findings if item.severity > Severity.INFO], width, colour, named=True
        )
        infos = [item for item in report.findings if item.severity is Severity.INFO]
        parts += [""] if infos else []
        parts += [f"{_word(item, colour)}  {_named(item)}" for item in infos]
    else:
        parts += _findings(report.of_machine, width, colour, named=True)
    if not report.findings:
        parts += ["", "Nothing to say: all is as it should be."]
    return "\n".join(parts) + "\n"


def _host(machine: Machine) -> Iterator[str]:
    memory = machine.host.meminfo
    yield (
        f"machine   {size(memory.get('MemTotal'))} RAM, {size(memory.get('MemAvailable'))} available;"
        f" swap {size(memory.get('SwapTotal'))}, {size(memory.get('SwapFree'))} free"
    )
    stalled = "" if machine.stalled is None else f"; some task waited for memory {shown(machine.stalled, 'ratio')}"
    yield (
        f"          {shown(machine.counted('pgmajfault'), 'count')} major faults,"
        f" {shown(machine.counted('pswpin'), 'count')} pages from swap in {machine.seconds:.1f} s{stalled}"
    )


def _subject(subject: Subject) -> Iterator[str]:
    row = subject.row
    memory = row.memory
    count = len(row.processes)
    yield f"{row.kind} {label(subject)}: {count} process{'' if count == 1 else 'es'}"
    yield f"  virtual      {size(memory.virtual):>10}"
    parts = ", ".join(f"{name} {size(getattr(memory, name))}" for name in ("anon", "file", "shmem"))
    yield f"  resident     {size(memory.resident):>10}   {parts}"
    yield f"  swap         {size(memory.swap):>10}"
    yield f"  locked       {size(memory.locked):>10}"
    yield f"  page tables  {size(memory.page_tables):>10}"
    yield f"  huge pages   {size(memory.hugetlb):>10}   of the pools"
    if subject.seconds > 0:
        for kind in ("minor", "major"):
            rose, rate = subject.rose(f"{kind}_faults"), subject.rate(f"{kind}_faults")
            yield f"  {kind} faults {shown(rate, '1/s'):>10}   {shown(rose, 'count')} in {subject.seconds:.1f} s"
    if row.cgroup:
        cgroup, tightest = row.cgroup, row.cgroup.tightest
        yield f"  cgroup       {printable(cgroup.path)} (version {cgroup.version})"
        parts = f"working set {size(cgroup.working_set)}, swap {size(cgroup.swap)}"
        yield f"    usage      {size(cgroup.usage):>10}   {parts}"
        limit = cgroup.effective_limit if cgroup.effective_limit is not None else math.inf
        above = f", the limit of {printable(tightest.path)}" if tightest and tightest.path != cgroup.path else ""
        yield f"    limit      {size(limit):>10}   headroom {size(cgroup.headroom)}{above}"
        if (share := pressure(subject)) is not None:
            yield f"    pressure   {shown(share, 'ratio'):>10}   of the time some task waited for memory"


def _findings(found: Iterable[Finding], width: int, colour: bool, *, named: bool = False) -> Iterator[str]:
    for finding in found:
        yield ""
        yield f"{_word(finding, colour)}  {_named(finding) if named else printable(finding.title)}"
        yield from _entry("evidence", [_evidence(item) for item in finding.evidence], width)
        if finding.meaning:
            yield from _entry("meaning", [finding.meaning], width)
        yield from _entry("do", [finding.action], width)
        yield from _entry("see", [finding.document], width)


def _named(finding: Finding) -> str:
    return f"{printable(finding.subject) or 'machine'}: {printable(finding.title)}"


def _word(finding: Finding, colour: bool) -> str:
    word = f"{finding.severity!s:<8}"
    return f"\x1b[{COLOURS[finding.severity]}m{word}\x1b[0m" if colour else word


def _evidence(item: Evidence) -> str:
    return f"{item.name} {shown(item.value, item.unit)} ({item.source})"


def _entry(name: str, texts: Iterable[str], width: int) -> Iterator[str]:
    heading = f"  {name:<8}  "
    for text in texts:
        yield from textwrap.wrap(
            printable(text), width, initial_indent=heading, subsequent_indent=" " * 12, break_on_hyphens=False
        )
        heading = " " * 12
