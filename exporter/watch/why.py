"""A process that is there, and what each entry makes of it: for whoever misses one among those that are watched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporter.catalog.process import Task
from exporter.config import ProcessEntry
from exporter.errors import ParseError, Refused
from exporter.kernel.read import listing, read
from exporter.kernel.stat import name_end, task
from exporter.lane import Lane, Stuck
from exporter.watch.identity import PF_KTHREAD, Identity
from exporter.watch.namespace import Namespace
from exporter.watch.verdict import Verdict, shown, verdicts

PATIENCE = 0.5
"""Seconds that the reading of one process may take before it is left behind."""


class Subject(NamedTuple):
    """A process. Where it can't be read, `unread` says why and there is no more."""

    pid: int
    comm: str = ""
    kind: str = ""
    verdicts: tuple[Verdict, ...] = ()
    unread: str = ""

    def __str__(self) -> str:
        return (
            f"process {self.pid}{f' {shown(self.comm)}' if self.comm else ''}{f', a {self.kind}' if self.kind else ''}"
        )


def pids(procfs: str) -> list[int]:
    """The processes that are there, or that may be seen. Raises Refused."""
    return sorted(int(name) for name in listing(procfs) if name.isascii() and name.isdigit())


def why(
    procfs: str, cgroupfs: str | None, wanted: Iterable[int], entries: tuple[ProcessEntry, ...]
) -> Iterator[Subject]:
    """These processes in order, but for those that went meanwhile."""
    lane, namespace = Lane("why"), Namespace(procfs, cgroupfs)
    for pid in wanted:
        [(_, outcome)] = lane.run([(pid, lambda pid=pid: _look(procfs, pid, entries, namespace))], patience=PATIENCE)  # type: ignore[misc]
        if isinstance(outcome, Subject):
            yield outcome
        elif isinstance(outcome, Stuck | ParseError | Refused):
            yield Subject(pid, unread=str(outcome))
        elif isinstance(outcome, Exception):
            raise outcome


def _look(procfs: str, pid: int, entries: tuple[ProcessEntry, ...], namespace: Namespace) -> Subject | None:
    path = f"{procfs}/{pid}/stat"
    text = read(path)
    if text is None:
        return None
    record: Task = task(text, path)
    end = name_end(text)
    comm = text[text.index(b"(") + 1 : end]
    kernel_thread = bool(record.flags & PF_KTHREAD)
    kind = "kernel thread" if kernel_thread else "zombie" if text[end + 2 : end + 3] == b"Z" else ""
    found = verdicts(entries, Identity(procfs, pid, comm, kernel_thread, namespace))
    return Subject(pid, comm.decode("utf-8", "replace"), kind, tuple(found))
