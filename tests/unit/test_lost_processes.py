"""Processes that go, are hidden, are damaged or block while they are read: each costs itself, and says so."""

import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from unit.tree import AB, BOTH, BY_COMM, HZ, Tree, Watch, ordinary_user, when_opened

from exporter.watch import processes, smaps

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


def test_what_is_no_pid_comes_and_goes_as_processes_do(tree: Tree) -> None:
    (tree.root / "fs").mkdir()
    tree.process(10, b"a")
    watch = Watch(tree, BY_COMM)
    assert watch.scrape().counts == {"init": 1, "a": 1}
    # As many come as go, of the one kind or the other: their number alone would not tell.
    (tree.root / "fs").rmdir()
    tree.process(11, b"b")
    assert watch.scrape().counts == {"init": 1, "a": 1, "b": 1}
    tree.remove(10)
    (tree.root / "fs").mkdir()
    assert watch.scrape().counts == {"init": 1, "a": 0, "b": 1}
    tree.remove(11)
    tree.process(12, b"c")
    assert watch.scrape().counts == {"init": 1, "a": 0, "b": 0, "c": 1}


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


def test_a_cgroup_that_cannot_be_read_where_a_group_is_named_by_it(tree: Tree) -> None:
    (tree.process(10, b"a") / "cgroup").write_text("nonsense\n")
    tree.process(11, b"a", cgroup="/x")
    page = Watch(tree, "processes: [{name: a, comm: [a], by_cgroup: true}]").scrape()
    assert (page.of("a", "count", cgroup="/x"), page.errors("")) == (1, {"parse": 1})


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


# The clocks.


@pytest.mark.parametrize("file", ["uptime", "stat"])
def test_without_the_clocks_there_is_nothing_to_say(tree: Tree, file: str) -> None:
    from exporter.errors import ParseError

    (tree.root / file).unlink()
    with pytest.raises(ParseError, match=f"/{file}: found b'', expected"):
        Watch(tree, AB).scrape()


# Files that are kept open.


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


# Bugs.


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
