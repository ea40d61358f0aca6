"""Watched processes from one scrape to the next: who is in which group, and what the group has then counted."""

import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.page import of, series
from unit.tree import FIXTURES, HZ, KERNELS, Shown, Tree, Watch, ordinary_user, when_opened

from exporter.watch import processes, smaps

BY_COMM = "processes: [{name: '{comm}'}]"
AB = "processes: [{name: ab, comm: [a, b]}, {name: c, comm: [c]}]"
BOTH = pytest.mark.parametrize("keep_open", [0, 100], ids=["opened each time", "kept open"])


# What a group shows.


@BOTH
def test_a_group_is_the_sum_of_its_processes(tree: Tree, keep_open: int) -> None:
    sizes = {"VmRSS": 1000, "VmSize": 9000, "VmSwap": 7, "VmHWM": 1500, "VmPeak": 9500, "VmLck": 4, "RssAnon": 600}
    tree.process(10, b"a", minflt=100, majflt=3, utime=57, stime=10, num_threads=2, starttime=500, **sizes)
    more = {"VmRSS": 3000, "VmSize": 4000, "VmSwap": 1, "VmHWM": 3500, "VmPeak": 8000, "VmLck": 0, "RssAnon": 2600}
    tree.process(11, b"b", minflt=11, majflt=0, utime=0, stime=1, num_threads=1, starttime=400, **more)
    page = Watch(tree, AB, keep_open).scrape()
    assert page.counts == {"ab": 2, "c": 0}
    assert page.of("ab", "resident_bytes") == 4000 * 1024
    assert page.of("ab", "virtual_bytes") == 13000 * 1024
    assert page.of("ab", "swap_bytes") == 8 * 1024
    assert page.of("ab", "locked_bytes") == 4 * 1024
    assert page.of("ab", "resident_part_bytes", part="anon") == 3200 * 1024
    assert page.of("ab", "resident_largest_bytes") == 3000 * 1024
    assert page.of("ab", "swap_largest_bytes") == 7 * 1024
    assert page.of("ab", "resident_peak_bytes") == 3500 * 1024
    assert page.of("ab", "virtual_peak_bytes") == 9500 * 1024
    assert page.of("ab", "threads") == 3
    assert page.of("ab", "oldest_start_time_seconds") == 1795492209 + 4
    assert page.counters("ab") == [111, 3, 0.57, 0.11, 82, 4]


def test_a_fixed_group_without_processes_is_there_from_the_first_scrape_on(tree: Tree) -> None:
    page = Watch(tree, AB).scrape()
    assert page.counts == {"ab": 0, "c": 0}
    assert page.counters("c") == [0, 0, 0, 0, 0, 0]
    assert page.of("c", "resident_bytes") == 0
    assert page.of("c", "threads") == 0
    absent = ("resident_largest_bytes", "swap_largest_bytes", "resident_peak_bytes", "virtual_peak_bytes")
    assert [page.of("c", metric) for metric in (*absent, "oldest_start_time_seconds")] == [None] * 5
    assert page.errors("c") == {}
    assert page["vmem_process_groups_folded"] == 0


def test_entries_of_one_name_fill_one_group(tree: Tree) -> None:
    tree.process(10, b"a", VmRSS=1000)
    tree.process(11, b"b", VmRSS=2000)
    watch = Watch(tree, "processes: [{name: x, comm: [a]}, {name: c, comm: [c]}, {name: x, comm: [b]}]")
    page = watch.scrape()
    assert page.counts == {"x": 2, "c": 0}
    assert page.of("x", "resident_bytes") == 3000 * 1024
    watch.reload("processes: [{name: x, comm: [b]}, {name: x, comm: [c]}]")
    assert watch.scrape().counts == {"x": 1}


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_captured_processes(kernel: str) -> None:
    tree = Tree.__new__(Tree)
    tree.root = FIXTURES / kernel / "proc"
    page = Watch(tree, BY_COMM).scrape()
    named = {"lazy", "touched", "locked", "swapped", "huge", "parent", "nobody", "container", "a) (b\n�� c"}
    assert page.counts.keys() >= named
    # A zombie has the name of the parent that it was born from; the kernel thread is in no group.
    assert (page.counts["parent"], page.counts.get("kthreadd")) == (2, None)


# Counters.


@BOTH
def test_at_the_start_the_counters_are_the_kernels(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=100, majflt=3, utime=200, stime=100, voluntary_ctxt_switches=9, starttime=500)
    watch = Watch(tree, AB, keep_open)
    for _ in range(3):
        assert watch.scrape().counters("ab") == [100, 3, 2, 1, 9, 2]


@BOTH
def test_a_process_that_was_born_since_adds_all_it_has_done(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=100)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    tree.uptime(1010)
    tree.process(11, b"a", minflt=7, starttime=1001 * HZ)
    assert watch.scrape().of("ab", "minor_page_faults_total") == 107


@BOTH
def test_an_exit_takes_nothing_back(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=100)
    tree.process(11, b"a", minflt=5)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    tree.remove(10)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 105)
    tree.remove(11)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (0, 105)
    assert page.of("ab", "resident_bytes") == 0


