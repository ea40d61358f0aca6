"""Counters against a model: whatever processes and the configuration do, a group's counter is what its members did."""

from __future__ import annotations

import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from unit.tree import HZ, Tree, Watch

from exporter.watch.ledger import Ledger

COMMS = ["a", "b", "c", "d"]
CONFIGS: list[tuple[str, dict[str, tuple[str, str]]]] = [
    # The YAML, and the group that each comm is in: its name and its label.
    (
        "processes: [{name: ab, comm: [a, b]}, {name: c, comm: [c]}]",
        {"a": ("ab", ""), "b": ("ab", ""), "c": ("c", "")},
    ),
    (
        "processes: [{name: ab, comm: [a]}, {name: '{comm}', exclude: {comm: [init]}}]",
        {"a": ("ab", ""), "b": ("b", ""), "c": ("c", ""), "d": ("d", "")},
    ),
    (
        "processes: [{name: c, comm: [a, c], labels: {x: y}}, {name: ab, comm: [b]}]",
        {"a": ("c", "y"), "c": ("c", "y"), "b": ("ab", "")},
    ),
    ("processes: []", {}),
]
PIDS = range(2, 16)


@dataclass
class Model:
    """One process: what the kernel says of it, and what the scrape before said."""

    comm: str
    starttime: int
    faults: int
    stack: int
    group: tuple[str, str] | None = None
    seen: int | None = None


class Counters(RuleBasedStateMachine):
    """Births, exits, execs, pids that are used again, regrouping and reloads, with scrapes in between."""

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.tree = Tree(self.home / "proc")
        self.clock = 1000.0
        self.last_pid = 1
        self.births = 0
        self.processes: dict[int, Model] = {}
        self.totals: dict[tuple[str, str], int] = {}
        self.shown: dict[tuple[str, str], float] = {}
        self.groups = CONFIGS[0][1]
        self.watch = Watch(self.tree, CONFIGS[0][0])
        self.scrape()

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    def write(self, pid: int) -> None:
        model = self.processes[pid]
        self.tree.process(
            pid, model.comm.encode(), minflt=model.faults, starttime=model.starttime, start_stack=model.stack
        )

    @precondition(lambda self: len(self.processes) < len(PIDS) and self.births < 6)
    @rule(comm=st.sampled_from(COMMS), faults=st.integers(0, 50), stack=st.integers(1 << 46, 1 << 47))
    def birth(self, comm: str, faults: int, stack: int) -> None:
        """The kernel gives out pids in order, and from the beginning again after the last."""
        order = [pid for pid in PIDS if pid > self.last_pid] + [pid for pid in PIDS if pid <= self.last_pid]
        self.last_pid = next(pid for pid in order if pid not in self.processes)
        self.births += 1
        self.clock += 0.02
        self.processes[self.last_pid] = Model(comm, int(self.clock * HZ), faults, stack)
        self.write(self.last_pid)
        self.tree.last_pid(self.last_pid)

    @precondition(lambda self: self.processes)
    @rule(which=st.randoms(use_true_random=False), more=st.integers(-20, 40))
    def work(self, which: random.Random, more: int) -> None:
        """The count falls where a thread's exec puts its own in place of the process's."""
        pid = which.choice(sorted(self.processes))
        self.processes[pid].faults = max(self.processes[pid].faults + more, 0)
        self.write(pid)

    @precondition(lambda self: self.processes)
    @rule(which=st.randoms(use_true_random=False), comm=st.sampled_from(COMMS), stack=st.integers(1 << 46, 1 << 47))
    def exec(self, which: random.Random, comm: str, stack: int) -> None:
        pid = which.choice(sorted(self.processes))
        self.processes[pid].comm, self.processes[pid].stack = comm, stack
        self.write(pid)

    @precondition(lambda self: self.processes)
    @rule(which=st.randoms(use_true_random=False))
    def exit(self, which: random.Random) -> None:
        pid = which.choice(sorted(self.processes))
        del self.processes[pid]
        self.tree.remove(pid)

    @rule(config=st.sampled_from(CONFIGS))
    def reload(self, config: tuple[str, dict[str, tuple[str, str]]]) -> None:
        self.scrape()
        self.watch.reload(config[0])
        self.groups = config[1]
        self.scrape()

    @rule()
    def scrape(self) -> None:
        self.clock += 0.05
        self.tree.uptime(self.clock)
        self.births = 0
        counts = dict.fromkeys(self.groups.values(), 0)
        for model in self.processes.values():
            group = self.groups.get(model.comm)
            if group:
                counts[group] += 1
            grown = model.faults if model.seen is None else max(model.faults - model.seen, 0)
            if model.seen is None and group:
                self.totals[group] = self.totals.get(group, 0) + grown
            elif model.group is not None:
                # What it did since the last scrape, it did for the group that it was in.
                self.totals[model.group] = self.totals.get(model.group, 0) + grown
            model.group, model.seen = group, model.faults
        page = self.watch.scrape()
        for (name, label), count in counts.items():
            labels = {"x": label} if label else {}
            total = page.of(name, "minor_page_faults_total", **labels)
            if page.of(name, "count", **labels) is None:
                # A templated group that never had a process.
                assert count == 0
                continue
            assert page.of(name, "count", **labels) == count
            assert total == self.totals.get((name, label), 0)
            assert total >= self.shown.get((name, label), 0)
            self.shown[name, label] = total


TestCounters = Counters.TestCase
TestCounters.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), st.integers(0, 100)),
            st.tuples(st.just("read"), st.integers(0, 100)),
            st.tuples(st.just("leave"), st.just(0)),
        ),
        max_size=40,
    )
)
def test_a_ledger_counts_what_is_done_between_joining_and_leaving(steps: list[tuple[str, int]]) -> None:
    ledger, members, done, before = Ledger(1), list[int](), 0, 0
    for step, number in steps:
        if step == "join":
            ledger.join((number,))
            members.append(number)
        elif members and step == "read":
            ledger.read((members[0],), (number,))
            done += max(number - members[0], 0)
            members[0] = number
        elif members:
            ledger.leave((members.pop(),))
        [total] = ledger.sums([(count,) for count in members])
        assert total == done
        assert total >= before
        before = total
