"""Counters of things that may be removed and made again under the same name, without the name's counters falling."""

from __future__ import annotations

from collections import OrderedDict

from exporter.catalog.declare import Metric, Number

Counters = dict[tuple[Metric, str], Number]
"""By metric, and by what tells its series apart."""


class _Life:
    __slots__ = ("base", "inode", "last")

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.last: Counters = {}
        self.base: Counters = {}


class Lives:
    """For each name: what its lives up to now have counted, and what the present one has."""

    def __init__(self) -> None:
        self._lives: OrderedDict[str, _Life] = OrderedDict()

    def read(self, name: str, inode: int, counters: Counters) -> Counters:
        """The counters over all lives. Another inode is another life; a count that fell, as v1's failcnt may be made
        to, goes on from where it was.
        """
        life = self._lives.get(name)
        if life is None:
            life = self._lives[name] = _Life(inode)
        self._lives.move_to_end(name)
        for key, last in life.last.items():
            now = counters.get(key, 0) if inode == life.inode else 0
            if now < last:
                life.base[key] = life.base.get(key, 0) + last - now
        life.inode, life.last = inode, dict(counters)
        if not life.base:
            return counters
        return {key: value + life.base.get(key, 0) for key, value in counters.items()}

    def forget_beyond(self, most: int) -> None:
        """Keep so many names: those read last."""
        while len(self._lives) > most:
            self._lives.popitem(last=False)
