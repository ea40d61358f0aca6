"""Sums of counters over members that come and go, which never fall.

A sum is a base and what the members have now. What a member has done moves into the base when it leaves; what one had
done before it joined is taken off the base, so that it counts from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

Counts = tuple[int, ...]


class Ledger:
    """The base of one group's counters. Whose counts go into `sums` is kept by the caller."""

    __slots__ = ("_base",)

    def __init__(self, width: int) -> None:
        self._base = [0] * width

    def join(self, before: Counts) -> None:
        """A member comes that had done this much at another time, or for another group."""
        for i, count in enumerate(before):
            self._base[i] -= count

    def leave(self, last: Counts) -> None:
        """A member goes; this is the last that was read of it."""
        for i, count in enumerate(last):
            self._base[i] += count

    def read(self, old: Counts, new: Counts) -> None:
        """A member that had `old` has `new`. Where the kernel's own count fell, the sum stays.

        It falls when a thread that isn't the first makes an exec: its own counts become the process's.
        """
        for i, (had, has) in enumerate(zip(old, new, strict=True)):
            if has < had:
                self._base[i] += had - has

    def sums(self, members: Sequence[Counts]) -> Counts:
        """The counters of a group whose members have these counts now."""
        if not members:
            return tuple(self._base)
        return tuple(map(sum, zip(self._base, *members, strict=True)))
