"""One line for each group and cgroup: what `top` and `explain` show of the whole machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from exporter.catalog.declare import Number
from exporter.explain.rows import Subject
from exporter.explain.units import shown


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, the number that rows are sorted by, and how that is shown."""

    key: str
    heading: str
    value: Callable[[Subject], Number | None]
    unit: str

    def text(self, subject: Subject) -> str:
        """The cell."""
        return shown(self.value(subject), self.unit)

    def rank(self, subject: Subject) -> Number:
        """Where it stands, the worst first: most of anything, but the least headroom. What isn't known is last."""
        value = self.value(subject)
        if value is None:
            return math.inf
        return value if self.key == "h" else -value


def headroom(subject: Subject) -> Number | None:
    """What is left before a limit kills."""
    return subject.row.cgroup.headroom if subject.row.cgroup else None


def pressure(subject: Subject) -> float | None:
    """The share of the interval in which some task of its cgroup waited for memory; version 1 doesn't tell."""
    waited = subject.cgroup_rose("pressure_some")
    return None if waited is None else waited / subject.seconds


COLUMNS = (
    Column("n", "PROCS", lambda subject: len(subject.row.processes), "count"),
    Column("r", "RESIDENT", lambda subject: subject.row.memory.resident, "bytes"),
    Column("s", "SWAP", lambda subject: subject.row.memory.swap, "bytes"),
    Column("f", "MAJFLT/s", lambda subject: subject.rate("major_faults"), "count"),
    Column("h", "HEADROOM", headroom, "bytes"),
    Column("p", "PRESSURE", pressure, "ratio"),
)
"""The key of a column is what one presses in `top` to sort by it."""


def lines(subjects: Sequence[Subject], width: int) -> list[str]:
    """The table as plain lines of at most so many characters."""
    cells = [[column.text(subject) for column in COLUMNS] for subject in subjects]
    heads = [column.heading for column in COLUMNS]
    widths = [max(len(row[place]) for row in [heads, *cells]) for place in range(len(COLUMNS))]
    longest = max([len("NAME"), *(len(label(subject)) for subject in subjects)])
    names = max(min(longest, width - sum(widths) - 2 * len(widths)), 8)
    table = [("NAME", heads)] + [(label(subject), row) for subject, row in zip(subjects, cells, strict=True)]
    return [
        cut(name, names).ljust(names) + "".join(f"  {cell:>{wide}}" for cell, wide in zip(row, widths, strict=True))
        for name, row in table
    ]


def label(subject: Subject) -> str:
    """A row's name, without characters that a terminal obeys: a process may be called anything."""
    return printable(subject.row.name)


def printable(text: str) -> str:
    """The same text with what doesn't print as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def cut(text: str, width: int) -> str:
    """A text of at most so many characters: the end of a long one says more than its beginning."""
    return text if len(text) <= width else "…" + text[len(text) - width + 1 :]
