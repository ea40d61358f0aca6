"""The stages of a run: who takes turns on what, and the figures that come of it."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from load import GROUPS, HERE, Cgroups, Idle, Unavailable, build, comms
from subjects import HEADERS, AppsPlugin, Measured, Reads, Server, cpu_seconds, resident_kib

ROUNDS = {200: 3, 1000: 5, 5000: 3}
SCRAPES = 200
CGROUPS = 500
CHURN_SCRAPES, CHURN_PROCESSES, CHURN_EACH = 2000, 200, 10

OURS, OURS_ALL = "vmem-exporter", "vmem-exporter, with host"
LEAN, FULL = "process-exporter, lean", "process-exporter"
APPS, APPS_FILES = "apps.plugin, without-files", "apps.plugin"
KEPT, OPENED = "C, descriptors kept", "C, open/read/close"
OPENED_CHANGED = "C, open/read/close, all changed"
OURS_CLOSED = "vmem-exporter, no files kept open"
OURS_PLAIN, OURS_CHANGED = "vmem-exporter, no gzip", "vmem-exporter, no gzip, all changed"
OURS_FEWER = "vmem-exporter, no gzip, 100 of them"

ERRORS = (Unavailable, OSError, RuntimeError, subprocess.SubprocessError, http.client.HTTPException)


class Bench:
    """One run: its programs and configuration files, and what it has measured so far."""

    def __init__(self, interpreter: str, directory: Path) -> None:
        self.interpreter, self.directory = interpreter, directory
        self.idle, self.reads = build("idle", directory), build("reads", directory)
        self.stages: dict[int, dict[str, Measured]] = {}
        self.changing: dict[str, Measured] = {}
        self.groups: dict[str, Measured] = {}
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

    def config(self, name: str, host: bool = False, max_groups: int = 200, **entries: list[dict[str, Any]]) -> Path:
        collectors = {"process": "processes" in entries, "cgroup": "cgroups" in entries, "host": host}
        return self.write(f"{name}.yaml", {"collectors": collectors, "max_groups": max_groups} | entries)

    # The subjects

    def exporter(self, config: Path, *flags: str, gzip: bool = True) -> Server:
        argv = [self.interpreter, "-m", "exporter", f"--config.file={config}", "--web.listen-address={address}", *flags]
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
            if count == 1000:
                serve(OURS_CLOSED, lambda: self.exporter(self.ours, "--process.keep-open=0"), 3)
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

    def change(self) -> None:
        """Processes whose numbers change: how many of them ran since the last scrape."""
        with Idle(self.idle, 1000) as idle, self.exporter(self.ours) as server:
            for _ in range(3):
                for ran in (0, 100, 1000):
                    result = self.changing.setdefault(f"vmem-exporter, {ran:,} ran", Measured())
                    server.measure(result, 20, 5, lambda ran=ran: idle.run(ran))  # type: ignore[misc]
            for result in self.changing.values():
                server.close(result)

    def more_groups(self) -> None:
        """The same processes in more groups, and so more samples."""
        for groups in (GROUPS, 200, 1000):
            name, prefix = f"{groups:,} groups", f"g{groups}x"
            entries = [{"name": "{comm}", "comm": comms(prefix, groups)}]
            config = self.config(f"groups{groups}", max_groups=1000, processes=entries)
            with Idle(self.idle, 1000, prefix, groups), self.exporter(config) as server:
                for _ in range(3):
                    server.measure(self.groups.setdefault(name, Measured()), 20, 5)
                server.close(self.groups[name])

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
        with Idle(self.idle, CGROUPS) as idle, Cgroups(idle) as cgroups, ExitStack() as stack:

            def start(names: str, gzip: bool) -> Server:
                path = f"/{cgroups.home.name}/{names}"
                config = self.config("cgroups", cgroups=[{"name": "bench", "path": path, "max_cgroups": CGROUPS}])
                return stack.enter_context(self.exporter(config, gzip=gzip))

            files = cgroups.files()
            zipped, plain, fewer = start("*", True), start("*", False), start("c0*", False)
            readers = {
                KEPT: Reads(self.reads, cgroups.home, files, "kept"),
                OPENED: Reads(self.reads, cgroups.home, files, "open"),
            }
            results = {
                name: Measured() for name in (OURS, OURS_PLAIN, OURS_CHANGED, OURS_FEWER, *readers, OPENED_CHANGED)
            }
            for _ in range(3):
                zipped.measure(results[OURS], 20, 5)
                plain.measure(results[OURS_PLAIN], 20, 5)
                plain.measure(results[OURS_CHANGED], 20, 5, lambda: idle.run(CGROUPS))
                fewer.measure(results[OURS_FEWER], 20, 5)
                for name, reader in readers.items():
                    reader.measure(results[name], 10)
                for _ in range(5):
                    idle.run(CGROUPS)
                    readers[OPENED].measure(results[OPENED_CHANGED], 1)
            for name, server in (OURS, zipped), (OURS_PLAIN, plain), (OURS_CHANGED, plain), (OURS_FEWER, fewer):
                server.close(results[name])
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
        for what, phase in (
            ("scaling", self.scaling),
            ("processes that change", self.change),
            ("more groups", self.more_groups),
            ("churn", self.churn),
            ("cgroups", self.cgroup),
            ("rendering", self.rendering),
        ):
            with self.trying(what):
                phase()
