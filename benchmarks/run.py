"""Measure the exporter beside its peers and beside the same reads in C, and write RESULTS.md.

    python benchmarks/run.py [--interpreter PYTHON] [--profile]

All subjects take turns on the same processes, several rounds of them, so that a noisy neighbour hits all alike.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from load import HERE
from report import report
from stages import ERRORS, Bench
from where import profile

LIMIT_SECONDS = 480


def stop(number: int, _: object) -> None:
    """End through the blocks that clean up."""
    if number == signal.SIGALRM:
        sys.exit(f"the run took longer than {LIMIT_SECONDS} s")
    sys.exit(f"ended by {signal.Signals(number).name}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the exporter beside its peers and the same reads in C.")
    parser.add_argument("--interpreter", default=sys.executable, help="Python that runs the exporter")
    parser.add_argument("--profile", action="store_true", help="show where the CPU of one scrape goes, and no more")
    arguments = parser.parse_args()
    for number in signal.SIGTERM, signal.SIGHUP, signal.SIGALRM:
        signal.signal(number, stop)
    signal.alarm(LIMIT_SECONDS)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="vmem-bench-") as directory:
        bench = Bench(arguments.interpreter, Path(directory))
        if arguments.profile:
            try:
                print(profile(bench))
            except ERRORS as error:
                sys.exit(f"not measured: {error}")
            return 0
        bench.run()
    text = report(bench, load)
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    return 1 if bench.problems else 0


if __name__ == "__main__":
    sys.exit(main())
