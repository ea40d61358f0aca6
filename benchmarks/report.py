"""RESULTS.md: the targets, a table for each stage, and what they were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from load import GROUPS, HERE
from stages import (
    APPS,
    CGROUPS,
    CHURN_SCRAPES,
    KEPT,
    LEAN,
    OPENED,
    OPENED_CHANGED,
    OURS,
    OURS_ALL,
    OURS_CHANGED,
    OURS_PLAIN,
    Bench,
)
from subjects import APPS_PLUGIN, Measured

ABOUT = """\
Written by `make bench`. CPU is user and system time of the whole process, from its CPU clock, which counts nanoseconds
(of the C program: getrusage): the mean of a round, the median of the rounds. The ratios are of these medians. All work
on the same processes and take turns; the first scrape of a turn warms up. Scrapes ask for gzip, as Prometheus does.
`vmem-exporter` reads processes only, like its peers; `with host` adds the host's memory, and its VmRSS is the one that
is judged. apps.plugin has no scrapes: an iteration, once a second, stands for one. The peers read more than memory; the
C program reads the files that `vmem-exporter` reads, and does nothing with them.
"""
FLAT_KIB = 1024


def targets(bench: Bench) -> list[tuple[str, float | None, float, str]]:
    """What, the figure, the most that it may be, and how to write the two."""
    get = bench.figures.get

    def ratio(base: str) -> float | None:
        stage = bench.stages.get(1000, {})
        return stage[OURS].cpu_ms / stage[base].cpu_ms if OURS in stage and base in stage else None

    def resident(count: int) -> float | None:
        stage = bench.stages.get(count, {})
        return stage[OURS_ALL].resident / 1024 if OURS_ALL in stage else None

    return [
        ("CPU a scrape, 1,000 processes, against process-exporter lean", ratio(LEAN), 1 / 12, ".3f"),
        ("the same, against apps.plugin without-files", ratio(APPS), 0.8, ".2f"),
        ("the same, against the C program, descriptors kept", ratio(KEPT), 1.8, ".2f"),
        ("CPU of a process among 5,000 against among 1,000", get("scaling"), 1.15, ".2f"),
        ("an unwatched process, µs a scrape", get("unwatched"), 1.5, ".2f"),
        ("rendering of a sample, µs", get("sample"), 0.5, ".2f"),
        (
            f"{CGROUPS} cgroups less rendering, against the C program, open/read/close",
            reading(bench, OURS_PLAIN, OPENED),
            1.8,
            ".2f",
        ),
        ("the same, all of them changed", reading(bench, OURS_CHANGED, OPENED_CHANGED), 1.8, ".2f"),
        ("VmRSS at 1,000 processes, MiB", resident(1000), 32, ".1f"),
        ("VmRSS at 5,000 processes, MiB", resident(5000), 36, ".1f"),
        (f"VmRSS, growth from scrape 200 to {CHURN_SCRAPES} with churn, KiB", get("churn"), FLAT_KIB, ".0f"),
        ("exec to first answered scrape, s", get("first scrape"), 0.5, ".2f"),
    ]


def reading(bench: Bench, name: str, base: str) -> float | None:
    """The cost of cgroups without the rendering of their samples, against opening, reading and closing in C."""
    sample, cgroups = bench.figures.get("sample"), bench.cgroups
    if sample is None or name not in cgroups:
        return None
    return (cgroups[name].cpu_ms - cgroups[name].samples * sample / 1e3) / cgroups[base].cpu_ms


def report(bench: Bench, load: float) -> str:
    lines = [
        "# Results",
        "",
        *ABOUT.splitlines(),
        "",
        *table(("", ""), [*machine(bench.interpreter), ("load before", f"{load:.2f}")]),
        "",
        "## Targets",
        "",
        *table(("target", "at most", "measured", ""), [judge(*target) for target in targets(bench)]),
    ]
    for count, stage in bench.stages.items():
        lines += ["", f"## {count:,} processes in {GROUPS} groups", "", *figures(stage, [LEAN, APPS, KEPT])]
    for title, results, bases in (
        ("1,000 processes, of which some have run since the last scrape", bench.changing, []),
        ("1,000 processes in more groups", bench.groups, []),
        (f"{CGROUPS} cgroups", bench.cgroups, [KEPT, OPENED]),
    ):
        if results:
            lines += ["", f"## {title}", "", *figures(results, bases)]
    if bench.facts:
        lines += ["", "## Further", "", *table(("", ""), bench.facts)]
    if bench.problems:
        lines += ["", "## Not measured", "", *(f"- {problem}" for problem in bench.problems)]
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
