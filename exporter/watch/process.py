"""A process as it is known between scrapes."""

from __future__ import annotations

from exporter.catalog.process import Task
from exporter.config import ProcessEntry
from exporter.kernel.stat import name_end
from exporter.watch.groups import NOWHERE, Group, Key
from exporter.watch.identity import PF_KTHREAD
from exporter.watch.ledger import Counts


class Process:
    """One process that is there: who it is, and what it has counted."""

    __slots__ = (
        "counts",
        "entry",
        "first",
        "group",
        "head",
        "kernel_thread",
        "key",
        "packed",
        "pid",
        "seen",
        "stack",
        "starttime",
        "stat_file",
        "status_file",
    )

    def __init__(self, pid: int, text: bytes, record: Task, first: int) -> None:
        self.pid = pid
        self.starttime = record.starttime
        self.kernel_thread = bool(record.flags & PF_KTHREAD)
        self.first = first
        """The refresh in which it was born: what it has done by a later one doesn't count where it joins then."""
        self.saw(text, record)
        self.group: Group | None = None
        self.entry: ProcessEntry | None = None
        """The entry that takes it."""
        self.key: Key = NOWHERE
        """The group that the configuration gives it; in "other" it isn't the group's own."""
        self.counts: Counts = ()
        """What it adds to its group's counters; empty until it was read as a member of the group."""
        self.seen: int | None = None
        """The hash of its files when `packed` was made of them."""
        self.packed = b""
        self.stat_file = self.status_file = -1
        """Descriptors of its files, where these are kept open."""

    def saw(self, text: bytes, record: Task) -> None:
        """Keep what its stat file says of which program it is: all up to the name's end, and the stack's address."""
        self.head = text[: name_end(text)]
        self.stack = b" %d " % record.start_stack

    @property
    def comm(self) -> bytes:
        """The name that the kernel has for it."""
        return self.head[self.head.index(b"(") + 1 :]

    def __str__(self) -> str:
        return f"process {self.pid}"
