"""A survey as a configuration, with what was seen in comments. Pure; any survey gives one that check-config accepts."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Iterator

from exporter.config import OTHER
from exporter.explain.rows import Host
from exporter.explain.units import size
from exporter.propose.survey import LARGE, Found, Survey
from exporter.watch.verdict import shown
from exporter.yaml_writer import dumped

WIDTH = 100

CONTAINER_GLOBS = {
    "kubernetes": ("/**/*kubepods*", "/**/*kubepods*/**"),
    "docker": ("/**/docker/**", "/**/docker-*.scope", "/**/docker-*.scope/**"),
    "podman": ("/**/libpod-*", "/**/libpod-*/**"),
}
"""Where the processes are whose cgroups a preset takes."""

_RUNTIME = re.compile(r"java|node|perl|php[\d.]*|python[\d.]*|ruby[\d.]*|beam\.smp|dotnet|mono")
"""Programs that run other programs, so that their name says little."""

HEADER = """\
A configuration to start from, written by `vmem-exporter init` for what was running. After a change, say
`vmem-exporter check-config FILE`. docs/CONFIGURATION.md has every key.
"""

PROCESSES = """\
What is commented out is for you to decide: labels make the shipped alerts page (docs/ALERTS.md), smaps counts what
processes share once and needs CAP_SYS_PTRACE. The first entry that matches takes a process.
"""

OVERCOMMIT = {
    0: "0: only obvious excess is refused",
    1: "1: nothing is refused, more may be promised than there is",
    2: "2: promises are counted",
}


def render(seen: Survey) -> str:
    """The text of the file."""
    return "\n".join(
        [*_comment(HEADER), "#", *_machine(seen), "", *_processes(seen), "", *_cgroups(seen), *_rest(seen)]
    )


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ", break_on_hyphens=False
    )


def _machine(seen: Survey) -> Iterator[str]:
    yield "# This machine"
    for name, text in _facts(seen.host, seen):
        head = f"#   {name:<14}"
        yield from textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=f"#   {'':<14}")
    if seen.hidden:
        yield "#"
        yield from _comment("The processes of other users could not be seen (hidepid): run it as root to have them.")


def _facts(host: Host, seen: Survey) -> Iterator[tuple[str, str]]:
    told = host.meminfo
    yield "RAM", f"{size(told.get('MemTotal'))}, {size(told.get('MemAvailable'))} available"
    swap, free = told.get("SwapTotal", 0), told.get("SwapFree", 0)
    yield "swap", f"{size(swap)}, {size(swap - free)} of it used" if swap else "none"
    mode = OVERCOMMIT.get(-1 if host.overcommit_memory is None else host.overcommit_memory, "not told")
    counted = f", {size(told.get('Committed_AS'))} of {size(told.get('CommitLimit'))}"
    yield "overcommit", mode + (counted if host.overcommit_memory == 2 else "")
    pools = [
        f"{size(pool.size * pool.pages)} in pages of {size(pool.size)}, {size(pool.size * pool.idle)} of it idle"
        for pool in host.pools
        if pool.pages
    ]
    yield "huge pages", f"{'; '.join(pools) or 'none reserved'}; transparent ones: {host.transparent_hugepage or '-'}"
    if seen.hierarchy is None:
        yield "cgroups", "none with a memory controller"
    else:
        kinds = [f"{count} of {preset}" for preset, count in seen.containers.items()]
        kinds.insert(0, f"{seen.services} services of systemd with processes")
        yield "cgroups", f"version {seen.hierarchy.version.number}: {', '.join(kinds)}"
    yield (
        "time lost",
        "accounted for: an entry with delays: true shows it, and needs CAP_NET_ADMIN"
        if seen.delays_accounted
        else "not accounted for: sysctl kernel.task_delayacct=1, then delays: true in an entry",
    )


def _processes(seen: Survey) -> Iterator[str]:
    if groups := _max_groups(seen):
        yield f"max_groups: {groups}"
        yield ""
    yield from _comment(PROCESSES)
    lines = list(_entries(seen))
    yield "processes:" if lines else "processes: []"
    yield from lines
    yield "  # Everything that is left, by name."
    yield '  # - name: "{comm}"'


def _entries(seen: Survey) -> Iterator[str]:
    for preset, count in seen.containers.items():
        yield from _comment(f"The {count} of {preset}, each cgroup a group, with the labels of its entry below.", "  ")
        yield f"  - name: {preset}"
        yield f"    cgroup: {_list(CONTAINER_GLOBS[preset])}"
        yield "    by_cgroup: true"
        yield ""
    if seen.found:
        yield from _comment(
            f"The largest. An entry of its own has what takes {100 * LARGE:.0f} % of RAM, or more.", "  "
        )
    for found in seen.found:
        yield from _comment(_evidence(found), "  ")
        yield f"  - name: {_scalar(_name(found))}"
        if found.globs:
            yield f"    cgroup: {_list(found.globs)}"
        else:
            yield f"    comm: {_list([found.name])}"
        locked = ", locked: required" if found.sum("locked") else ""
        yield f"    # labels: {{swap: forbidden, latency: sensitive, presence: required{locked}}}"
        if len(found.processes) > 1 and 2 * found.sum("file", "shmem") > found.sum("resident"):
            yield "    # smaps: true"
        yield ""
    if seen.services:
        yield from _comment("The other services, each a group of its own, with its unit as a label.", "  ")
        yield "  - name: services"
        yield "    cgroup: [/system.slice/**.service, /system.slice/**.service/**]"
        yield "    by_cgroup: true"
        yield ""


def _evidence(found: Found) -> str:
    count = len(found.processes)
    parts = [f"{size(found.sum('resident'))} in RAM"]
    parts += [
        f"{size(found.sum(name))} {where}"
        for name, where in (("swap", "in swap"), ("locked", "locked"), ("hugetlb", "in huge pages of the pools"))
        if found.sum(name)
    ]
    comms = list(dict.fromkeys(process.comm for process in found.processes))
    if found.globs:
        names = ", ".join(map(shown, comms[:3])) + (f" and {len(comms) - 3} more" if len(comms) > 3 else "")
        what = f"A service of systemd, {count} {'process' if count == 1 else 'processes'} ({names})"
    else:
        what = f"{count} {'process' if count == 1 else 'processes'}"
    text = f"{what}: {', '.join(parts)}."
    if not found.globs and _RUNTIME.fullmatch(found.name):
        text += " One name for many programs: docs/CONFIGURATION.md shows how to tell them apart."
    return text


def _name(found: Found) -> str:
    name = found.name.replace("{", "{{").replace("}", "}}")
    # The exporter has a group of this name itself.
    return f"{name} program" if name == OTHER else name


def _cgroups(seen: Survey) -> Iterator[str]:
    if not seen.services and not seen.containers:
        yield "cgroups: []"
        return
    yield "cgroups:"
    if seen.services:
        yield "  - name: services"
        yield "    path: /system.slice/**.service"
        yield r"    labels_from: '(?P<unit>[^/]+)\.service$'"
    for preset in seen.containers:
        yield f"  - name: {preset}"
        yield f"    preset: {preset}"


def _rest(seen: Survey) -> Iterator[str]:
    yield ""
    yield "collectors:"
    yield from _comment(
        "node_exporter is running: with false, the host's memory is its alone."
        if seen.node_exporter
        else "The host's memory; false where node_exporter tells it.",
        "  ",
    )
    yield "  host: true"
    yield ""


def _max_groups(seen: Survey) -> int | None:
    """Room for twice as many groups as there are, where that is more than the exporter's own bound."""
    needed = 2 * (len(seen.found) + seen.services + sum(seen.containers.values()))
    return math.ceil(needed / 100) * 100 if needed > 200 else None


def _scalar(text: str) -> str:
    return dumped(text, flow=True).strip().removesuffix("\n...")


def _list(texts: Iterable[str]) -> str:
    return dumped(list(texts), flow=True).strip()
