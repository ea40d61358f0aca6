"""The groups that processes are summed in: which there are, how many there may be, what they have counted."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from exporter.catalog.declare import Pairs
from exporter.catalog.process import Delays
from exporter.config import OTHER, Config, ProcessEntry
from exporter.watch.ledger import Ledger

if TYPE_CHECKING:
    from exporter.watch.process import Process

REASONS = ("permission", "timeout", "parse")
"""Why a process that was there could not be read."""

REMEMBERED = 10
"""Groups whose counters are remembered after they left the page, as a multiple of max_groups."""

Key = tuple[str, Pairs]
NOWHERE: Key = ("", ())
OTHER_KEY: Key = (OTHER, ())


class Group:
    """One group: its labels, its members and its counters; `entry` is None for "other"."""

    __slots__ = ("delays", "entry", "errors", "key", "ledger", "members")

    def __init__(self, key: Key, entry: ProcessEntry | None, counters: int) -> None:
        self.key = key
        self.entry = entry
        self.members: dict[Process, None] = {}
        self.ledger = Ledger(counters)
        self.delays = Ledger(len(Delays._fields))
        self.errors = Counter(dict.fromkeys(REASONS, 0))

    @property
    def labels(self) -> Pairs:
        """The labels of its series."""
        return (("group", self.key[0]), *self.key[1])


class Groups:
    """All groups on the page, and the counters of those that were.

    Beyond `max_groups` a new name makes room by dropping the group that has been on the page longest of those that are
    empty; where none is, the process goes to "other". A fixed name is always there.
    """

    def __init__(self, counters: int) -> None:
        self._counters = counters
        self._shown: OrderedDict[Key, Group] = OrderedDict()
        self._past: OrderedDict[Key, Group] = OrderedDict()
        self._max = Config().max_groups
        self.nameless = Group(NOWHERE, None, counters)
        """Stands for processes that could not be named: it has no members, only read errors."""

    def configure(self, config: Config) -> None:
        """Take a new configuration. A group that it brings back comes with its counters and members."""
        self._max = config.max_groups
        self._past.update(self._shown)
        self._shown.clear()
        for entry in config.processes:
            if entry.fixed and (entry.group, entry.labels) not in self._shown:
                self._show((entry.group, entry.labels), entry)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._shown.values())

    def __contains__(self, group: Group | None) -> bool:
        return group is not None and self._shown.get(group.key) is group

    @property
    def other(self) -> Group | None:
        """The group of what is folded, where there is one."""
        return self._shown.get(OTHER_KEY)

    @property
    def folded(self) -> int:
        """How many names are in "other" now."""
        return len({process.key for process in self.other.members} - {OTHER_KEY}) if self.other else 0

    def find(self, key: Key, entry: ProcessEntry) -> Group:
        """The group for a process of that name and labels, which may be "other"."""
        if key in self._shown:
            return self._shown[key]
        if self._room():
            return self._show(key, entry)
        return self.other or self._show(OTHER_KEY, None)

    def _room(self) -> bool:
        if len(self._shown) < self._max:
            return True
        for key, group in self._shown.items():
            if not group.members and key != OTHER_KEY and not (group.entry and group.entry.fixed):
                self._remember(key, self._shown.pop(key))
                return True
        return False

    def _show(self, key: Key, entry: ProcessEntry | None) -> Group:
        group = self._past.pop(key, None) or Group(key, entry, self._counters)
        group.entry = entry
        self._shown[key] = group
        return group

    def _remember(self, key: Key, group: Group) -> None:
        self._past[key] = group
        while len(self._past) > REMEMBERED * self._max:
            self._past.popitem(last=False)
