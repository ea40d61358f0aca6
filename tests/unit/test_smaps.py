"""Readings of smaps_rollup: in which order, how many at a scrape, and for how long."""

import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from support.daemon import until
from unit.tree import Tree

from exporter.catalog.process import SmapsRollup
from exporter.kernel.stat import task
from exporter.lane import Job
from exporter.watch import smaps
from exporter.watch.namespace import Namespace
from exporter.watch.process import Process
from exporter.watch.processes import Processes
from exporter.watch.smaps import Smaps

Refresh = Callable[..., list[int]]


@pytest.fixture
def watched(tree: Tree) -> dict[int, Process]:
    found = {}
    for pid in 10, 11, 12, 13:
        folder = tree.process(pid, b"a")
        (folder / "smaps_rollup").write_bytes(b"00-ff ---p 00000000 00:00 0 [rollup]\nPss: %d kB\n" % pid)
        text = (folder / "stat").read_bytes()
        found[pid] = Process(pid, text, task(text, "stat"), 0)
    return found


@pytest.fixture
def refresh(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Refresh:
    """Refresh, of which so many readings are made as the budget allows: the pids of those read, in order."""
    processes = Processes(tree.path, Namespace(tree.path, None), (0,), 0)
    reader = Smaps(tree.path)
    run = reader._lane.run
    allowed, begun, uptime = [99], list[int](), [20_000_000]

    def some(jobs: Sequence[Job], *, patience: float, budget: float) -> object:
        assert patience == budget
        if budget <= 0:
            return run(jobs, patience=patience, budget=budget)
        begun.extend(key.pid for key, _ in jobs[: allowed[0]] if isinstance(key, Process))
        return run(jobs[: allowed[0]], patience=60)

    monkeypatch.setattr(reader._lane, "run", some)

    def refresh(wanted: dict[Process, int], most: int = 99, deadline: float = math.inf) -> list[int]:
        allowed[0] = most
        uptime[0] += 1
        (tree.root / "uptime").write_text(f"{uptime[0]}.00 1.00\n")
        begun.clear()
        processes.refresh()
        reader.refresh(processes, wanted, deadline)
        assert all(reading.record == SmapsRollup(process.pid) for process, reading in reader.readings.items())
        return [*begun]

    return refresh


def test_those_never_read_come_first_then_the_largest_change_and_the_oldest_reading_by_turns(
    tree: Tree, watched: dict[int, Process], refresh: Refresh
) -> None:
    a, b, c, d = watched.values()
    assert refresh({a: 100, b: 100, c: 100}) == [10, 11, 12]
    assert refresh({a: 100, b: 101, c: 100}, most=1) == [10]
    # The change since the last reading counts, to whichever side; `b` and `c` have the oldest.
    assert refresh({a: 101, b: 100, c: 50, d: 5}) == [13, 12, 11, 10]


def test_with_room_for_one_reading_everybody_has_a_turn(watched: dict[int, Process], refresh: Refresh) -> None:
    # The first one changes most, always.
    a, b, c, d = watched.values()
    refresh(dict.fromkeys(watched.values(), 0))
    read = [refresh({a: 1000 * scrape, b: 1, c: 1, d: 1}, most=1) for scrape in range(8)]
    assert [read.count([pid]) for pid in watched] == [5, 1, 1, 1]


def test_nothing_is_begun_when_the_scrape_has_no_time_left(watched: dict[int, Process], refresh: Refresh) -> None:
    wanted = dict.fromkeys(watched.values(), 1)
    assert refresh(wanted, deadline=time.monotonic()) == []
    assert refresh(wanted, deadline=time.monotonic() + 60) == [10, 11, 12, 13]


def test_the_budget_and_the_last_reading_end_before_the_scrape_times_out(
    tree: Tree, watched: dict[int, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, asked = Smaps(tree.path), list[tuple[float, float]]()

    def run(_: object, *, patience: float, budget: float) -> list[object]:
        asked.append((patience, budget))
        return []

    monkeypatch.setattr(reader._lane, "run", run)
    monkeypatch.setattr(smaps.time, "monotonic", lambda: 1000.0)
    for left in math.inf, 10.0, 0.1:
        reader.refresh(Processes(tree.path, Namespace(tree.path, None), (0,), 0), {}, 1000.0 + left)
    assert asked == [(smaps.BUDGET, smaps.BUDGET)] * 2 + [(pytest.approx(0.05), pytest.approx(0.05))]


def test_a_reading_that_comes_late_is_taken_at_the_next_scrape_and_is_no_error(
    tree: Tree, watched: dict[int, Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    processes, reader = Processes(tree.path, Namespace(tree.path, None), (0,), 0), Smaps(tree.path)
    processes.refresh()
    go_on, read, (large, small, *_) = threading.Event(), smaps.read, watched.values()

    def slow(path: str) -> bytes | None:
        if f"/{large.pid}/" in path:
            go_on.wait(60)
        return read(path)

    def errors() -> int:
        return sum(processes.groups.nameless.errors.values())

    monkeypatch.setattr(smaps, "read", slow)
    monkeypatch.setattr(smaps, "BUDGET", 0.1)
    begun, wanted = processes.uptime, {large: 20 << 20, small: 1}
    reader.refresh(processes, wanted, math.inf)
    reader.refresh(processes, wanted, math.inf)
    assert (list(reader.readings), reader.stuck, errors()) == ([small], 1, 1)
    go_on.set()
    until(lambda: reader.stuck == 0, "it has come")
    (tree.root / "uptime").write_text("30000000.00 1.00\n")
    processes.refresh()
    reader.refresh(processes, {large: 21 << 20}, math.inf - 1)
    assert reader.readings[large].record == SmapsRollup(large.pid)
    # It is as old as it is, whenever it came; and one that has gone meanwhile leaves nothing.
    assert (errors(), reader.stuck) == (1, 0)
    assert begun < reader.readings[large].at
    reader.refresh(processes, {}, math.inf)
    assert reader.readings == {}