@BOTH
def test_a_process_that_was_there_adds_from_when_it_joins(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"x", minflt=1000, starttime=995 * HZ)
    watch = Watch(tree, AB, keep_open)
    assert watch.scrape().of("ab", "minor_page_faults_total") == 0
    tree.process(10, b"a", minflt=1500, starttime=995 * HZ)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 0)
    tree.process(10, b"a", minflt=1501, starttime=995 * HZ)
    assert watch.scrape().of("ab", "minor_page_faults_total") == 1


@BOTH
def test_an_exec_moves_a_watched_process_at_once(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=100)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    tree.process(10, b"c", minflt=130)
    page = watch.scrape()
    assert page.counts == {"ab": 0, "c": 1}
    # What it did up to the look that found it elsewhere is the old group's.
    assert (page.of("ab", "minor_page_faults_total"), page.of("c", "minor_page_faults_total")) == (130, 0)
    tree.process(10, b"c", minflt=135)
    page = watch.scrape()
    assert (page.of("ab", "minor_page_faults_total"), page.of("c", "minor_page_faults_total")) == (130, 5)
    tree.process(10, b"x", minflt=136)
    page = watch.scrape()
    assert (page.counts, page.of("c", "minor_page_faults_total")) == ({"ab": 0, "c": 0}, 6)


@BOTH
def test_an_exec_that_keeps_the_name_is_seen_by_its_stack(tree: Tree, keep_open: int) -> None:
    text = "processes: [{name: '{app}', cmdline: ['app=(?P<app>\\w+)']}]"
    tree.process(10, b"java", [b"java", b"app=one"], start_stack=4096, starttime=1, minflt=5)
    watch = Watch(tree, text, keep_open)
    assert watch.scrape().counts == {"one": 1}
    tree.process(10, b"java", [b"java", b"app=two"], start_stack=8192, starttime=1, minflt=6)
    page = watch.scrape()
    assert page.counts == {"one": 0, "two": 1}
    assert page.of("one", "minor_page_faults_total") == 6
    assert page.of("two", "minor_page_faults_total") == 0


@BOTH
def test_a_count_of_the_kernels_that_falls_leaves_the_sum_where_it_was(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=100, majflt=50)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    # An exec by a thread that isn't the first: what is shown then is what that thread has done.
    tree.process(10, b"a", minflt=3, majflt=60, start_stack=99)
    assert watch.scrape().counters("ab")[:2] == [100, 60]
    tree.process(10, b"a", minflt=5, majflt=60, start_stack=99)
    assert watch.scrape().counters("ab")[:2] == [102, 60]
    tree.remove(10)
    assert watch.scrape().counters("ab")[:2] == [102, 60]


def test_a_pid_that_is_used_again_is_another_process(tree: Tree) -> None:
    tree.process(10, b"a", minflt=100, starttime=500)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.uptime(1010)
    tree.process(10, b"a", minflt=3, starttime=1005 * HZ)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 103)
    tree.uptime(1020)
    tree.process(10, b"c", minflt=4, starttime=1015 * HZ)
    page = watch.scrape()
    assert page.counts == {"ab": 0, "c": 1}
    assert (page.of("ab", "minor_page_faults_total"), page.of("c", "minor_page_faults_total")) == (103, 4)


@pytest.mark.parametrize(("before", "after"), [(9, 10), (9, 400_000), (32_767, 12), (12, 11)])
def test_a_process_that_took_an_unwatched_ones_pid_is_met_at_once(tree: Tree, before: int, after: int) -> None:
    tree.uptime(10_000)
    tree.process(10, b"x", starttime=100)
    tree.last_pid(before)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.uptime(10_010)
    tree.process(10, b"a", starttime=10_005 * HZ, minflt=7)
    tree.last_pid(after)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 7)


def test_a_young_process_that_took_a_young_unwatched_ones_pid(tree: Tree) -> None:
    tree.process(10, b"x", starttime=995 * HZ)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.uptime(1005)
    tree.process(10, b"a", starttime=1004 * HZ)
    watch.scrape()
    assert watch.scrape().counts["ab"] == 1


# When an unwatched process is looked at again.


@pytest.mark.parametrize("pid", [2, 63, 64, 4_194_303])
def test_a_young_one_is_met_within_two_scrapes(tree: Tree, pid: int) -> None:
    tree.process(pid, b"x", starttime=950 * HZ)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.process(pid, b"a", starttime=950 * HZ)
    tree.uptime(1005)
    watch.scrape()
    tree.uptime(1009)
    assert watch.scrape().counts["ab"] == 1


@pytest.mark.parametrize("pid", [2, 63, 64, 4_194_303])
@pytest.mark.parametrize("age", [60, 100, 500, 100_000])
def test_an_old_one_is_met_within_five_minutes(tree: Tree, pid: int, age: int) -> None:
    tree.uptime(200_000)
    tree.process(pid, b"x", starttime=(200_000 - age) * HZ)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.process(pid, b"a", starttime=(200_000 - age) * HZ)
    met = [at for at in range(200_015, 200_301, 15) if not tree.uptime(at) and watch.scrape().counts["ab"] == 1]
    assert met
    # Once met it stays.
    assert met == list(range(met[0], 200_301, 15))


