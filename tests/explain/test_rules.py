"""Each rule just below and just above its threshold, and what a finding must have."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from exporter.explain.checks import PAGE
from exporter.explain.findings import Finding, Severity, findings, of_machine
from exporter.explain.rows import Cgroup, Host, Machine, Memory, Pool, Process, Row, Subject, total
from exporter.explain.rules import OF_MACHINE, OF_SUBJECT, RULES
from exporter.explain.units import GIB, MIB

SECONDS = 2.0
RAM = 64 * GIB
CALM = Memory(
    virtual=200 * MIB, resident=100 * MIB, anon=80 * MIB, file=20 * MIB, shmem=0, swap=0, locked=0, hugetlb=0,
    page_tables=MIB, minor_faults=1000, major_faults=10,
)  # fmt: skip
HOST = Host(
    at=100.0,
    meminfo={"MemTotal": RAM, "MemAvailable": RAM // 2, "SwapTotal": 8 * GIB, "AnonHugePages": 0,
             "Committed_AS": 10 * GIB, "CommitLimit": 40 * GIB},
    vmstat={"pswpin": 0},
    overcommit_memory=0,
    transparent_hugepage="madvise",
)  # fmt: skip
ROOT = Cgroup(path="/", folder="/cg", version="2", usage=RAM // 2, working_set=RAM // 2)


def process(memory: Memory, pid: int = 7, **values: object) -> Process:
    return replace(Process(pid=pid, comm="subject", born=5.0, memory=memory), **values)  # type: ignore[arg-type]


def row(at: float, *processes: Process, cgroup: Cgroup | None = ROOT) -> Row:
    return Row(
        kind="process",
        name="subject",
        at=at,
        processes=processes,
        memory=total(process.memory for process in processes),
        cgroup=cgroup,
    )


def judged(
    memory: Memory = CALM,
    *,
    before: Memory | None = None,
    cgroup: Cgroup | None = ROOT,
    cgroup_before: Cgroup | None = None,
    host: Host = HOST,
    kind: str = "process",
    **of_process: object,
) -> dict[str, Finding]:
    """The findings of one process that was `before` and is `memory` now, two seconds later."""
    now = replace(row(100.0, process(memory, **of_process), cgroup=cgroup), kind=kind)  # type: ignore[arg-type]
    earlier = row(100.0 - SECONDS, process(before or memory), cgroup=cgroup_before or cgroup)
    machine = Machine(host, replace(host, at=100.0 - SECONDS))
    return {finding.rule: finding for finding in findings(Subject(now, earlier), machine)}


def changed(**values: float) -> Memory:
    return replace(CALM, **values)  # type: ignore[arg-type]


def host(meminfo: dict[str, int] | None = None, **values: object) -> Host:
    return replace(HOST, meminfo={**HOST.meminfo, **(meminfo or {})}, **values)  # type: ignore[arg-type]


def limited(share: float, swap: int = 0, **values: object) -> Cgroup:
    """A cgroup whose working set is this share of its parent's limit of 1000 MiB."""
    parent = Cgroup(
        path="/box", folder="/cg/box", version="2", usage=999 * MIB, working_set=int(share * 1000 * MIB),
        limit=1000 * MIB, swap=swap, oom_kills=3, above=ROOT,
    )  # fmt: skip
    inner = Cgroup(
        path="/box/in", folder="/cg/box/in", version="2", usage=10 * MIB, working_set=10 * MIB, limit=math.inf,
        effective_limit=1000 * MIB, above=parent,
    )  # fmt: skip
    return replace(inner, **values)  # type: ignore[arg-type]


INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
HEAP = changed(virtual=10 * GIB, resident=9 * GIB, anon=8 * GIB)
SPARSE = changed(virtual=100 * MIB + GIB)
IDLE = Pool(size=2 * MIB, folder="/hugepages", pages=1024, free=512, reserved=0)
STRICT = host(overcommit_memory=2)

