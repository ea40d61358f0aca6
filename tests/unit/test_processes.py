"""Watched processes from one scrape to the next: who is in which group, and what the group has then counted."""

import pytest
from unit.tree import AB, BOTH, BY_COMM, FIXTURES, HZ, KERNELS, Tree, Watch

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