def test_an_old_one_is_not_looked_at_at_every_scrape(tree: Tree) -> None:
    tree.uptime(200_000)
    tree.process(10, b"x", starttime=100)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.process(10, b"a", starttime=100)
    tree.uptime(200_015)
    assert watch.scrape().counts["ab"] == 0


def test_the_looks_at_processes_met_together_are_spread_out(tree: Tree) -> None:
    tree.uptime(200_000)
    pids = range(1000, 1064)
    for pid in pids:
        tree.process(pid, b"x", starttime=100)
    watch = Watch(tree, AB)
    watch.scrape()
    for pid in pids:
        tree.process(pid, b"a", starttime=100)
    counts = []
    for at in range(200_015, 200_300, 15):
        tree.uptime(at)
        counts.append(watch.scrape().counts["ab"])
    most = max(now - before for before, now in zip([0, *counts], counts, strict=False))
    assert counts[-1] == len(pids)
    assert most <= len(pids) / 2


def test_a_selector_whose_answer_leaves_no_trace_is_asked_again(tree: Tree) -> None:
    watch = Watch(tree, "processes: [{name: one, cgroup: [/one]}, {name: two, cgroup: [/two]}]")
    tree.process(10, b"a", cgroup="/one", starttime=100)
    assert watch.scrape().counts == {"one": 1, "two": 0}
    tree.process(10, b"a", cgroup="/two", starttime=100)
    tree.uptime(1300)
    assert watch.scrape().counts == {"one": 0, "two": 1}


# Processes that are odd.


def test_a_zombie_counts_and_has_no_sizes(tree: Tree) -> None:
    tree.process(10, b"a", VmRSS=100, minflt=5)
    tree.process(11, b"a", zombie=True, minflt=7)
    page = Watch(tree, AB).scrape()
    assert (page.counts["ab"], page.of("ab", "resident_bytes"), page.of("ab", "threads")) == (2, 102400, 8)
    assert page.of("ab", "resident_largest_bytes") == 102400
    assert page.of("ab", "minor_page_faults_total") == 12


def test_a_group_of_zombies_has_no_sizes_at_all(tree: Tree) -> None:
    tree.process(11, b"a", zombie=True, minflt=7)
    page = Watch(tree, AB).scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 7)
    assert [page.of("ab", metric) for metric in ("resident_bytes", "virtual_bytes", "swap_bytes")] == [None] * 3
    assert page.of("ab", "resident_largest_bytes") is None


@BOTH
def test_a_process_that_becomes_a_zombie_keeps_its_counts(tree: Tree, keep_open: int) -> None:
    tree.process(10, b"a", minflt=5)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    tree.process(10, b"a", zombie=True, minflt=6)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 6)


def test_a_kernel_thread_is_in_a_group_by_comm_only(tree: Tree) -> None:
    tree.process(10, b"kswapd0", kernel_thread=True, utime=300)
    assert Watch(tree, BY_COMM).scrape().counts == {"init": 1}
    assert Watch(tree, "processes: [{name: all, user: [root]}]").scrape().counts == {"all": 1}
    page = Watch(tree, "processes: [{name: reclaim, comm: [kswapd0]}]").scrape()
    assert (page.counts["reclaim"], page.of("reclaim", "cpu_seconds_total", mode="user")) == (1, 3)
    assert page.of("reclaim", "virtual_bytes") is None


@pytest.mark.parametrize(
    ("name", "group"),
    [
        (b"a) (b\n\xff\xfe c", "a) (b\\n�� c"),
        (b"a b", "a b"),
        (b"(((", "((("),
        (b")", ")"),
        (b"(", "("),
        (b") S 1 1 1 1 1 1", ") S 1 1 1 1 1 1"),
        (b"\n\n", "\\n\\n"),
        (b'\\n"', '\\\\n\\"'),
        ("größe".encode(), "größe"),
    ],
)
@BOTH
def test_a_name_may_be_anything(tree: Tree, name: bytes, group: str, keep_open: int) -> None:
    tree.process(10, name, minflt=42)
    page = Watch(tree, BY_COMM, keep_open).scrape()
    shown = group.replace("\\\\", "\0").replace("\\n", "\n").replace('\\"', '"').replace("\0", "\\")
    assert page.of(shown, "minor_page_faults_total") == 42


def test_a_process_without_a_name_is_in_no_group_of_that_name(tree: Tree) -> None:
    tree.process(10, b"")
    assert Watch(tree, BY_COMM).scrape().counts == {"init": 1}


# Processes that go, or can't be read.


def test_a_process_that_goes_between_two_reads_is_silent(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    tree.process(10, b"a", minflt=100)
    tree.process(11, b"a", minflt=10)
    watch = Watch(tree, AB)
    watch.scrape()
    when_opened(tree.root / "10/status", lambda: tree.remove(10))
    tree.process(11, b"a", minflt=11)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 111)
    assert page.errors("ab") == page.errors("") == {}
    assert caplog.records == []


