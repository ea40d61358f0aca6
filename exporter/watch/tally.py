"""What was read of a group's processes, and how it comes to one number for each column."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from exporter.catalog.declare import Column
from exporter.catalog.process import ROW, Stat, Status
from exporter.watch.process import Process

Row = tuple[int | None, ...]
"""Stat and Status of a process, end to end."""

_PACK = struct.Struct(f"<{len(Stat._fields) + len(Status._fields)}Q")
_APART = sorted({column.index for column in ROW if column.show.merge is not sum})
_PICK = struct.Struct("<" + "".join("Q" if place in _APART else "8x" for place in range(_PACK.size // 8)))
_MOST = 1 << 48
"""A row is packed if its numbers are below this, so that those of 65,536 processes can be added."""


class Tally:
    """What was read of a group's processes: the rows of most are packed, those of some are as they were read."""

    __slots__ = ("packed", "rows")

    def __init__(self) -> None:
        self.packed: list[bytes] = []
        self.rows: dict[Process, Row] = {}

    def __bool__(self) -> bool:
        return bool(self.packed or self.rows)

    def values(self, columns: Iterable[Column]) -> list[int | None]:
        """Each column merged as it is shown: None where no process has a value."""
        rows, packed = list(self.rows.values()), self.packed
        # As one integer of 64 bits for each column, a row is added at one go.
        total = sum([int.from_bytes(row, "little") for row in packed])
        sums = _PACK.unpack(total.to_bytes(_PACK.size, "little"))
        apart = dict(zip(_APART, zip(*map(_PICK.unpack, packed), strict=True), strict=False))
        merged: list[int | None] = []
        for column in columns:
            index, merge = column.index, column.show.merge
            values: list[int | None] = [row[index] for row in rows] if rows else []
            if packed:
                values.append(sums[index] if merge is sum else merge(apart[index]))
            merged.append(merge_given(merge, values))
        return merged


def pack(row: Row) -> bytes | None:
    """A row in as many bytes as fit an integer that rows can be summed in; None where a number is absent or too large.

    Rows as they are would take twice the memory of everything else that is kept of a process.
    """
    try:
        return _PACK.pack(*row) if max(row) < _MOST else None  # type: ignore[type-var,operator]
    except TypeError:
        return None


def merge_given(merge: Callable[[Iterable[Any]], Any], values: list[int | None]) -> Any:
    """The values that are there, merged; None without one. Zombies and kernel threads have no sizes."""
    given = [value for value in values if value is not None] if None in values else values
    return merge(given) if given else None
