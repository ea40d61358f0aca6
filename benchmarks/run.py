"""Measure the exporter beside its peers and beside the same reads in C, and write RESULTS.md.

    python benchmarks/run.py [--interpreter PYTHON] [--profile]

All subjects take turns on the same processes, several rounds of them, so that a noisy neighbour hits all alike.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from subjects import (
    APPS_PLUGIN,
    HEADERS,
    HERE,
    AppsPlugin,
    Cgroups,
    Idle,
    Measured,
    Reads,
    Server,
    Unavailable,
    build,
    comms,
    cpu_seconds,
    resident_kib,
)

LIMIT_SECONDS = 480
ROUNDS = {200: 3, 1000: 5, 5000: 3}
SCRAPES = 200
CGROUPS = 500
CHURN_SCRAPES, CHURN_PROCESSES, CHURN_EACH = 2000, 200, 10
FLAT_KIB = 1024

OURS, OURS_ALL = "vmem-exporter", "vmem-exporter, with host"
LEAN, FULL = "process-exporter, lean", "process-exporter"
APPS, APPS_FILES = "apps.plugin, without-files", "apps.plugin"
KEPT, OPENED = "C, descriptors kept", "C, open/read/close"
OURS_PLAIN = "vmem-exporter, no gzip"

ABOUT = """\
Written by `make bench`. CPU is user and system time of the whole process, from its CPU clock, which counts nanoseconds
(of the C program: getrusage): the mean of a round, the median of the rounds. The ratios are of these medians. All work
on the same processes and take turns; the first scrape of a turn warms up. Scrapes ask for gzip, as Prometheus does.
`vmem-exporter` reads processes only, like its peers; `with host` adds the host's memory, and its VmRSS is the one that
is judged. apps.plugin has no scrapes: an iteration, once a second, stands for one. The peers read more than memory; the
C program reads the files that `vmem-exporter` reads, and does nothing with them.
"""

ERRORS = (Unavailable, OSError, RuntimeError, subprocess.SubprocessError, http.client.HTTPException)


class Bench:
    """One run: its programs and configuration files, and what it has measured so far."""

    def __init__(self, interpreter: str, directory: Path) -> None:
        self.interpreter, self.directory = interpreter, directory
        self.idle, self.reads = build("idle", directory), build("reads", directory)
        self.stages: dict[int, dict[str, Measured]] = {}
        self.cgroups: dict[str, Measured] = {}
        self.facts: list[tuple[str, str]] = []
        self.figures: dict[str, float] = {}
        self.problems: list[str] = []

        groups = comms("bench")
        self.none = self.config("none", processes=[{"name": "nothing", "comm": ["no-such-comm"]}])
        self.ours = self.config("ours", processes=[{"name": "{comm}", "comm": groups}])
        self.all = self.config("all", processes=[{"name": "{comm}", "comm": groups}], host=True)
        self.peer = self.write("peer.yaml", {"process_names": [{"name": "{{.Comm}}", "comm": groups}]})
        (directory / "apps_groups.conf").write_text("".join(f"{comm}: {comm}\n" for comm in groups))

    def write(self, name: str, document: object) -> Path:
        path = self.directory / name
        path.write_text(json.dumps(document))  # which is YAML too
        return path

    def config(self, name: str, host: bool = False, **entries: list[dict[str, Any]]) -> Path:
        collectors = {"process": "processes" in entries, "cgroup": "cgroups" in entries, "host": host}
        return self.write(f"{name}.yaml", {"collectors": collectors} | entries)

    # The subjects

    def exporter(self, config: Path, gzip: bool = True) -> Server:
        argv = [self.interpreter, "-m", "exporter", f"--config.file={config}", "--web.listen-address={address}"]
        headers = HEADERS if gzip else HEADERS | {"Accept-Encoding": "identity"}
        return Server(argv, self.directory / "exporter.log", headers, cwd=HERE.parent)

    def process_exporter(self, *options: str) -> Server:
        if not shutil.which("prometheus-process-exporter"):
            raise Unavailable("process-exporter: not installed (Debian: prometheus-process-exporter)")
        argv = ["prometheus-process-exporter", f"-config.path={self.peer}", "-web.listen-address={address}", *options]
        return Server(argv, self.directory / "process-exporter.log")

    def reader(self, pids: Sequence[int], mode: str) -> Reads:
        names = [f"{pid}/{name}" for pid in pids for name in ("stat", "status")]
        return Reads(self.reads, Path("/proc"), names, mode)

    # The phases

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Whatever fails costs its own figures, is told in one line, and makes the run fail at its end."""
        begin = time.monotonic()
        try:
            yield
        except ERRORS as error:
            self.problems.append(str(error) if isinstance(error, Unavailable) else f"{what}: {error}")
            print(f"not measured: {self.problems[-1]}", flush=True)
        else:
            print(f"{what}: {time.monotonic() - begin:.0f} s", flush=True)

    def stage(self, count: int) -> None:
        """Everybody on so many processes."""
        results: dict[str, Measured] = {}
        turns: dict[str, Callable[[Measured], None]] = {}
        ends: list[tuple[str, Callable[[Measured], None]]] = []
        rounds = ROUNDS[count]
        each = -(-SCRAPES // rounds)
        self.stages[count] = results
        with ExitStack() as stack:
            idle = stack.enter_context(Idle(self.idle, count))

            def serve(name: str, start: Callable[[], Server], seconds: float) -> None:
                with self.trying(f"{name}, {count} processes, start"):
                    server = stack.enter_context(start())
                    turns[name] = lambda result: server.measure(result, each, seconds)
                    ends.append((name, server.close))

            def plugin(name: str, *options: str) -> None:
                with self.trying(f"{name}, {count} processes, start"):
                    child = stack.enter_context(AppsPlugin(options, self.directory))
                    turns[name] = lambda result: child.measure(result, 2)
                    ends.append((name, child.close))

            # The peers' time is bounded, but for the smallest stage, where they too have all their scrapes.
            peers = 60 if count == min(ROUNDS) else 2
            serve(OURS, lambda: self.exporter(self.ours), 3)
            serve(OURS_ALL, lambda: self.exporter(self.all), 60)
            serve(LEAN, lambda: self.process_exporter("-threads=false", "-gather-smaps=false"), peers)
            serve(FULL, self.process_exporter, peers)
            plugin(APPS, "without-files")
            if count == 1000:
                plugin(APPS_FILES)
            for name, mode in (KEPT, "kept"), (OPENED, "open"):
                reader = self.reader(idle.pids, mode)
                turns[name] = lambda result, reader=reader: reader.measure(result, 10)  # type: ignore[misc]
            for _ in range(rounds):
                for name in list(turns):
                    try:
                        turns[name](results.setdefault(name, Measured()))
                    except ERRORS as error:
                        self.problems.append(f"{name}, {count} processes: {error}")
                        del turns[name], results[name]
            for name, end in ends:
                if name in turns:
                    end(results[name])
            if count == 1000:
                with self.trying("first scrape"):
                    self.first_scrape()
            if count == max(ROUNDS):
                with self.trying("unwatched processes"):
                    self.unwatched(idle)

    def first_scrape(self) -> None:
        """From exec to the first answered scrape."""
        times = []
        for _ in range(5):
            with self.exporter(self.all) as server:
                times.append(server.start_seconds)
        self.figures["first scrape"] = median(times)
        self.facts.append(
            (
                "exec to first answered scrape, 1,000 processes",
                f"{median(times):.3f} s (longest of 5: {max(times):.3f})",
            )
        )

    def unwatched(self, idle: Idle) -> None:
        """What processes cost that no entry matches, once they are older than a minute."""
        time.sleep(max(0.0, 62 - (time.monotonic() - idle.started)))
        count = len(idle.pids)
        with_them, without, listed, bare = Measured(), Measured(), Measured(), Measured()
        listing = Reads(self.reads, Path("/proc"), [], "kept")
        with self.exporter(self.none) as server:
            first = cpu_seconds(server.process.pid)
            for _ in range(5):
                server.measure(with_them, 20, 5)
                listing.measure(listed, 20)
            idle.stop()
            for _ in range(5):
                server.measure(without, 20, 5)
                listing.measure(bare, 20)
        with self.exporter(self.none) as server:
            first -= cpu_seconds(server.process.pid)
        each = (with_them.cpu_ms - without.cpu_ms) * 1e3 / count
        self.figures["unwatched"] = each
        floor = (listed.cpu_ms - bare.cpu_ms) * 1e3 / count
        self.facts += [
            ("an unwatched process, a scrape", f"{each:.2f} µs (listing it in C: {floor:.2f})"),
            ("an unwatched process, when it is first seen", f"{first * 1e6 / count:.1f} µs"),
        ]

    def scaling(self) -> None:
        """A process among 5,000 against one among 1,000, in turns."""
        small, large = Measured(), Measured()
        small_c, large_c = Measured(), Measured()
        with Idle(self.idle, 1000) as idle, self.exporter(self.ours) as server:
            reader = self.reader(idle.pids, "kept")
            for _ in range(3):
                server.measure(small, 20, 5)
                reader.measure(small_c, 10)
                with Idle(self.idle, 4000) as more:
                    both = self.reader(idle.pids + more.pids, "kept")
                    server.scrape()
                    server.measure(large, 10, 5)
                    both.measure(large_c, 5)
        ratio = large.cpu_ms / 5 / small.cpu_ms
        self.figures["scaling"] = ratio
        in_c = f"{large_c.cpu_ms / 5:.1f} / {small_c.cpu_ms:.1f} = {large_c.cpu_ms / 5 / small_c.cpu_ms:.2f}"
        figure = f"{large.cpu_ms / 5:.1f} / {small.cpu_ms:.1f} µs = {ratio:.2f} (in C: {in_c})"
        self.facts.append(("CPU of a process among 5,000, against among 1,000", figure))

    def churn(self) -> None:
        """Memory over many scrapes, with processes coming and going between them."""
        resident = {}
        with Idle(self.idle, CHURN_PROCESSES) as idle, self.exporter(self.all) as server:
            for number in range(1, CHURN_SCRAPES + 1):
                idle.replace(CHURN_EACH)
                server.scrape()
                if number in (200, 500, 1000, 1500, CHURN_SCRAPES):
                    resident[number] = resident_kib(server.process.pid)
        self.figures["churn"] = resident[CHURN_SCRAPES] - resident[200]
        course = ", ".join(f"{kib / 1024:.1f} after {number}" for number, kib in resident.items())
        self.facts.append(
            (f"VmRSS, {CHURN_PROCESSES} processes, {CHURN_EACH} replaced before each scrape", f"MiB: {course} scrapes")
        )

    def cgroup(self) -> None:
        """500 cgroups with a process in each."""
        with Idle(self.idle, CGROUPS) as idle, Cgroups(idle) as cgroups:
            path = f"/{cgroups.home.name}/*"
            config = self.config("cgroups", cgroups=[{"name": "bench", "path": path, "max_cgroups": CGROUPS}])
            files = cgroups.files()
            with self.exporter(config) as zipped, self.exporter(config, gzip=False) as plain:
                readers = {
                    KEPT: Reads(self.reads, cgroups.home, files, "kept"),
                    OPENED: Reads(self.reads, cgroups.home, files, "open"),
                }
                results = {name: Measured() for name in (OURS, OURS_PLAIN, KEPT, OPENED)}
                for _ in range(3):
                    zipped.measure(results[OURS], 20, 5)
                    plain.measure(results[OURS_PLAIN], 20, 5)
                    for name, reader in readers.items():
                        reader.measure(results[name], 10)
                zipped.close(results[OURS])
                plain.close(results[OURS_PLAIN])
                if not any(f"{cgroups.home.name}/c000" in line for line in plain.page().splitlines()):
                    raise RuntimeError("the exporter shows none of the cgroups")
            self.facts.append(("files read of a cgroup", f"{len(files) // CGROUPS}, cgroup v{cgroups.version}"))
            self.cgroups = results

    def rendering(self) -> None:
        """What a sample costs to render, against the client library."""
        done = subprocess.run(
            [self.interpreter, str(HERE / "render.py")],
            capture_output=True,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)},
        )
        if done.returncode:
            raise RuntimeError("".join(done.stderr.strip().splitlines()[-1:]))
        figures = json.loads(done.stdout)
        if not figures["same"]:
            raise RuntimeError("the text differs from the client library's")
        ours, library = figures["ours"], figures["library"]
        self.figures["sample"] = ours
        self.facts.append(
            ("rendering of a sample", f"{ours:.2f} µs (client library: {library:.2f}, {library / ours:.1f} times)")
        )

    def run(self) -> None:
        for count in ROUNDS:
            with self.trying(f"{count} processes"):
                self.stage(count)
        phases = [
            ("scaling", self.scaling),
            ("churn", self.churn),
            ("cgroups", self.cgroup),
            ("rendering", self.rendering),
        ]
        for what, phase in phases:
            with self.trying(what):
                phase()

    # The report

    def ratio(self, count: int, name: str, base: str) -> float | None:
        stage = self.stages.get(count, {})
        return stage[name].cpu_ms / stage[base].cpu_ms if name in stage and base in stage else None

    def targets(self) -> list[tuple[str, float | None, float, str]]:
        """What, the figure, the most that it may be, and how to write the two."""

        def resident(count: int) -> float | None:
            stage = self.stages.get(count, {})
            return stage[OURS_ALL].resident / 1024 if OURS_ALL in stage else None

        cgroups = rendering = None
        if self.cgroups and "sample" in self.figures:
            rendering = self.cgroups[OURS_PLAIN].samples * self.figures["sample"] / 1e3
            cgroups = (self.cgroups[OURS_PLAIN].cpu_ms - rendering) / self.cgroups[KEPT].cpu_ms
        get = self.figures.get
        return [
            (
                "CPU a scrape, 1,000 processes, against process-exporter lean",
                self.ratio(1000, OURS, LEAN),
                1 / 12,
                ".3f",
            ),
            ("the same, against apps.plugin without-files", self.ratio(1000, OURS, APPS), 0.8, ".2f"),
            ("the same, against the C program, descriptors kept", self.ratio(1000, OURS, KEPT), 1.8, ".2f"),
            ("CPU of a process among 5,000 against among 1,000", get("scaling"), 1.15, ".2f"),
            ("an unwatched process, µs a scrape", get("unwatched"), 1.5, ".2f"),
            ("rendering of a sample, µs", get("sample"), 0.5, ".2f"),
            ("500 cgroups less rendering, against the C program, descriptors kept", cgroups, 1.8, ".2f"),
            ("VmRSS at 1,000 processes, MiB", resident(1000), 32, ".1f"),
            ("VmRSS at 5,000 processes, MiB", resident(5000), 36, ".1f"),
            (f"VmRSS, growth from scrape 200 to {CHURN_SCRAPES} with churn, KiB", get("churn"), FLAT_KIB, ".0f"),
            ("exec to first answered scrape, s", get("first scrape"), 0.5, ".2f"),
        ]

    def report(self, load: float) -> str:
        lines = [
            "# Results",
            "",
            *ABOUT.splitlines(),
            "",
            *table(("", ""), [*machine(self.interpreter), ("load before", f"{load:.2f}")]),
            "",
            "## Targets",
            "",
            *table(("target", "at most", "measured", ""), [judge(*target) for target in self.targets()]),
        ]
        for count, stage in self.stages.items():
            lines += ["", f"## {count:,} processes in 20 groups", "", *figures(stage, [LEAN, APPS, KEPT])]
        if self.cgroups:
            lines += ["", f"## {CGROUPS} cgroups", "", *figures(self.cgroups, [KEPT, OPENED])]
        if self.facts:
            lines += ["", "## Further", "", *table(("", ""), self.facts)]
        if self.problems:
            lines += ["", "## Not measured", "", *(f"- {problem}" for problem in self.problems)]
        return "\n".join(lines) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def judge(what: str, figure: float | None, most: float, form: str) -> tuple[str, ...]:
    if figure is None:
        return what, f"{most:{form}}", "", "not measured"
    return what, f"{most:{form}}", f"{figure:{form}}", "met" if figure <= most else "**not met**"


