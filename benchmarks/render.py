"""The cost of a rendered sample in µs, ours and the client library's, as one line of JSON.

Run by run.py with the exporter's own Python. Both sides start from samples that are there, and the texts are compared.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from statistics import median

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from exporter.catalog.declare import Family, Metric
from exporter.exposition import render

METRICS, GROUPS, ROUNDS = 30, 200, 15


class Given:
    """A collector of families that are already made."""

    def __init__(self, families: list[GaugeMetricFamily]) -> None:
        self.families = families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        return iter(self.families)


def microseconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return (time.process_time() - begin) * 1e6 / (METRICS * GROUPS)


def main() -> None:
    numbers = random.Random(1)
    ours, theirs = [], []
    for number in range(METRICS):
        name = f"vmem_process_field_{number}_bytes"
        mine = Family(Metric(name, "gauge", f"Field {number} of /proc/PID/status."))
        library = GaugeMetricFamily(name, f"Field {number} of /proc/PID/status.", labels=["group"])
        for group in range(GROUPS):
            # As on a page: most are sizes in whole pages, some are zero, some have a fraction.
            size, fraction = numbers.randrange(1 << 24) * 4096, numbers.randrange(1 << 20) / 100
            value = (size, size, size, 0, fraction)[number % 5]
            mine.add(value, ("group", f"group{group}"))
            library.add_metric([f"group{group}"], value)
        ours.append(mine)
        theirs.append(library)
    registry = CollectorRegistry()
    registry.register(Given(theirs))
    same = render(ours).encode() == generate_latest(registry)
    pairs = [
        (microseconds(lambda: render(ours).encode()), microseconds(lambda: generate_latest(registry)))
        for _ in range(ROUNDS)
    ]
    print(json.dumps({"ours": median(a for a, _ in pairs), "library": median(b for _, b in pairs), "same": same}))


if __name__ == "__main__":
    main()
