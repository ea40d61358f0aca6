"""The live table of `top`: what is shown of a report, and what keys do to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group
from rich.table import Table
from rich.text import Text

from exporter.explain.findings import Finding, Report, Severity
from exporter.explain.rows import Machine, Subject
from exporter.explain.table import COLUMNS, cut, label
from exporter.explain.units import shown, size

BAR = 10
"""Characters of a bar."""

WIDE = 100
"""Columns of a terminal from which on there is room for the number of processes."""

AROUND = 5
"""Lines that aren't rows: the machine, a blank, the heading, the help."""

COLOURS = {None: "", Severity.INFO: "", Severity.WARNING: "yellow", Severity.CRITICAL: "red"}


@dataclass(slots=True)
class View:
    """What the person wants to see."""

    sort: str = "r"
    filter: str = ""
    typing: bool = False
    ended: bool = False

    def press(self, key: str) -> None:
        """One key. While a filter is typed, Enter keeps it and Escape drops it."""
        if self.typing:
            if key in ("\r", "\n"):
                self.typing = False
            elif key == "\x1b":
                self.typing, self.filter = False, ""
            elif key in ("\x7f", "\b"):
                self.filter = self.filter[:-1]
            elif key.isprintable():
                self.filter += key
        elif key in ("q", "\x03"):
            self.ended = True
        elif key == "/":
            self.typing = True
        elif key == "\x1b":
            self.filter = ""
        elif any(key == column.key for column in COLUMNS):
            self.sort = key

    def chosen(self, subjects: Sequence[Subject]) -> list[Subject]:
        """The subjects whose names have the filter in them, in the order asked for."""
        column = next(column for column in COLUMNS if column.key == self.sort)
        wanted = [subject for subject in subjects if self.filter.lower() in subject.row.name.lower()]
        return sorted(wanted, key=lambda subject: (column.rank(subject), subject.row.name))


def screen(report: Report, view: View, width: int, height: int) -> Group:
    """All of it, for a terminal of this size."""
    judged = {id(subject): found for subject, found in report.subjects}
    chosen = view.chosen([subject for subject, _ in report.subjects])
    columns = [column for column in COLUMNS if column.key != "n" or width >= WIDE]
    table = Table(box=None, padding=(0, 1), pad_edge=False, expand=True, header_style="bold")
    table.add_column("NAME", ratio=1, no_wrap=True)
    table.add_column("", width=BAR, no_wrap=True)
    for column in columns:
        head = Text(column.heading, "reverse" if column.key == view.sort else "")
        table.add_column(head, justify="right", no_wrap=True)
    fits = max(height - AROUND, 1)
    for subject in chosen[:fits]:
        cells = [column.text(subject) for column in columns]
        style = COLOURS[_worst(judged[id(subject)])]
        table.add_row(Text(cut(label(subject), width // 3)), bar(subject, report.machine), *cells, style=style)
    hidden = len(chosen) - fits
    return Group(
        _machine(report.machine),
        f"filter: {view.filter}" if view.filter else "",
        table,
        Text(f"… {hidden} more" if hidden > 0 else ""),
        _help(view),
    )


def bar(subject: Subject, machine: Machine) -> str:
    """What is resident, of what it may have: of the limit above it, or of the machine's RAM."""
    most = machine.host.meminfo.get("MemTotal", math.inf)
    cgroup = subject.row.cgroup
    if cgroup and cgroup.tightest and cgroup.tightest.limit:
        most = min(most, cgroup.tightest.limit)
    filled = round(BAR * min((subject.row.memory.resident or 0) / most, 1)) if most < math.inf else 0
    # Plain letters: not every terminal that one comes by over ssh has blocks.
    return "|" * filled + "." * (BAR - filled)


def _worst(found: Sequence[Finding]) -> Severity | None:
    return max((finding.severity for finding in found), default=None)


def _machine(machine: Machine) -> Text:
    memory = machine.host.meminfo
    used = (memory.get("SwapTotal") or 0) - (memory.get("SwapFree") or 0)
    available = f"{size(memory.get('MemAvailable'))} available of {size(memory.get('MemTotal'))}"
    stalled = "" if machine.stalled is None else f"   pressure {shown(machine.stalled, 'ratio')}"
    return Text(f"{available}   swap {size(used)} used{stalled}", no_wrap=True)


def _help(view: View) -> Text:
    if view.typing:
        return Text(f"filter: {view.filter}_   Enter keeps, Escape drops", no_wrap=True)
    keys = "  ".join(f"{column.key} {column.heading.removesuffix('/s').lower()}" for column in COLUMNS)
    return Text(f"{keys}  / filter  q quit", no_wrap=True)
