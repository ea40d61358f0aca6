"""What one collector found in one scrape."""

from __future__ import annotations

import math
from collections.abc import Iterable

from exporter.catalog.declare import METRICS, Family, Metric, Number
from exporter.errors import VmemError
from exporter.lane import Stuck


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

    @property
    def families(self) -> list[Family]:
        """The families in the catalogue's order."""
        return [self._families[name] for name in METRICS if name in self._families]