CASES: list[tuple[str, Callable[[], dict[str, Finding]], Severity | None]] = [
    ("in-swap", lambda: judged(changed(swap=MIB - 1)), None),
    ("in-swap", lambda: judged(changed(swap=MIB)), INFO),
    ("in-swap", lambda: judged(changed(swap=100 * MIB)), INFO),
    ("in-swap", lambda: judged(changed(swap=100 * MIB + 1)), WARNING),
    ("in-swap", lambda: judged(changed(swap=101 * MIB, resident=909 * MIB)), INFO),
    ("in-swap", lambda: judged(changed(swap=MIB, major_faults=11), before=changed(swap=MIB)), WARNING),
    ("time-lost", lambda: judged(changed(major_faults=11), before=CALM), None),
    ("time-lost", lambda: judged(changed(major_faults=12), before=CALM), INFO),
    ("time-lost", lambda: judged(changed(major_faults=29), before=CALM), INFO),
    ("time-lost", lambda: judged(changed(major_faults=30), before=CALM), WARNING),
    ("time-lost", lambda: judged(changed(major_faults=2009), before=CALM), WARNING),
    ("time-lost", lambda: judged(changed(major_faults=2010), before=CALM), CRITICAL),
    ("time-lost", lambda: judged(changed(waited=1.0199), before=changed(waited=1.0)), None),
    ("time-lost", lambda: judged(changed(waited=0.02), before=changed(waited=0.0)), WARNING),
    ("time-lost", lambda: judged(changed(waited=0.2), before=changed(waited=0.0)), CRITICAL),
    # What the kernel measured outweighs what is guessed from the faults.
    ("time-lost", lambda: judged(changed(major_faults=2010, waited=0.0), before=changed(waited=0.0)), WARNING),
    # A cgroup's pressure is its own; it isn't that of a process in it.
    (
        "time-lost",
        lambda: judged(
            cgroup=limited(0.1, pressure_some=1.25), cgroup_before=limited(0.1, pressure_some=1.0), kind="cgroup"
        ),
        CRITICAL,
    ),
    (
        "time-lost",
        lambda: judged(cgroup=limited(0.1, pressure_some=2.0), cgroup_before=limited(0.1, pressure_some=1.0)),
        None,
    ),
    ("sparse", lambda: judged(changed(virtual=400 * MIB - 1)), None),
    ("sparse", lambda: judged(changed(virtual=400 * MIB)), INFO),
    ("sparse", lambda: judged(changed(resident=10 * MIB, virtual=266 * MIB - 1)), None),
    ("sparse", lambda: judged(changed(resident=10 * MIB, virtual=266 * MIB)), INFO),
    # What was touched and is in swap or in huge pages by now isn't harmless, and in mode 2 neither is a promise.
    ("sparse", lambda: judged(changed(virtual=800 * MIB, swap=100 * MIB)), INFO),
    ("sparse", lambda: judged(changed(virtual=800 * MIB, swap=101 * MIB)), None),
    ("sparse", lambda: judged(changed(virtual=800 * MIB, hugetlb=101 * MIB)), None),
    ("sparse", lambda: judged(changed(virtual=400 * MIB), host=STRICT), None),
    ("growing", lambda: judged(changed(anon=81 * MIB - 1), before=CALM), None),
    ("growing", lambda: judged(changed(anon=81 * MIB), before=CALM), INFO),
    ("growing", lambda: judged(changed(anon=200 * MIB), before=changed(anon=199 * MIB)), None),
    ("growing", lambda: judged(changed(swap=2 * MIB), before=CALM), INFO),
    # What moves from RAM to swap has not grown.
    ("growing", lambda: judged(changed(anon=40 * MIB, swap=40 * MIB), before=CALM), None),
    ("growing", lambda: judged(changed(anon=81 * MIB), before=CALM, host=host({"MemAvailable": 1800 * MIB})), INFO),
    ("growing", lambda: judged(changed(anon=81 * MIB), before=CALM, host=host({"MemAvailable": 1799 * MIB})), WARNING),
    ("growing", lambda: judged(changed(anon=81 * MIB), before=CALM, cgroup=limited(0.8)), WARNING),
    ("near-limit", lambda: judged(cgroup=limited(0.899)), None),
    ("near-limit", lambda: judged(cgroup=limited(0.9)), WARNING),
    ("near-limit", lambda: judged(cgroup=limited(0.949)), WARNING),
    ("near-limit", lambda: judged(cgroup=limited(0.95)), CRITICAL),
    ("near-limit", lambda: judged(cgroup=None), None),
    # Half full, and with less left than the one above, which is full.
    ("near-limit", lambda: judged(cgroup=limited(0.96, limit=20 * MIB)), CRITICAL),
    ("small-pages", lambda: judged(replace(HEAP, anon=8 * GIB - 1), host=host(transparent_hugepage="never")), None),
    ("small-pages", lambda: judged(HEAP, host=host(transparent_hugepage="never")), WARNING),
    ("small-pages", lambda: judged(HEAP, host=host(transparent_hugepage="always")), None),
    ("small-pages", lambda: judged(HEAP, host=host({"AnonHugePages": 4 * GIB}, transparent_hugepage="never")), None),
    ("small-pages", lambda: judged(HEAP, host=host(pools=(IDLE,))), WARNING),
    ("small-pages", lambda: judged(HEAP, host=host(pools=(replace(IDLE, free=511),))), None),
    ("small-pages", lambda: judged(replace(HEAP, hugetlb=GIB), host=host(pools=(IDLE,))), None),
    ("page-tables", lambda: judged(changed(page_tables=64 * MIB - 1)), None),
    ("page-tables", lambda: judged(changed(page_tables=64 * MIB)), WARNING),
    ("page-tables", lambda: judged(changed(page_tables=100 * MIB, resident=5001 * MIB)), None),
    ("page-tables", lambda: judged(changed(page_tables=RAM // 100 + 1, resident=1000 * GIB)), WARNING),
    ("locked-less", lambda: judged(changed(locked=MIB), lock_limit=100 * MIB), None),
    ("locked-less", lambda: judged(changed(locked=MIB), lock_limit=100 * MIB - 1), WARNING),
    ("locked-less", lambda: judged(changed(locked=100 * MIB), lock_limit=100 * MIB - 1), None),
    ("locked-less", lambda: judged(changed(locked=0), lock_limit=8 * MIB), None),
    ("locked-less", lambda: judged(changed(locked=MIB), lock_limit=math.inf), None),
    ("strict-overcommit", lambda: judged(SPARSE), None),
    ("strict-overcommit", lambda: judged(SPARSE, host=STRICT), WARNING),
    ("strict-overcommit", lambda: judged(replace(SPARSE, virtual=100 * MIB + GIB - 1), host=STRICT), None),
    ("dies-first", lambda: judged(oom_score=800), None),
    ("dies-first", lambda: judged(oom_score=800, host=host(oom_score=800, oom_first=(7, 9))), INFO),
    ("dies-first", lambda: judged(oom_score=0, host=host(oom_score=0, oom_first=(7,))), None),
    (
        "dies-first",
        lambda: judged(oom_score=800, oom_score_adj=0, host=host({"MemAvailable": RAM // 10}, oom_first=(7,))),
        WARNING,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "judge", "severity"), CASES, ids=[f"{i}-{rule}" for i, (rule, *_) in enumerate(CASES)]
)
def test_a_rule_holds_from_its_threshold_on(
    rule: str, judge: Callable[[], dict[str, Finding]], severity: Severity | None
) -> None:
    found = judge()
    assert (found[rule].severity if rule in found else None) == severity


def of_host(now: Host) -> dict[str, Finding]:
    return {finding.rule: finding for finding in of_machine(Machine(now, now))}


@pytest.mark.parametrize(
    ("rule", "now", "severity"),
    [
        ("commit-limit", host({"Committed_AS": 90, "CommitLimit": 100}), None),
        ("commit-limit", host({"Committed_AS": 89, "CommitLimit": 100}, overcommit_memory=2), None),
        ("commit-limit", host({"Committed_AS": 90, "CommitLimit": 100}, overcommit_memory=2), WARNING),
        ("commit-limit", host({"Committed_AS": 98, "CommitLimit": 100}, overcommit_memory=2), CRITICAL),
        ("always-overcommit", host({"Committed_AS": 72 * GIB}, overcommit_memory=1), None),
        ("always-overcommit", host({"Committed_AS": 72 * GIB + 1}, overcommit_memory=1), INFO),
        ("always-overcommit", host({"Committed_AS": 72 * GIB + 1}), None),
        ("idle-pool", host(pools=(replace(IDLE, pages=0, free=0),)), None),
        ("idle-pool", host(pools=(replace(IDLE, free=511),)), None),
        ("idle-pool", host(pools=(replace(IDLE, free=600, reserved=89),)), None),
        ("idle-pool", host(pools=(replace(IDLE, pages=200, free=100),)), INFO),
        ("idle-pool", host(pools=(IDLE,)), WARNING),
    ],
)
def test_a_rule_of_the_machine_holds_from_its_threshold_on(rule: str, now: Host, severity: Severity | None) -> None:
    found = of_host(now)
    assert (found[rule].severity if rule in found else None) == severity


def test_nothing_is_said_of_a_calm_process_on_a_calm_machine() -> None:
    assert judged() == {}
    assert of_host(HOST) == {}


def test_what_needs_an_interval_is_not_said_without_one() -> None:
    subject = Subject(row(100.0, process(changed(swap=MIB, major_faults=10**6))))
    found = {finding.rule: finding for finding in findings(subject, Machine(HOST))}
    assert set(found) == {"in-swap"}
    assert "isn't known: it was not watched" in found["in-swap"].meaning


def test_how_much_of_the_swap_was_touched_is_told_as_the_least_it_can_be() -> None:
    found = judged(changed(swap=100 * PAGE * 256, major_faults=10 + 256), before=changed(swap=100 * PAGE * 256))
    assert "In 2.0 s at least 1 % of it was touched (256 major faults)." in found["in-swap"].meaning


def test_the_limit_that_a_cgroup_should_have_holds_its_swap_and_a_fifth_more() -> None:
    finding = judged(cgroup=limited(0.95, swap=50 * MIB))["near-limit"]
    assert "Raise the limit to 1.2 GiB" in finding.action
    assert finding.title == "95 % of the limit of /box, which is above /box/in"
    assert [(item.value, item.source) for item in finding.evidence] == [
        (950 * MIB, "/cg/box/memory.stat"),
        (1000 * MIB, "/cg/box/memory.max"),
        (50 * MIB, "/cg/box/memory.swap.current"),
        (3, "/cg/box/memory.events"),
    ]


def test_a_group_s_faults_are_those_of_the_processes_it_has_and_of_those_born_meanwhile() -> None:
    old, joined = process(CALM, 1), process(changed(major_faults=500), 2)
    born = process(changed(major_faults=3), 3, born=99.0)
    now = row(100.0, process(changed(major_faults=14), 1), joined, born)
    subject = Subject(now, row(98.0, old, process(CALM, 9)))
    assert subject.rose("major_faults") == 4 + 3
    assert subject.rate("major_faults") == 3.5
    assert subject.rose("major_faults", newcomers=False) == 4


def test_every_finding_has_evidence_with_its_source_and_a_document() -> None:
    said = [finding for rule, judge, severity in CASES if severity is not None for finding in judge().values()]
    said += [*of_host(host({"Committed_AS": 99, "CommitLimit": 100}, overcommit_memory=2, pools=(IDLE,))).values()]
    said += [*of_host(host({"Committed_AS": 73 * GIB}, overcommit_memory=1)).values()]
    assert {finding.rule for finding in said} == {rule.name for rule in RULES}
    for finding in said:
        assert finding.evidence
        assert all(item.source.startswith(("/", "taskstats")) for item in finding.evidence)
        assert finding.title
        assert finding.action
        assert finding.document.startswith(("Documentation/", "mlock(2)"))
        assert "{" not in finding.title + finding.meaning + finding.action


def test_the_document_lists_every_rule_with_when_it_holds() -> None:
    text = (Path(__file__).parents[2] / "docs" / "EXPLAIN.md").read_text()
    for rule in (*OF_SUBJECT, *OF_MACHINE):
        assert f"| `{rule.name}` | {rule.when} | {rule.document} |" in text
