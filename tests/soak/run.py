"""Soak the exporter: `python -m soak.run MINUTES`, from the folder tests.

Processes and cgroups come and go, two Prometheus servers scrape once a second, the configuration changes every ten
seconds, and a web client does everything wrong. What is reported must be flat and zero; the exit code says whether.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.cgroups import Hierarchy
from soak.churn import Faulty, Reload, Remade, Repeated, configs
from support.child import Child
from support.daemon import until
from support.exporter import Exporter, exporter
from support.nursery import Nursery
from support.procfs import status
from support.prometheus import Prometheus, prometheus

BIRTHS = 10
"""Processes born a second; each lives two seconds on average."""

MIB_MORE = 3
"""What VmRSS may be more at the end than after the warm-up: the allocator's own ups and downs."""

WARM_UP = 0.25
"""The part of the time, a few minutes at the most, after which memory has no reason to grow."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the exporter holds while nothing is asked of it."""

    resident_kib: int
    descriptors: int
    threads: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        said = status(pid)
        return cls(said["VmRSS"], len(list(Path(f"/proc/{pid}/fd").iterdir())), said["Threads"])


@contextmanager
def churn(run: Exporter, folder: Path, report: dict[str, object]) -> Iterator[None]:
    """All that goes on meanwhile, and how often it did."""
    hierarchy = Hierarchy.of_this_machine()
    top = hierarchy.make(f"/vmem-soak-{run.process.pid}")
    try:
        steady = Child("steady", top.directory / "cgroup.procs")
        steady.run("held = memory(8 << 20); touch(held)")
        reload = Reload(run, configs(top.path))
        reload()
        nursery, faulty = Nursery(BIRTHS, 4, top.directory), Faulty(run)
        beside = {
            "cgroups made or removed": Repeated(Remade(top), 0.2),
            "reloads": Repeated(reload, 10),
            "requests of the faulty client": Repeated(faulty, 0.1),
        }
        try:
            yield
        finally:
            report["processes born"] = nursery.end()
            report |= {name: each.end() for name, each in beside.items()}
            faulty.end()
            steady.end()
    finally:
        for inner in top.directory.iterdir():
            if inner.is_dir():
                inner.rmdir()
        hierarchy.remove_all()


def seen_by(server: Prometheus, seconds: float) -> dict[str, float]:
    """What a Prometheus has seen of it all."""
    over = f"[{round(seconds) + 60}s]"

    def value(query: str) -> float:
        return server.value(query) or 0.0

    counters = [name for name in server.api("label/__name__/values") if name.endswith("_total")]
    return {
        "scrapes": value(f"count_over_time(up{over})"),
        "failures": value(f"count_over_time(up{over}) - sum_over_time(up{over})"),
        "failed collections": value(f"sum(count_over_time(vmem_scrape_collector_success{over}))")
        - value(f"sum(sum_over_time(vmem_scrape_collector_success{over}))"),
        # Of a process its pid says little: when the kernel gives it again, that process's counters begin.
        "falling counters": sum(value(f'sum(resets({name}{{pid=""}}{over}))') for name in counters),
        "counters": sum(value(f"count(count_over_time({name}{over}))") for name in counters),
        "slowest scrape, ms": 1000 * value(f"max_over_time(scrape_duration_seconds{over})"),
        "mean scrape, ms": 1000 * value(f"avg_over_time(scrape_duration_seconds{over})"),
    }


def soak(minutes: float, folder: Path) -> list[str]:
    """Soak for so many minutes and print the report. Gives what was not as it must be."""
    report: dict[str, object] = {}
    wrong = []
    start = time.monotonic()
    end = start + 60 * minutes
    with ExitStack() as stack:
        run = stack.enter_context(exporter(folder, configs("/none")[0], "--log.level=warn"))
        servers = []
        for name in "one", "two":
            (folder / name).mkdir()
            servers.append(stack.enter_context(prometheus(folder / name, run.address)))
        for server in servers:
            until(lambda server=server: server.value("up") == 1, "Prometheus has scraped")  # type: ignore[misc]
        quiet = Held.by(run.process.pid)
        with churn(run, folder, report):
            time.sleep(min(60 * minutes * WARM_UP, 300))
            warm = Held.by(run.process.pid)
            tenth, resident = max(end - time.monotonic(), 0) / 10, []
            for _ in range(10):
                time.sleep(tenth)
                last = Held.by(run.process.pid)
                resident.append(last.resident_kib)
        time.sleep(15)  # connections of the faulty client are closed after ten seconds
        after = Held.by(run.process.pid)
        for number, server in enumerate(servers, 1):
            seen = seen_by(server, time.monotonic() - start)
            report |= {f"Prometheus {number}: {what}": f"{value:.0f}" for what, value in seen.items()}
            wrong += [
                f"{what}: {seen[what]:.0f}"
                for what in ("failures", "failed collections", "falling counters")
                if seen[what]
            ]
            if seen["scrapes"] < 0.9 * 60 * minutes:
                wrong.append(f"scrapes: {seen['scrapes']:.0f} in {minutes} minutes")
    report["minutes"] = f"{(time.monotonic() - start) / 60:.1f}"
    report["VmRSS, KiB: start, warm, end, after"] = [each.resident_kib for each in (quiet, warm, last, after)]
    report["VmRSS, KiB: by tenths from warm to end"] = resident
    report["descriptors: start, warm, end, after"] = [each.descriptors for each in (quiet, warm, last, after)]
    report["threads: start, warm, end, after"] = [each.threads for each in (quiet, warm, last, after)]
    report["lines in its log"] = len(lines := run.output.splitlines())
    if last.resident_kib > warm.resident_kib + 1024 * MIB_MORE:
        wrong.append(f"VmRSS: {warm.resident_kib} KiB, and {last.resident_kib} at the end")
    if after.descriptors > quiet.descriptors:
        wrong.append(f"descriptors: {quiet.descriptors}, and {after.descriptors} at the end")
    wrong += [f"log: {line}" for line in lines[:5]]
    for what, value in report.items():
        print(f"{what:44} {value if isinstance(value, str | int) else '  '.join(map(str, value))}")  # type: ignore[call-overload]
    return wrong


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        wrong = soak(float(sys.argv[1]), Path(folder))
    for line in wrong:
        print(f"soak: {line}", file=sys.stderr)
    print("soak: flat and zero" if not wrong else "soak: failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
