"""Groups: how many there may be, what a reload makes of them, and what their options show."""

from support.page import of, series
from unit.tree import AB, BY_COMM, HZ, Shown, Tree, Watch

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