def figures(results: dict[str, Measured], bases: Sequence[str]) -> list[str]:
    """One row for each subject."""
    bases = [base for base in bases if base in results]
    head = ["", "CPU ms", "system", "wall ms", "wall p99", "VmRSS MiB", "scrapes", "samples", "bytes"]
    rows = []
    for name, one in results.items():
        share = one.system_share
        row = [name, f"{one.cpu_ms:.2f}", "" if share is None else f"{share:.0%}"]
        row += [f"{one.wall_ms:.2f}", f"{one.wall_p99_ms:.2f}"] if one.wall else ["", ""]
        row += [f"{one.resident / 1024:.1f}" if one.resident else "", str(one.scrapes)]
        row += [f"{one.samples:,}" if one.samples else "", f"{one.size:,}" if one.size else ""]
        row += [f"{one.cpu_ms / results[base].cpu_ms:.3f}" for base in bases]
        rows.append(row)
    return table([*head, *(f"CPU ÷ {base}" for base in bases)], rows)


def output(*argv: str) -> str:
    """First line that a command prints, or why there is none."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, cwd=HERE.parent, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "not found"
    return done.stdout.strip().partition("\n")[0]


def machine(interpreter: str) -> list[tuple[str, str]]:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    package = ("dpkg-query", "-W", "-f=${Version}")
    return [
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("processor", f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}"),
        ("kernel", f"Linux {platform.release().partition('-')[0]}"),
        ("vmem-exporter", output(interpreter, "-m", "exporter", "--version")),
        ("Python", output(interpreter, "-c", "import platform; print(platform.python_version())")),
        ("process-exporter", output(*package, "prometheus-process-exporter")),
        ("apps.plugin", output(*package, "netdata-core") if APPS_PLUGIN.exists() else "not found"),
    ]


# The profile

# Where a thread waits; the sampler takes some of them for busy.
WAITS = ("wait", "sigwait", "poll", "poll2", "select", "accept")


def profile(bench: Bench, count: int = 1000, seconds: int = 30) -> str:
    """Where the CPU of one scrape goes: a sampler from outside, as cProfile would treble the time."""
    sampler = shutil.which("py-spy", path=f"{Path(bench.interpreter).parent}:{os.environ['PATH']}")
    if sampler is None:
        raise Unavailable("py-spy: not installed")
    stacks = bench.directory / "stacks"
    free, sampled = Measured(), Measured()
    with Idle(bench.idle, count), bench.exporter(bench.all) as server:
        server.measure(free, SCRAPES, 30)
        command = [sampler, "record", "--pid", str(server.process.pid), "--rate", "200", "--duration", str(seconds)]
        command += ["--full-filenames", "--format", "raw", "--output", str(stacks)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sampling:
            while sampling.poll() is None:
                server.measure(sampled, 10, 1)
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
    total = sum(lines.total() for lines in functions.values())
    rows, running = [], 0
    for name, lines in sorted(functions.items(), key=lambda item: -item[1].total()):
        running += lines.total()
        parts = [f"{line}: {hits / total:.1%}" for line, hits in lines.most_common(4) if hits > 0.01 * total]
        spent = lines.total() / total * free.cpu_ms
        rows.append((name, f"{spent:.2f}", f"{running / total:.1%}", ", ".join(parts)))
        if running > 0.95 * total:
            break
    share = free.system_share or 0.0
    return "\n".join(
        [
            f"# One scrape of {count:,} processes and the host",
            "",
            f"CPU {free.cpu_ms:.1f} ms: {share:.0%} in the kernel, {1 - share:.0%} in Python and its libraries.",
            f"Each function without what it calls in Python: {total} samples, at {sampled.cpu_ms:.1f} ms a scrape.",
            "",
            *table(("function", "ms", "sum", "its lines"), rows),
            "",
        ]
    )


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
    text = bench.report(load)
    (HERE / "RESULTS.md").write_text(text)
    print(text)
    return 1 if bench.problems else 0


if __name__ == "__main__":
    sys.exit(main())
