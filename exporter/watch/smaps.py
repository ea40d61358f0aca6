"""Readings of smaps_rollup, which are slow: the kernel walks the whole address space, 18 ms for 2 GB in small pages.

They are made in turns, under a budget of time at each scrape, and kept with their age. So a process whose file blocks,
or a group of large processes, doesn't hold up the scrape.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest

from exporter.catalog.process import SmapsRollup
from exporter.errors import ParseError, Refused
from exporter.kernel.read import read
from exporter.kernel.smaps_rollup import smaps_rollup
from exporter.lane import Job, Lane, Stuck
from exporter.watch.process import Process
from exporter.watch.processes import Processes

BUDGET = 0.2
"""Seconds of one scrape in which readings are begun."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What smaps_rollup said, when (in seconds since boot), and VmRSS at that time (in KiB)."""

    record: SmapsRollup
    at: float
    resident: int


class Smaps:
    """The newest reading of each process that an entry with `smaps` watches."""

    def __init__(self, procfs: str) -> None:
        self._procfs = procfs
        self._lane = Lane("smaps")
        self._oldest_first = True
        self._come: dict[Process, Reading] = {}
        self._slow: set[Process] = set()
        self.readings: dict[Process, Reading] = {}

    @property
    def stuck(self) -> int:
        """Files that have not come back."""
        return self._lane.stuck

    def refresh(self, processes: Processes, wanted: dict[Process, int], deadline: float) -> None:
        """Make as many readings of these processes as the budget allows; `wanted` has VmRSS of each, in KiB.

        They take at most half of the time that is left until the deadline: the last one, begun when the budget was
        all but used, may take as long as the budget itself. One that takes longer, of a process of 20 GB in small pages
        or more, is taken at the scrape after it has come; where it hasn't by the next one, that is an error.
        """
        budget = min(BUDGET, (deadline - time.monotonic()) / 2)
        while self._come:
            large, late = self._come.popitem()
            self.readings[large] = late
            self._slow.discard(large)
        self._slow &= wanted.keys()
        self.readings = {process: reading for process, reading in self.readings.items() if process in wanted}
        jobs = [self._job(process, processes.uptime, wanted[process]) for process in self._in_turn(wanted)]
        for process, outcome in self._lane.run(jobs, patience=budget, budget=budget):
            assert isinstance(process, Process)
            if isinstance(outcome, Reading):
                self.readings[process] = outcome
                del self._come[process]
            elif isinstance(outcome, Stuck):
                if process in self._slow:
                    processes.error(process.group, Stuck(f"smaps_rollup of {process}: {outcome}"))
                self._slow.add(process)
            elif isinstance(outcome, ParseError | Refused):
                processes.error(process.group, outcome)
            elif isinstance(outcome, Exception):
                raise outcome

    def _in_turn(self, wanted: dict[Process, int]) -> Iterable[Process]:
        """Those never read, then by turns the one that changed most and the one whose reading is oldest.

        Who is first changes too: where the budget is for one reading, neither holds up the other.
        """
        new = [process for process in wanted if process not in self.readings]
        changed = sorted(self.readings, key=lambda process: -abs(wanted[process] - self.readings[process].resident))
        oldest = sorted(self.readings, key=lambda process: self.readings[process].at)
        self._oldest_first = not self._oldest_first
        first, second = (oldest, changed) if self._oldest_first else (changed, oldest)
        by_turns = chain.from_iterable(zip_longest(first, second))
        return dict.fromkeys(chain(new, (process for process in by_turns if process)))

    def _job(self, process: Process, uptime: float, resident: int) -> Job:
        path = f"{self._procfs}/{process.pid}/smaps_rollup"

        def call() -> Reading | None:
            text = read(path)
            if text is None:
                return None
            reading = self._come[process] = Reading(smaps_rollup(text, path), uptime, resident)
            return reading

        return process, call