@pytest.mark.parametrize("file", ["stat", "status", "cmdline", "cgroup"])
def test_a_process_that_goes_while_it_is_met_is_silent(tree: Tree, file: str, caplog: pytest.LogCaptureFixture) -> None:
    config = "processes: [{name: a, cmdline: ['^$']}, {name: b, cgroup: [/x]}, {name: all, comm: [a]}]"
    tree.process(10, b"a", [b"x"])
    when_opened(tree.root / "10" / file, lambda: tree.remove(10))
    watch = Watch(tree, config)
    first = watch.scrape()
    assert first.errors("") == {}
    assert watch.scrape().counts == {"a": 1, "b": 0, "all": 0}  # process 1, which has no arguments here
    assert caplog.records == []


def test_a_process_that_goes_while_its_group_gets_room(tree: Tree) -> None:
    """It was folded into "other"; a new one of its name finds room, and it is to come over when it has just gone."""
    config = "max_groups: 2\nprocesses: [{name: '{comm}', user: ['0']}]"
    tree.process(10, b"b", starttime=1)
    tree.process(11, b"c", starttime=1)
    watch = Watch(tree, config)
    page = watch.scrape()
    assert sum(page.counts.values()) == 3
    assert page.counts["other"] == 1
    [folded] = [pid for pid, comm in ((1, "init"), (10, "b"), (11, "c")) if comm not in page.counts]
    name = {1: b"init", 10: b"b", 11: b"c"}[folded]
    gone = next(pid for pid in (10, 11) if pid != folded)
    tree.remove(gone)
    tree.process(20, name, starttime=1000 * HZ)
    for at in (1300, 1600, 1900):
        tree.uptime(at)
        when_opened(tree.root / str(folded) / "status", lambda: tree.remove(folded) if folded != 1 else None)
        page = watch.scrape()
    assert page.counts[name.decode()] >= 1


@BOTH
@pytest.mark.parametrize("file", ["stat", "status"])
def test_a_process_that_cannot_be_read_is_counted_with_its_reason(
    tree: Tree, file: str, keep_open: int, caplog: pytest.LogCaptureFixture
) -> None:
    tree.process(10, b"a", minflt=100, VmRSS=50)
    tree.process(11, b"a", minflt=10, VmRSS=5)
    watch = Watch(tree, AB, keep_open)
    watch.scrape()
    (tree.root / "10" / file).write_bytes(b"VmRSS: nonsense\n")
    page = watch.scrape()
    assert page.errors("ab") == {"parse": 1}
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (2, 110)
    assert page.of("ab", "resident_bytes") == 5 * 1024
    assert watch.scrape().errors("ab") == {"parse": 2}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "further ones are only counted" in caplog.text
    tree.process(10, b"a", minflt=104, VmRSS=50)
    page = watch.scrape()
    assert (page.errors("ab"), page.of("ab", "minor_page_faults_total")) == ({"parse": 2}, 114)
    assert page.of("ab", "resident_bytes") == 55 * 1024


def test_what_none_of_a_group_could_tell_is_not_0(tree: Tree) -> None:
    tree.process(10, b"a", minflt=100, VmRSS=50)
    watch = Watch(tree, AB)
    watch.scrape()
    (tree.root / "10/status").write_bytes(b"nonsense")
    page = watch.scrape()
    assert (page.counts["ab"], page.errors("ab")) == (1, {"parse": 1})
    assert page.of("ab", "resident_bytes") is None
    assert page.of("ab", "minor_page_faults_total") == 100


def test_a_process_that_could_not_be_read_at_first_adds_from_when_it_can(tree: Tree) -> None:
    folder = tree.process(10, b"a", minflt=100)
    whole = (folder / "status").read_bytes()
    (folder / "status").write_bytes(b"nonsense")
    watch = Watch(tree, AB)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 0)
    (folder / "status").write_bytes(whole)
    assert watch.scrape().of("ab", "minor_page_faults_total") == 0
    tree.process(10, b"a", minflt=107)
    assert watch.scrape().of("ab", "minor_page_faults_total") == 7


def test_a_process_that_cannot_be_met_is_tried_again_a_minute_later(tree: Tree) -> None:
    folder = tree.process(10, b"a")
    (folder / "stat").write_bytes(b"nonsense")
    watch = Watch(tree, AB)
    assert watch.scrape().errors("") == {"parse": 1}
    tree.uptime(1059)
    assert watch.scrape().errors("") == {"parse": 1}
    tree.uptime(1060)
    assert watch.scrape().errors("") == {"parse": 2}
    tree.process(10, b"a", minflt=5)
    tree.uptime(1121)
    page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 0)
    (folder / "stat").write_bytes(b"nonsense")
    assert watch.scrape().errors("ab") == {"parse": 1}


def test_one_that_went_before_it_could_be_met_is_forgotten(tree: Tree) -> None:
    (tree.process(10, b"a") / "stat").write_bytes(b"nonsense")
    watch = Watch(tree, AB)
    watch.scrape()
    tree.remove(10)
    watch.scrape()
    tree.process(10, b"a")
    assert watch.scrape().counts["ab"] == 1


