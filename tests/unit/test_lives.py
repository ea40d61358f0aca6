"""Counters over the lives of what is removed and made again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporter.catalog.cgroup import EVENTS, PAGE_FAULTS
from exporter.watch.lives import Lives

KILLS, FAULTS = (EVENTS, "oom_kill"), (PAGE_FAULTS, "")


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9), st.booleans()), max_size=30))
def test_a_counter_never_falls_and_counts_every_life(readings: list[tuple[int, int, bool]]) -> None:
    lives, shown, expected, inode_before, count_before = Lives(), 0.0, 0, 0, 0
    for inode, count, with_faults in readings:
        # A new life counts from its own beginning; a count that fell within one goes on from there.
        grown = count if inode != inode_before else max(count - count_before, 0)
        expected += grown
        series, counts = ([KILLS, FAULTS], [count, 1]) if with_faults else ([KILLS], [count])
        now = lives.read("/a", inode, list(series), list(counts))[0]
        assert now >= shown
        assert now == expected
        shown, inode_before, count_before = now, inode, count


def test_a_series_that_could_not_be_read_for_a_while_is_not_counted_twice() -> None:
    lives = Lives()
    both, one = [KILLS, FAULTS], [KILLS]
    assert lives.read("/a", 1, both, [5, 100]) == [5, 100]
    for _ in range(2):
        assert lives.read("/a", 1, one, [5]) == [5]
        assert lives.read("/a", 1, both, [5, 100]) == [5, 100]
    # It fell meanwhile, and goes on from where it was.
    assert lives.read("/a", 1, one, [6]) == [6]
    assert lives.read("/a", 1, both, [6, 30]) == [6, 100]
    # The life ends while it can't be read: what it had by then stays.
    assert lives.read("/a", 1, one, [6]) == [6]
    assert lives.read("/a", 2, both, [1, 1]) == [7, 101]


def test_only_so_many_names_are_remembered() -> None:
    lives = Lives()
    for name in ("/a", "/b", "/c"):
        lives.read(name, 1, [KILLS], [5])
    lives.forget_beyond(2)
    assert lives.read("/a", 2, [KILLS], [1]) == [1]
    assert lives.read("/c", 2, [KILLS], [1]) == [6]
