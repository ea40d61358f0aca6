"""Calls that may block, made where they can't hold up anybody else.

A read of some kernel files can wait for a lock that another process holds, without end. Such calls run in a thread
beside the one that waits for them; one that doesn't come back is left behind with its thread, is known as stuck, and
isn't tried again until it has come back. A thread that isn't left behind is kept for the next calls: to start one is
what fails first where memory is short, and takes longer than most calls.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from queue import SimpleQueue
from typing import Final

from exporter.errors import Unavailable


class Stuck(Exception):
    """A call that has not come back in time."""


MOST_STUCK = 4
"""Calls of one lane that may be stuck at a time."""

STUCK: Final = Stuck("did not come back in time")

Job = tuple[Hashable, Callable[[], object]]


class _Batch:
    """Jobs that one thread works through. What it has done, it has appended to `done`."""

    def __init__(self, jobs: Sequence[Job], deadline: float) -> None:
        self.jobs = jobs
        self.deadline = deadline
        self.done: list[tuple[Hashable, object]] = []
        self.finished = threading.Event()
        self.failed: MemoryError | None = None
        self.left_behind = False

    def run(self, lock: threading.Lock, stuck: set[Hashable]) -> bool:
        """Whether the thread is not left behind with it."""
        try:
            self._work(lock)
        except MemoryError as error:
            self.failed = error
        with lock:
            if self.left_behind:
                stuck.discard(self.jobs[len(self.done)][0])
                return False
            self.finished.set()
        return True

    def _work(self, lock: threading.Lock) -> None:
        for key, call in self.jobs:
            if time.monotonic() > self.deadline:
                return
            try:
                outcome = call()
            except Exception as error:  # the caller knows which ones are its own
                outcome = error
            with lock:
                if self.left_behind:
                    return
                self.done.append((key, outcome))


_Batches = SimpleQueue[_Batch | None]


def _work(batches: _Batches, lock: threading.Lock, stuck: set[Hashable]) -> None:
    wanted = True
    while wanted:
        batch = batches.get()
        wanted = batch is not None and batch.run(lock, stuck)
        # What it holds is not to live until the next one comes.
        del batch


class Lane:
    """Runs jobs one after the other beside the caller, of which there is one at a time.

    At most `threads` of the jobs may be stuck at a time, and no more threads are there than that.
    """

    def __init__(self, name: str, threads: int = MOST_STUCK) -> None:
        self._name = name
        self._threads = threads
        self._stuck: set[Hashable] = set()
        self._lock = threading.Lock()
        self._batches: _Batches | None = None

    @property
    def stuck(self) -> int:
        """How many calls have not come back by now."""
        return len(self._stuck)

    def run(
        self, jobs: Sequence[Job], *, patience: float, budget: float = float("inf")
    ) -> list[tuple[Hashable, object]]:
        """Run the jobs, each for at most `patience` seconds; begin none when `budget` seconds are over.

        Gives (key, outcome) in order: what the call returned, the exception it raised, or STUCK. A job that was not
        begun is not in the list. Raises Unavailable where there is no memory or no thread for them.
        """
        deadline = time.monotonic() + budget
        with self._lock:
            stuck = self._stuck.copy()
        outcomes: list[tuple[Hashable, object]] = [(key, STUCK) for key, _ in jobs if key in stuck]
        todo = [job for job in jobs if job[0] not in stuck]
        while todo and time.monotonic() <= deadline:
            if len(self._stuck) >= self._threads:
                outcomes += [(key, STUCK) for key, _ in todo]
                break
            batch = _Batch(todo, deadline)
            self._thread().put(batch)
            if self._wait(batch, patience):
                if batch.failed:
                    raise Unavailable("no memory for a reading") from batch.failed
                return outcomes + batch.done
            self._batches = None
            outcomes += batch.done
            key = todo[len(batch.done)][0]
            outcomes.append((key, STUCK))
            todo = todo[len(batch.done) + 1 :]
        return outcomes

    def _thread(self) -> _Batches:
        """Where a thread that has nothing to do takes its batches from."""
        if self._batches is None:
            batches: _Batches = SimpleQueue()
            thread = threading.Thread(
                target=_work, args=(batches, self._lock, self._stuck), name=self._name, daemon=True
            )
            try:
                thread.start()
            except RuntimeError as error:
                raise Unavailable(f"no thread for a reading: {error}") from None
            weakref.finalize(self, batches.put, None).atexit = False
            self._batches = batches
        return self._batches

    def _wait(self, batch: _Batch, patience: float) -> bool:
        """Whether the batch finished; if it didn't, its present job is stuck and its thread left behind."""
        seen = 0
        while not batch.finished.wait(patience):
            with self._lock:
                if batch.finished.is_set():
                    return True
                if len(batch.done) == seen < len(batch.jobs):
                    batch.left_behind = True
                    self._stuck.add(batch.jobs[seen][0])
                    return False
                seen = len(batch.done)
        return True
