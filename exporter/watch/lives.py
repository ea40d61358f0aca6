"""Counters of things that may be removed and made again under the same name, without the name's counters falling."""

from __future__ import annotations

from collections import OrderedDict
from operator import lt

from exporter.catalog.declare import Metric, Number

Series = tuple[Metric, str]
"""A metric, and what tells its series apart."""


class _Life:
    __slots__ = ("away", "base", "counts", "inode", "series")

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.series: list[Series] = []
        self.counts: list[Number] = []
        self.base: dict[Series, Number] = {}
        self.away: dict[Series, Number] = {}
        """The last counts of series that could not be read since."""


class Lives:
    """For each name: what its lives up to now have counted, and what the present one has."""

    def __init__(self) -> None:
        self._lives: OrderedDict[str, _Life] = OrderedDict()

    def read(self, name: str, inode: int, series: list[Series], counts: list[Number]) -> list[Number]:
        """The counters over all lives, for the counts of each series now.

        Another inode is another life; a count that fell, as v1's failcnt may be made to, goes on from where it was.
        """
        life = self._lives.get(name)
        if life is None:
            life = self._lives[name] = _Life(inode)
        self._lives.move_to_end(name)
        if inode != life.inode or series != life.series or any(map(lt, counts, life.counts)):
            now: dict[Series, Number] = dict(zip(series, counts, strict=True)) if inode == life.inode else {}
            before = life.away | dict(zip(life.series, life.counts, strict=True))
            life.away = {}
            for key, had in before.items():
                if inode == life.inode and key not in now:
                    life.away[key] = had
                elif now.get(key, 0) < had:
                    life.base[key] = life.base.get(key, 0) + had - now.get(key, 0)
        life.inode, life.series, life.counts = inode, series, counts
        if not life.base:
            return counts
        return [count + life.base.get(key, 0) for key, count in zip(series, counts, strict=True)]

    def forget_beyond(self, most: int) -> None:
        """Keep so many names: those read last."""
        while len(self._lives) > most:
            self._lives.popitem(last=False)
