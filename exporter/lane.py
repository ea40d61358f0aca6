"""Calls that may block, made where they can't hold up anybody else.

A read of some kernel files can wait for a lock that another process holds, without end. Such calls run in a thread
beside the one that waits for them; one that doesn't come back is left behind with its thread, is known as stuck, and
isn't tried again until it has come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Final


class Stuck(Exception):
    """A call that has not come back in time."""


STUCK: Final = Stuck("did not come back in time")

Job = tuple[Hashable, Callable[[], object]]


class _Batch:
    """Jobs that one thread works through. What it has done, it has appended to `done`."""

    def __init__(self, jobs: Sequence[Job], deadline: float) -> None:
        self.jobs = jobs
        self.deadline = deadline
        self.done: list[tuple[Hashable, object]] = []
        self.finished = threading.Event()
        self.left_behind = False

    def run(self, lock: threading.Lock, stuck: set[Hashable]) -> None:
        for key, call in self.jobs:
            if time.monotonic() > self.deadline:
                break
            try:
                outcome = call()
            except Exception as error:  # the caller knows which ones are its own
                outcome = error
            with lock:
                if self.left_behind:
                    stuck.discard(key)
                    return
                self.done.append((key, outcome))
        self.finished.set()


class Lane:
    """Runs jobs one after the other beside the caller; at most `threads` of them may be stuck at a time."""

    def __init__(self, name: str, threads: int = 4) -> None:
        self._name = name
        self._threads = threads
        self._stuck: set[Hashable] = set()
        self._lock = threading.Lock()

    def run(
        self, jobs: Sequence[Job], *, patience: float, budget: float = float("inf")
    ) -> list[tuple[Hashable, object]]:
        """Run the jobs, each for at most `patience` seconds; begin none when `budget` seconds are over.

        Gives (key, outcome) in order: what the call returned, the exception it raised, or STUCK. A job that was not
        begun is not in the list.
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
            threading.Thread(target=batch.run, args=(self._lock, self._stuck), name=self._name, daemon=True).start()
            if self._wait(batch, patience):
                return outcomes + batch.done
            outcomes += batch.done
            key = todo[len(batch.done)][0]
            outcomes.append((key, STUCK))
            todo = todo[len(batch.done) + 1 :]
        return outcomes

    def _wait(self, batch: _Batch, patience: float) -> bool:
        """Whether the batch finished; if it didn't, its present job is stuck and its thread left behind."""
        seen = 0
        while not batch.finished.wait(patience):
            with self._lock:
                if batch.finished.is_set():
                    return True
                if len(batch.done) == seen:
                    batch.left_behind = True
                    self._stuck.add(batch.jobs[seen][0])
                    return False
                seen = len(batch.done)
        return True
