"""Where the CPU of one scrape goes, by a sampler from outside: cProfile would treble the time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

from load import HERE, Idle, Unavailable
from report import table
from stages import SCRAPES, Bench
from subjects import Measured, cpu_seconds

# Where a thread waits; the sampler takes some of them for busy.
WAITS = ("wait", "sigwait", "poll", "poll2", "select", "accept")
QUEUE_WAITS = ("exporter/lane.py _work", "concurrent/futures/thread.py _worker")
MOVED = "Python that had gone on by the time that its stack was read"
RATE = 200


def profile(bench: Bench, count: int = 1000, seconds: int = 30) -> str:
    """The functions that 95 % of the CPU goes to, the largest first, as a document."""
    sampler = shutil.which("py-spy", path=f"{Path(bench.interpreter).parent}:{os.environ['PATH']}")
    if sampler is None:
        raise Unavailable("py-spy: not installed")
    stacks = bench.directory / "stacks"
    free, sampled = Measured(), Measured()
    with Idle(bench.idle, count), bench.exporter(bench.all) as server:
        server.measure(free, SCRAPES, 30)
        command = [sampler, "record", "--pid", str(server.process.pid), f"--rate={RATE}", f"--duration={seconds}"]
        # Stopped for each sample, the process would be found in system calls more often than it is.
        command += ["--nonblocking", "--full-filenames", "--format", "raw", "--output", str(stacks)]
        cpu = cpu_seconds(server.process.pid)
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampling:
            while sampling.poll() is None:
                server.measure(sampled, 10, 1)
        cpu = cpu_seconds(server.process.pid) - cpu
        if sampling.returncode:
            raise RuntimeError(f"py-spy ended with {sampling.returncode}")
    functions: dict[str, Counter[str]] = {}
    for stack in stacks.read_text().splitlines():
        frames, _, number = stack.rpartition(" ")
        name, _, place = frames.rpartition(";")[2].rpartition(" (")
        path, _, line = place.rstrip(")").rpartition(":")
        if name and name.rpartition(".")[2] not in WAITS:
            short = re.sub(rf"^{HERE.parent}/|^.*/site-packages/|^.*/lib/python3\.\d+/", "", path)
            functions.setdefault(f"{short} {name}", Counter())[line] += int(number)
    for waits in QUEUE_WAITS:
        functions.pop(waits, None)
    taken = sum(lines.total() for lines in functions.values())
    # Where a stack changed while it was read there is no sample: that is Python at work, not the kernel.
    total = max(taken, round(cpu * RATE))
    functions[MOVED] = Counter({"": total - taken})
    rows, running = [], 0
    for name, lines in sorted(functions.items(), key=lambda item: -item[1].total()):
        running += lines.total()
        parts = [f"{line}: {hits / total:.1%}" for line, hits in lines.most_common(4) if line and hits > 0.01 * total]
        spent = lines.total() / total * free.cpu_ms
        rows.append((name, f"{spent:.2f}", f"{running / total:.1%}", ", ".join(parts)))
        if running > 0.95 * total:
            break
    share = free.system_share or 0.0
    counted = (
        f"Each function without what it calls in Python. {taken} samples of {1000 // RATE} ms were taken, at"
        f" {sampled.cpu_ms:.1f} ms a scrape: {taken / RATE / cpu:.0%} of what the process's CPU clock counted."
    )
    return "\n".join(
        [
            f"# One scrape of {count:,} processes and the host",
            "",
            f"CPU {free.cpu_ms:.1f} ms: {share:.0%} in the kernel, {1 - share:.0%} in Python and its libraries.",
            counted,
            "",
            *table(("function", "ms", "sum", "its lines"), rows),
            "",
        ]
    )