def test_an_unwatched_process_that_cannot_be_read_again(tree: Tree) -> None:
    tree.process(10, b"x", starttime=990 * HZ)
    tree.process(11, b"x", starttime=990 * HZ)
    watch = Watch(tree, AB)
    watch.scrape()
    (tree.root / "10/stat").write_bytes(b"nonsense")
    (tree.root / "11/stat").unlink()
    page = watch.scrape()
    assert (page.errors(""), page.counts["ab"]) == ({"parse": 1}, 0)
    tree.process(10, b"a", starttime=990 * HZ)
    tree.process(11, b"a", starttime=990 * HZ)
    watch.scrape()
    assert watch.scrape().counts["ab"] == 2


@given(text=st.binary(max_size=40))
@example(text=b"10 a) S" + b" 1" * 50 + b"\n")
def test_whatever_a_process_shows_costs_that_process_only(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree = Tree(Path(folder) / "proc")
        tree.process(10, b"a", minflt=1, starttime=500)
        tree.process(11, b"b", minflt=10, starttime=500)
        for keep_open in (0, 10):
            tree.process(10, b"a", minflt=1, starttime=500)
            watch = Watch(tree, AB, keep_open)
            watch.scrape()
            for file in ("stat", "status"):
                (tree.root / "10" / file).write_bytes(text)
                page = watch.scrape()
                assert (page.of("ab", "minor_page_faults_total") or 0) >= 11
                assert page.counts["ab"] >= 1
                tree.process(10, b"a", minflt=1, starttime=500)


def test_what_is_no_pid_is_no_process(tree: Tree) -> None:
    for name in ("self", "sys", "1x", "x1", "-1", "10a"):
        (tree.root / name).mkdir()
    (tree.root / "meminfo").write_text("MemTotal: 1 kB\n")
    watch = Watch(tree, BY_COMM)
    assert watch.scrape().counts == watch.scrape().counts == {"init": 1}


# What the kernel hides.


def test_a_listing_without_process_1_is_one_that_hides_processes(tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    tree.process(10, b"a")
    tree.remove(1)
    watch = Watch(tree, AB)
    page = watch.scrape()
    assert (page.counts["ab"], page.errors("")) == (1, {"permission": 1})
    assert watch.scrape().errors("") == {"permission": 2}
    assert len(caplog.records) == 1
    assert "hides processes (hidepid)" in caplog.text


def test_a_process_that_may_not_be_read(open_tree: Tree, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(open_tree, AB)
    with ordinary_user():
        page = watch.scrape()
    assert (page.counts["ab"], page.errors("")) == (0, {"permission": 1})
    (open_tree.root / "10/stat").chmod(0o644)
    open_tree.uptime(1061)
    with ordinary_user():
        page = watch.scrape()
    assert (page.counts["ab"], page.errors("ab"), page.errors("")) == (1, {"permission": 1}, {"permission": 1})
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "/10/stat: Permission denied" in caplog.text
    assert "/10/status: Permission denied" in caplog.text


def test_a_selector_that_may_not_be_answered(open_tree: Tree) -> None:
    for file in ("stat", "status"):
        (open_tree.root / "10" / file).chmod(0o644)
    with ordinary_user():
        page = Watch(open_tree, "processes: [{name: x, cmdline: [x]}, {name: a, comm: [a]}]").scrape()
    assert (page.counts, page.errors("")) == ({"x": 0, "a": 1}, {"permission": 1})


# Calls that block.


def test_a_pipe_in_the_place_of_a_file_holds_nothing_up(tree: Tree) -> None:
    folder = tree.process(10, b"a", [b"x"])
    (folder / "cmdline").unlink()
    os.mkfifo(folder / "cmdline")
    config = "processes: [{name: x, cmdline: [x]}, {name: a, comm: [a]}]"
    assert Watch(tree, config).scrape().counts == {"x": 0, "a": 1}


def test_a_process_whose_command_line_cannot_be_read_in_time(tree: Tree) -> None:
    config = "processes: [{name: x, cmdline: [x]}, {name: a, comm: [a]}]"
    tree.process(10, b"a", [b"x"], starttime=990 * HZ)
    tree.process(11, b"a", [b"x"])
    come_back = threading.Event()
    when_opened(tree.root / "10/cmdline", lambda: come_back.wait(60) and None)
    watch = Watch(tree, config)
    try:
        page = watch.scrape()
        assert (page.counts, page.errors("")) == ({"x": 1, "a": 0}, {"timeout": 1})
        # It is young, and so it is asked again; the call is not made while the first one is under way.
        assert watch.scrape().errors("") == {"timeout": 2}
    finally:
        come_back.set()
    for _ in range(1000):
        if watch.scrape().counts == {"x": 2, "a": 0}:
            break
    assert watch.scrape().counts == {"x": 2, "a": 0}


def test_a_watched_process_stays_where_it_is_while_it_cannot_be_asked(tree: Tree) -> None:
    config = "processes: [{name: x, cmdline: [x]}]"
    tree.process(10, b"a", [b"x"], starttime=990 * HZ, minflt=3)
    watch = Watch(tree, config)
    watch.scrape()
    come_back = threading.Event()
    tree.process(10, b"a", [b"x"], starttime=990 * HZ, minflt=5)
    when_opened(tree.root / "10/cmdline", lambda: come_back.wait(60) and None)
    try:
        page = watch.scrape()
    finally:
        come_back.set()
    assert (page.counts, page.errors("x")) == ({"x": 1}, {"timeout": 1})
    assert page.of("x", "minor_page_faults_total") == 5


# max_groups.


def shown_and_folded(page: Shown) -> tuple[dict[str, int], float]:
    return page.counts, page["vmem_process_groups_folded"]


def test_what_is_beyond_max_groups_is_folded(tree: Tree) -> None:
    tree.process(10, b"b", minflt=1)
    watch = Watch(tree, "max_groups: 2\n" + BY_COMM)
    assert shown_and_folded(watch.scrape()) == ({"init": 1, "b": 1}, 0)
    for pid, comm in ((11, b"c"), (12, b"d"), (13, b"d"), (14, b"b")):
        tree.process(pid, comm, minflt=pid, starttime=1000 * HZ)
    page = watch.scrape()
    assert shown_and_folded(page) == ({"init": 1, "b": 2, "other": 3}, 2)
    assert page.of("other", "minor_page_faults_total") == 36
    assert page.of("other", "resident_largest_bytes") == 40556 * 1024
    tree.remove(11)
    assert shown_and_folded(watch.scrape()) == ({"init": 1, "b": 2, "other": 2}, 1)


def test_an_empty_group_gives_its_room_to_a_new_name(tree: Tree) -> None:
    tree.process(10, b"b", minflt=7)
    watch = Watch(tree, "max_groups: 2\n" + BY_COMM)
    watch.scrape()
    tree.remove(10)
    assert watch.scrape().counts == {"init": 1, "b": 0}
    tree.process(11, b"c", minflt=1, starttime=1000 * HZ)
    assert watch.scrape().counts == {"init": 1, "c": 1}
    tree.remove(11)
    watch.scrape()
    tree.process(12, b"b", minflt=3, starttime=1000 * HZ)
    page = watch.scrape()
    # What it counted while it was last shown is not forgotten.
    assert (page.counts, page.of("b", "minor_page_faults_total")) == ({"init": 1, "b": 1}, 10)


def test_what_was_folded_comes_over_when_its_group_gets_room(tree: Tree) -> None:
    tree.process(10, b"b", minflt=7)
    watch = Watch(tree, "max_groups: 2\n" + BY_COMM)
    watch.scrape()
    tree.process(11, b"c", minflt=100, starttime=1000 * HZ)
    assert watch.scrape().counts == {"init": 1, "b": 1, "other": 1}
    tree.remove(10)
    tree.process(11, b"c", minflt=105, starttime=1000 * HZ)
    watch.scrape()
    tree.uptime(1010)
    tree.process(12, b"c", minflt=20, starttime=1001 * HZ)
    page = watch.scrape()
    assert shown_and_folded(page) == ({"init": 1, "c": 2, "other": 0}, 0)
    # The one that was there before adds from now on, the new one all it has done.
    assert (page.of("other", "minor_page_faults_total"), page.of("c", "minor_page_faults_total")) == (105, 20)
    tree.process(11, b"c", minflt=106, starttime=1000 * HZ)
    page = watch.scrape()
    assert (page.of("other", "minor_page_faults_total"), page.of("c", "minor_page_faults_total")) == (105, 21)


def test_fixed_names_are_there_whatever_max_groups_says(tree: Tree) -> None:
    tree.process(10, b"b")
    tree.process(11, b"c")
    config = (
        "max_groups: 1\nprocesses: [{name: one, comm: [x]}, {name: two, comm: [y]}, {name: '{comm}', comm: [b, c]}]"
    )
    page = Watch(tree, config).scrape()
    assert shown_and_folded(page) == ({"one": 0, "two": 0, "other": 2}, 2)


def test_a_process_that_is_called_other_is_not_one_that_was_folded(tree: Tree) -> None:
    tree.process(10, b"other", minflt=1)
    page = Watch(tree, BY_COMM).scrape()
    assert shown_and_folded(page) == ({"init": 1, "other": 1}, 0)


def test_counters_do_not_fall_while_names_come_and_go(tree: Tree) -> None:
    watch = Watch(tree, "max_groups: 3\n" + BY_COMM)
    seen: dict[str, float] = {}
    for turn in range(40):
        tree.uptime(1000 + turn)
        for pid in range(10, 16):
            if (turn + pid) % 3:
                tree.process(pid, b"n%d" % (pid * turn % 7), minflt=turn + pid, starttime=(1000 + turn) * HZ)
            elif (tree.root / str(pid)).exists():
                tree.remove(pid)
        for key, value in watch.scrape().items():
            if "_total" in key:
                assert value >= seen.get(key, 0), key
                seen[key] = value


# Reloads.


def test_a_group_that_is_renamed_starts_anew_and_goes_on_when_it_is_back(tree: Tree) -> None:
    tree.process(10, b"a", minflt=100)
    watch = Watch(tree, AB)
    watch.scrape()
    watch.reload("processes: [{name: new, comm: [a]}]")
    tree.process(10, b"a", minflt=110)
    page = watch.scrape()
    assert (page.counts, page.of("new", "minor_page_faults_total")) == ({"new": 1}, 0)
    assert not of(page, 'vmem_process_count{group="ab"')
    watch.reload(AB)
    tree.process(10, b"a", minflt=115)
    page = watch.scrape()
    assert page.counts == {"ab": 1, "c": 0}
    was = page.of("ab", "minor_page_faults_total")
    assert was is not None
    assert 100 <= was <= 110
    tree.process(10, b"a", minflt=118)
    assert watch.scrape().of("ab", "minor_page_faults_total") == was + 3


def test_a_reload_that_changes_nothing_of_a_group_loses_nothing_of_it(tree: Tree) -> None:
    tree.process(10, b"a", minflt=100)
    watch = Watch(tree, AB)
    watch.scrape()
    tree.process(10, b"a", minflt=110)
    watch.reload(AB + "\nmax_groups: 5")
    assert watch.scrape().of("ab", "minor_page_faults_total") == 110


def test_another_label_is_another_series(tree: Tree) -> None:
    tree.process(10, b"a", minflt=100)
    watch = Watch(tree, AB)
    watch.scrape()
    watch.reload("processes: [{name: ab, comm: [a], labels: {team: x}}]")
    tree.process(10, b"a", minflt=101)
    page = watch.scrape()
    assert page.of("ab", "count", team="x") == 1
    assert page.of("ab", "minor_page_faults_total", team="x") == 0
    assert page.of("ab", "minor_page_faults_total") is None


def test_after_a_reload_every_process_is_asked_again(tree: Tree) -> None:
    tree.uptime(100_000)
    tree.process(10, b"a", starttime=1, minflt=50)
    tree.process(11, b"x", starttime=1, minflt=50)
    watch = Watch(tree, AB)
    assert watch.scrape().counts == {"ab": 1, "c": 0}
    watch.reload("processes: [{name: all, comm: [a, x]}]")
    page = watch.scrape()
    assert (page.counts, page.of("all", "minor_page_faults_total")) == ({"all": 2}, 0)
    watch.reload("processes: []")
    assert watch.scrape().counts == {}


def test_options_change_with_a_reload(tree: Tree) -> None:
    tree.process(10, b"a")
    (tree.root / "10/oom_score").write_text("667\n")
    (tree.root / "10/oom_score_adj").write_text("-5\n")
    watch = Watch(tree, AB)
    assert watch.scrape().of("ab", "oom_score_largest") is None
    watch.reload("processes: [{name: ab, comm: [a, b], oom_score: true}]")
    page = watch.scrape()
    assert (page.of("ab", "oom_score_largest"), page.of("ab", "oom_score_adj_largest")) == (667, -5)


# Options.


def test_each_process_by_itself(tree: Tree) -> None:
    for pid, size in ((10, 500), (11, 900), (12, 700)):
        tree.process(pid, b"a", VmRSS=size, minflt=pid, starttime=100 * pid)
        (tree.root / f"{pid}/oom_score").write_text(f"{pid}\n")
    tree.process(13, b"a", zombie=True)
    config = (
        "processes: [{name: g, comm: [a], labels: {team: x}, per_process: true, max_processes: 2, oom_score: true}]"
    )
    page = Watch(tree, config).scrape()
    shown = {key: value for key, value in page.items() if key.startswith("vmem_pid_resident_bytes")}
    labels = {"group": "g", "team": "x", "comm": "a"}
    assert shown == {
        series("vmem_pid_resident_bytes", pid=11, **labels): 900 * 1024,
        series("vmem_pid_resident_bytes", pid=12, **labels): 700 * 1024,
    }
    assert page[series("vmem_pid_minor_page_faults_total", pid=12, **labels)] == 12
    assert page[series("vmem_pid_start_time_seconds", pid=12, **labels)] == 1795492209 + 12
    assert page[series("vmem_pid_oom_score", pid=11, **labels)] == 11
    assert page[series("vmem_pid_cpu_seconds_total", pid=11, mode="user", **labels)] == 0.01
    assert page[series("vmem_process_count", group="g", team="x")] == 4


def test_each_process_when_there_are_fewer(tree: Tree) -> None:
    tree.process(13, b"a", zombie=True, minflt=3)
    page = Watch(tree, "processes: [{name: g, comm: [a], per_process: true}]").scrape()
    assert page[series("vmem_pid_minor_page_faults_total", pid=13, group="g", comm="a")] == 3
    assert not of(page, "vmem_pid_resident_bytes")


def test_a_score_that_cannot_be_read(tree: Tree) -> None:
    for pid in (10, 11):
        tree.process(pid, b"a")
    (tree.root / "10/oom_score").write_text("nonsense\n")
    (tree.root / "11/oom_score_adj").write_text("-1000\n")
    page = Watch(tree, "processes: [{name: g, comm: [a], oom_score: true}]").scrape()
    assert page.errors("g") == {"parse": 1}
    assert (page.of("g", "oom_score_largest"), page.of("g", "oom_score_adj_largest")) == (None, -1000)


def test_processes_by_the_cgroup_that_they_are_in(tree: Tree) -> None:
    tree.process(10, b"a", cgroup="/lab/web", VmRSS=100)
    tree.process(11, b"a", cgroup="/lab/web/worker", VmRSS=10)
    tree.process(12, b"a", cgroup="/lab/db", VmRSS=1)
    config = """
processes: [{name: g, comm: [a], by_cgroup: true}]
cgroups: [{name: c, path: '/lab/*', labels_from: '/lab/(?P<app>\\w+)$'}]
"""
    page = Watch(tree, config).scrape()
    found = of(page, "vmem_process_resident_bytes")
    assert found == {
        series("vmem_process_resident_bytes", group="g", cgroup="/lab/web", app="web"): 110 * 1024,
        series("vmem_process_resident_bytes", group="g", cgroup="/lab/db", app="db"): 1024,
    }
    tree.remove(10)
    tree.remove(11)
    tree.remove(12)
    assert Watch(tree, config).scrape().counts == {"g": 0}


# The clocks.


@pytest.mark.parametrize("file", ["uptime", "stat"])
def test_without_the_clocks_there_is_nothing_to_say(tree: Tree, file: str) -> None:
    from exporter.errors import ParseError

    (tree.root / file).unlink()
    with pytest.raises(ParseError, match=f"/{file}: found b'', expected"):
        Watch(tree, AB).scrape()


def test_files_are_kept_open_for_so_many_and_closed_when_they_go(tree: Tree) -> None:
    def descriptors() -> int:
        return sum(os.readlink(f"/proc/self/fd/{fd}").startswith(tree.path) for fd in open_now())

    def open_now() -> list[str]:
        return [fd for fd in os.listdir("/proc/self/fd") if os.path.islink(f"/proc/self/fd/{fd}")]

    for pid in range(10, 15):
        tree.process(pid, b"a")
    watch = Watch(tree, AB, keep_open=3)
    watch.scrape()
    assert descriptors() == 6
    for pid in range(10, 15):
        tree.process(pid, b"x")
    watch.scrape()
    assert descriptors() == 0
    for pid in range(20, 22):
        tree.process(pid, b"a", minflt=9)
    watch.scrape()
    assert descriptors() == 4
    tree.remove(20)
    assert watch.scrape().counts["ab"] == 1
    assert descriptors() == 2
    watch.reload("processes: []")
    watch.scrape()
    assert descriptors() == 0


def test_files_that_cannot_be_kept_open_are_read_by_name(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(path: str) -> int | None:
        return None if path.endswith("/status") else os.open(path, os.O_RDONLY)

    monkeypatch.setattr(processes, "keep", keep)
    tree.process(10, b"a", minflt=3)
    watch = Watch(tree, AB, keep_open=5)
    open_before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        page = watch.scrape()
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (1, 3)
    assert len(os.listdir("/proc/self/fd")) == open_before


def test_a_process_that_goes_between_its_two_kept_files(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.process(10, b"a", minflt=3)
    watch = Watch(tree, AB, keep_open=5)
    watch.scrape()
    watch.scrape()
    kept = processes.again
    answers: list[bytes | None] = []

    def again(fd: int, owner: object) -> bytes | None:
        answers.append(kept(fd, owner) if not answers else None)
        return answers[-1]

    monkeypatch.setattr(processes, "again", again)
    tree.remove(10)
    # The listing still has it, as it has when a process goes while it is read.
    monkeypatch.setattr(processes, "listing", lambda path: ["1", "10"])
    page = watch.scrape()
    assert len(answers) == 2
    assert (page.counts["ab"], page.of("ab", "minor_page_faults_total")) == (0, 3)
    assert page.errors("ab") == {}


def test_only_so_many_groups_are_remembered(tree: Tree) -> None:
    watch = Watch(tree, "{processes: [{name: '{comm}', comm: [a, b, c, d, e, f, g, h, i, j, k, l]}], max_groups: 1}")
    for comm in "abcdefghijkl":
        tree.process(10, comm.encode(), minflt=5, starttime=1000 * HZ + ord(comm))
        tree.last_pid(ord(comm))
        watch.scrape()
        tree.remove(10)
        watch.scrape()
    tree.process(10, b"a", minflt=1, starttime=2000 * HZ)
    assert watch.scrape().of("a", "minor_page_faults_total") == 1
    tree.remove(10)
    watch.scrape()
    tree.process(10, b"l", minflt=1, starttime=3000 * HZ)
    assert watch.scrape().of("l", "minor_page_faults_total") == 6


def test_a_bug_in_matching_is_the_collectors_failure(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def decide(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(processes, "decide", decide)
    tree.process(10, b"a")
    with pytest.raises(ZeroDivisionError):
        Watch(tree, AB).scrape()


def test_a_bug_in_the_reading_of_smaps_is_the_collectors_failure(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    def rollup(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(smaps, "smaps_rollup", rollup)
    (tree.process(10, b"a") / "smaps_rollup").write_bytes(b"")
    with pytest.raises(ZeroDivisionError):
        Watch(tree, "processes: [{name: a, comm: [a], smaps: true}]").scrape()
