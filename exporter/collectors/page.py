"""What one collector found in one scrape."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from exporter.catalog.declare import METRICS, Family, Metric, Number
from exporter.errors import VmemError
from exporter.lane import MOST_STUCK, Stuck


class Page:
    """Families, filled in any order, and what could not be read."""

    def __init__(self, deadline: float = math.inf) -> None:
        """`deadline` is the time.monotonic() at which the page is given up."""
        self.deadline = deadline
        self.failures: list[VmemError | Stuck] = []
        self._families: dict[str, Family] = {}

    def family(self, metric: Metric) -> Family:
        """The family of a metric, to which samples are added."""
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = Family(metric)
        return family

    def add(self, metric: Metric, labels: Iterable[tuple[str, str]], value: Number) -> None:
        """One sample more."""
        self.family(metric).samples.append((metric.series(labels), value))

    def merge(self, part: Page) -> None:
        """Add what another page has."""
        self.failures += part.failures
        for name, family in part._families.items():
            if (known := self._families.setdefault(name, family)) is not family:
                known.samples.extend(family.samples)

    @property
    def time_left(self) -> float:
        """Seconds until the deadline."""
        return max(self.deadline - time.monotonic(), 0.0)

    def patience(self, most: float) -> float:
        """Seconds to wait for one reading: after as many of them as may be stuck there is time left for the rest."""
        return min(most, self.time_left / (MOST_STUCK + 1))

    @property
    def families(self) -> list[Family]:
        """The families in the catalogue's order."""
        return [self._families[name] for name in METRICS if name in self._families]
