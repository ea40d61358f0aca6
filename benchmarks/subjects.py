"""Who is measured: the exporters, netdata's plugin and the C program; and the figures of each."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from load import Child, Unavailable

APPS_PLUGIN = Path("/usr/lib/netdata/plugins.d/apps.plugin")
# What Prometheus sends.
HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
    "Accept-Encoding": "gzip",
    "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of another process, those that ended included, to the nanosecond.

    It is the process's CPU clock, MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED) of the kernel's posix-timers.h; the
    times in /proc/PID/stat have ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)


def cpu_ticks(pid: int) -> tuple[int, int]:
    """utime and stime of /proc/PID/stat: good for their proportion only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]), int(fields[12])


def resident_kib(pid: int) -> int:
    """VmRSS of /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no VmRSS: it has ended")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class Measured:
    """Figures of one subject: CPU in ms a scrape, one for each round; wall in ms, one for each scrape."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    user: float = 0
    system: float = 0
    scrapes: int = 0
    resident: int = 0
    samples: int = 0
    size: int = 0

    @property
    def cpu_ms(self) -> float:
        return median(self.cpu)

    @property
    def wall_ms(self) -> float:
        return median(self.wall)

    @property
    def wall_p99_ms(self) -> float:
        return sorted(self.wall)[(len(self.wall) - 1) * 99 // 100]

    @property
    def system_share(self) -> float | None:
        total = self.user + self.system
        return self.system / total if total else None


class Reads:
    """The C program: the same reads, and nothing else."""

    def __init__(self, program: Path, root: Path, names: Iterable[str], mode: str) -> None:
        self.program, self.root, self.mode = program, root, mode
        self.names = "".join(f"{name}\n" for name in names)

    def measure(self, result: Measured, iterations: int) -> None:
        answer = subprocess.run(
            [self.program, self.root, self.mode, str(iterations)],
            input=self.names,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode:
            raise RuntimeError(f"reads {self.mode}: {answer.stderr.strip()}")
        figures: dict[str, float] = json.loads(answer.stdout)
        result.cpu.append(figures["cpu_us"] / 1e3)
        result.wall.extend(wall / 1e3 for wall in figures["wall_us"])  # type: ignore[attr-defined]
        result.user += figures["user_us"]
        result.system += figures["system_us"]
        result.scrapes += iterations
        result.size = int(figures["bytes"])


class Server(Child):
    """An exporter on the loopback address. `argv` has {address} where the address to listen on goes."""

    def __init__(
        self, argv: Sequence[str], log: Path, headers: Mapping[str, str] = HEADERS, cwd: Path | None = None
    ) -> None:
        self.port = free_port()
        self.argv = [word.replace("{address}", f"127.0.0.1:{self.port}") for word in argv]
        self.name = " ".join(self.argv[:3])
        self.log, self.headers, self.cwd = log, headers, cwd

    def start(self) -> None:
        """Start it and wait for its first answered scrape; `start_seconds` is the time that this took, from exec."""
        begin = time.perf_counter()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.cwd)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while True:
            try:
                self.scrape()
                break
            except ConnectionRefusedError:
                self.connection.close()
                if self.process.poll() is not None or time.perf_counter() - begin > 20:
                    last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
                    raise RuntimeError(f"{self.name} did not answer: {''.join(last)}") from None
                time.sleep(0.002)
        self.start_seconds = time.perf_counter() - begin

    def stop(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()
        super().stop()

    def scrape(self) -> bytes:
        """One scrape: the body as it came over the wire."""
        self.connection.request("GET", "/metrics", headers=dict(self.headers))
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{self.name} answered with status {answer.status}")
        return body

    def fresh(self) -> None:
        """Drop the connection: a server may have given up on one that waited for its turn."""
        self.connection.close()

    def page(self) -> str:
        self.fresh()
        body = self.scrape()
        return (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()

    def measure(
        self, result: Measured, scrapes: int, seconds: float, between: Callable[[], object] = lambda: None
    ) -> None:
        """A round: one scrape to warm up, then so many, or as many as the time allows; `between` runs before each."""
        self.fresh()
        self.scrape()
        pid, done, end = self.process.pid, 0, time.perf_counter() + seconds
        cpu, (user, system) = cpu_seconds(pid), cpu_ticks(pid)
        while done < scrapes and (done == 0 or time.perf_counter() < end):
            between()
            begin = time.perf_counter()
            body = self.scrape()
            result.wall.append((time.perf_counter() - begin) * 1e3)
            done += 1
        result.cpu.append((cpu_seconds(pid) - cpu) / done * 1e3)
        user_after, system_after = cpu_ticks(pid)
        result.user += user_after - user
        result.system += system_after - system
        result.scrapes += done + 1
        result.size = len(body)

    def close(self, result: Measured) -> None:
        """The figures that are taken once, at the end."""
        result.resident = resident_kib(self.process.pid)
        result.samples = sum(1 for line in self.page().splitlines() if line and line[0] != "#")


class AppsPlugin(Child):
    """netdata's collector of processes. It works once a second, writes to a pipe, and goes when its input ends."""

    MARK = b"BEGIN netdata.apps_cpu "

    def __init__(self, options: Sequence[str], configuration: Path) -> None:
        self.options, self.configuration = options, configuration

    def start(self) -> None:
        if not APPS_PLUGIN.exists():
            raise Unavailable("apps.plugin: not installed (Debian: netdata-core)")
        folders = {f"NETDATA_{which}_CONFIG_DIR": str(self.configuration) for which in ("USER", "STOCK")}
        self.process = subprocess.Popen(
            [str(APPS_PLUGIN), "1", *self.options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | folders,
        )
        self.iteration()
        self.pause()

    def pause(self) -> None:
        """Between its turns it would take part in the others'."""
        self.process.send_signal(signal.SIGSTOP)

    def iteration(self) -> int:
        """Wait for its next iteration; the number of values that it wrote since the one before."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        values = 0
        for line in self.process.stdout:
            if line.startswith(self.MARK):
                return values
            values += line.startswith(b"SET ")
        raise RuntimeError("apps.plugin ended")

    def measure(self, result: Measured, iterations: int) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.iteration()
        pid = self.process.pid
        cpu, (user, system) = cpu_seconds(pid), cpu_ticks(pid)
        for _ in range(iterations):
            result.samples = self.iteration()
        result.cpu.append((cpu_seconds(pid) - cpu) / iterations * 1e3)
        user_after, system_after = cpu_ticks(pid)
        self.pause()
        result.user += user_after - user
        result.system += system_after - system
        result.scrapes += iterations + 1

    def close(self, result: Measured) -> None:
        result.resident = resident_kib(self.process.pid)
