"""Rows that are packed and summed as one integer come to what the rows come to one by one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.tree import Tree, Watch

from exporter.catalog.process import ROW
from exporter.watch import processes
from exporter.watch.process import Process
from exporter.watch.tally import Row, Tally, pack

WIDTH = max(column.index for column in ROW) + 1
LARGEST = (1 << 48) - 1
A = "processes: [{name: a, comm: [a]}]"


def one_by_one(merge: Callable[[Any], Any], values: list[int | None]) -> int | None:
    there = [value for value in values if value is not None]
    return merge(there) if there else None


numbers = st.integers(0, LARGEST) | st.sampled_from([0, 1, LARGEST])
rows = st.tuples(*[numbers] * WIDTH)
holey = st.tuples(*[st.none() | st.integers(0, 1 << 64)] * WIDTH)


@given(st.lists(rows, max_size=40), st.lists(holey, max_size=3))
@example([(LARGEST,) * WIDTH] * 300, [])
@example([], [])
def test_a_tally_is_the_rows_merged_by_columns(packed: list[Row], others: list[Row]) -> None:
    tally = Tally()
    for row in packed:
        text = pack(row)
        assert text is not None
        tally.packed.append(text)
    process = [object.__new__(Process) for _ in others]
    tally.rows = dict(zip(process, others, strict=True))
    of_all = [*others, *packed]
    assert tally.values(ROW) == [one_by_one(c.show.merge, [row[c.index] for row in of_all]) for c in ROW]
    assert bool(tally) == bool(of_all)


@pytest.mark.parametrize("bad", [None, LARGEST + 1], ids=["absent", "too large"])
def test_a_row_with_a_number_that_is_absent_or_too_large_is_not_packed(bad: int | None) -> None:
    assert pack((0,) * (WIDTH - 1) + (bad,)) is None


def test_a_process_is_parsed_again_only_when_one_of_its_files_has_changed(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = []

    def status_numbers(text: bytes, path: object) -> tuple[int | None, ...]:
        parsed.append(path)
        return real(text, path)

    real = processes.status_numbers
    monkeypatch.setattr(processes, "status_numbers", status_numbers)
    tree.process(10, b"a", VmRSS=100, minflt=5)
    tree.process(11, b"a", VmRSS=30, minflt=1)
    watch = Watch(tree, A, keep_open=100)
    for _ in range(3):
        page = watch.scrape()
        assert (page.of("a", "resident_bytes"), page.counters("a")[0]) == (130 * 1024, 6)
    first = len(parsed)
    tree.process(10, b"a", VmRSS=70, minflt=5)
    page = watch.scrape()
    assert (page.of("a", "resident_bytes"), page.counters("a")[0]) == (100 * 1024, 6)
    assert page.of("a", "resident_largest_bytes") == 70 * 1024
    tree.process(11, b"a", VmRSS=30, minflt=4)
    page = watch.scrape()
    assert (page.of("a", "resident_bytes"), page.counters("a")[0]) == (100 * 1024, 9)
    assert len(parsed) == first + 2
