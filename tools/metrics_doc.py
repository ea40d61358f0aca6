# ruff: noqa: E501
"""Write docs/METRICS.md from the catalogue, or with --check say whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from exporter.catalog import METRICS, host
from exporter.catalog.declare import Metric

DOCUMENT = Path(__file__).parent.parent / "docs" / "METRICS.md"

INTRODUCTION = """\
# Metrics

Written by `make docs` from the catalogue in `exporter/catalog/`; names are an API, and a change of one is in the
changelog. All sizes are bytes, all times seconds. What the kernel does not give is an absent sample, never 0; a limit
that is not set is `+Inf`. A counter never falls while the exporter runs: not when a process exits, not when its pid is
used again, not after a reload.

`since` is the version of Linux that brought the field, where it is younger than 2.6.32.
"""

SECTIONS = (
    (
        "Watched processes",
        "vmem_process_",
        (
            "Summed over the group, or the largest or oldest in it, as the text says. The label `group` is the name that"
            " the entry gives; the entry's own labels come with it. A group without processes has sums of 0 and no largest;"
            " its counters stay."
        ),
    ),
    (
        "Single processes",
        "vmem_pid_",
        (
            "With an entry's option `per_process`, for its `max_processes` largest processes by VmRSS. Counters are the"
            " process's own, from its start."
        ),
    ),
    (
        "Watched cgroups",
        "vmem_cgroup_",
        (
            "`cgroup` is the path below the root; labels captured from the path come with it. Fields of memory.stat have"
            " the kernel's names of the version that was read, which `vmem_cgroup_info` tells, and differ in meaning:"
            " version 1's `rss` is anonymous memory with the swap cache, its `cache` holds shared memory too; version 2's"
            " `anon` and `file` are their nearest relatives, not the same. `memsw` limits memory and swap together and"
            " exists on version 1 only, as `high`, `low` and `min` do on version 2. Where a label says `page_size`, it is"
            " the kernel's word in /sys/kernel/mm/hugepages (2048kB), which in the name of a cgroup's file is 2MB."
        ),
    ),
    (
        "The host",
        ("vmem_host_", "vmem_vm_", "vmem_hugetlb_", "vmem_thp_", "vmem_node_", "vmem_ksm_", "vmem_zswap_"),
        "",
    ),
    (
        "The exporter itself",
        ("vmem_exporter_", "vmem_scrape_"),
        "Beside these, the client library's own `process_…` of the exporter and `python_info`.",
    ),
)

OPEN = [source for source in vars(host).values() if isinstance(source, host.Open)]


def row(metric: Metric) -> str:
    """A line of a table."""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    text = metric.help.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.kind} | {labels} | {text} | {metric.since} |"


def document() -> str:
    """The whole document."""
    parts = [INTRODUCTION]
    for title, prefix, text in SECTIONS:
        parts.append(f"\n## {title}\n\n" + (f"{text}\n\n" if text else ""))
        if title == "The host":
            parts.append(
                "Sources whose fields the kernel adds to are shown whole; the tables have the best known ones. The"
                " others follow the same rule:\n\n"
            )
            parts += [f"- `{source.source}`: `{source.name.format('<field>')}`, {source.kind}s\n" for source in OPEN]
            parts.append("\n")
        parts.append("| metric | kind | labels | what it is | since |\n| --- | --- | --- | --- | --- |\n")
        parts += [row(metric) + "\n" for name, metric in METRICS.items() if name.startswith(prefix)]
    return "".join(parts)


def main() -> int:
    """Write or check. Returns the exit code."""
    text = document()
    if sys.argv[1:] != ["--check"]:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(text)
        return 0
    if DOCUMENT.read_text() == text:
        return 0
    print("docs/METRICS.md is not what the catalogue says: run `make docs`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
