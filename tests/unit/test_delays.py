"""The kernel's delay accounting: answers as kernels gave them, damaged ones, and what becomes of them in a group."""

import errno
import os
import struct
from contextlib import closing, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.page import Page, of, series
from support.taskstats import layout
from unit.tree import FIXTURES, Tree, Watch

from exporter.catalog.process import Delays
from exporter.errors import ParseError, Refused
from exporter.kernel.taskstats import Taskstats, attribute, delays, payload, request
from exporter.watch import delays as watched

CAPTURED = FIXTURES / "taskstats"
METRIC = "vmem_process_delay_seconds_total"
CONFIG = """
processes:
- {name: a, comm: [a], delays: true, per_process: true}
- {name: b, comm: [b], delays: true}
- {name: c, comm: [c]}
"""
SECOND = 1_000_000_000
REFUSED = Refused("taskstats", PermissionError(errno.EPERM, "Operation not permitted"))


# The answer.


def stats(answer: bytes) -> bytes:
    """The struct in an answer: an attribute in an attribute."""
    return attribute(attribute(payload(answer), 5), 3)


@pytest.mark.parametrize(
    ("kernel", "version", "expected"),
    [
        ("6.1", 13, Delays(65331584, 522653011, 0, 0)),
        ("6.18", 16, Delays(8967541, 219090514, 0, 0)),
    ],
)
def test_captured_answers(kernel: str, version: int, expected: Delays) -> None:
    found = stats((CAPTURED / kernel).read_bytes())
    assert struct.unpack_from("=H", found)[0] == version
    assert delays(found) == expected


@pytest.mark.parametrize(("version", "between"), [(14, ()), (15, ("delay_max", "delay_min")), (16, ()), (17, ())])
def test_a_version_has_its_layout(version: int, between: tuple[str, ...]) -> None:
    struct = layout(*between)(
        version=version,
        cpu_delay_total=9,
        blkio_delay_total=9,
        swapin_delay_total=1,
        freepages_delay_total=2,
        thrashing_delay_total=3,
        compact_delay_total=4,
    )
    assert delays(bytes(struct)) == Delays(1, 2, 3, 4)


def test_a_version_lacks_what_came_later() -> None:
    text = bytes(layout()(version=8, swapin_delay_total=1, freepages_delay_total=2))
    assert delays(text[:328]) == Delays(1, 2, None, None)
    assert delays(text[:344]) == Delays(1, 2, 0, None)
    with pytest.raises(ParseError, match="^taskstats: found .*, expected struct taskstats$"):
        delays(text[:63])


def test_the_kernels_refusal_is_an_error() -> None:
    refusal = struct.pack("=IHHIIi", 36, 2, 0, 1, 0, -errno.EPERM) + bytes(16)
    with pytest.raises(PermissionError, match="Operation not permitted"):
        payload(refusal)


def spoiled(at: int, by: bytes) -> bytes:
    text = (CAPTURED / "6.18").read_bytes()
    return text[:at] + by + text[at + len(by) :]


@given(st.one_of(st.binary(), st.builds(spoiled, st.integers(0, 50), st.binary(max_size=8))))
def test_any_bytes_are_an_answer_or_an_error(text: bytes) -> None:
    with suppress(ParseError, OSError):
        assert len(delays(stats(text))) == 4


@pytest.mark.parametrize("length", range(0, 596, 7))
def test_an_answer_cut_short(length: int) -> None:
    with pytest.raises(ParseError, match="^taskstats: found "):
        stats((CAPTURED / "6.18").read_bytes()[:length])


def test_an_answer_without_what_was_asked_for() -> None:
    only = struct.pack("=HH", 8, 7) + b"1234"
    assert attribute(only, 7) == b"1234"
    with pytest.raises(ParseError, match="expected an attribute of kind 8$"):
        attribute(only, 8)


def test_a_request_is_padded_to_four_bytes() -> None:
    text = request(16, 3, 2, b"TASKSTATS\0", 7)
    assert len(text) == struct.unpack_from("=I", text)[0] == 16 + 4 + 4 + 12


def test_an_answer_to_an_earlier_request_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        asked = Taskstats()
    except Refused as error:
        pytest.skip(str(error))
    asked._socket.send(request(16, 3, 2, b"TASKSTATS\0", 99))
    monkeypatch.setattr(asked, "_family", 1000)
    # There is no such family: what comes is the refusal of this request, not the answer before it.
    with closing(asked._socket), pytest.raises(Refused, match="^taskstats: No such file or directory$"):
        asked.read(1)


# What becomes of it.


class Kernel:
    """Stands for the kernel: the seconds that it says each process has waited for swap."""

    def __init__(self) -> None:
        self.waited: dict[int, float | Exception | None] = {}
        self.refuses: Exception | None = None

    def __call__(self) -> "Kernel":
        return self

    def read(self, pid: int) -> Delays | None:
        if self.refuses:
            raise self.refuses
        waited = self.waited.get(pid, 0)
        if isinstance(waited, Exception):
            raise waited
        return None if waited is None else Delays(int(waited * SECOND), 0, 0, None)


@pytest.fixture
def kernel(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    (tree.root / "self").symlink_to(str(os.getpid()))
    made = Kernel()
    monkeypatch.setattr(watched, "Taskstats", made)
    return made


def swapin(page: Page, group: str) -> float | None:
    return page.get(series(METRIC, group=group, cause="swapin"))


def test_a_group_is_the_sum_of_its_processes_and_a_cause_that_the_kernel_lacks_is_absent(
    tree: Tree, kernel: Kernel
) -> None:
    for pid, comm in (10, b"a"), (11, b"a"), (12, b"c"):
        tree.process(pid, comm)
    kernel.waited = {10: 1.5, 11: 2.25, 12: 7}
    page = Watch(tree, CONFIG).scrape()
    assert of(page, METRIC) == {
        series(METRIC, group=group, cause=cause): value if cause == "swapin" else 0
        for group, value in (("a", 3.75), ("b", 0))
        for cause in ("swapin", "reclaim", "thrashing")
    }
    of_one = "vmem_pid_delay_seconds_total"
    assert page[series(of_one, group="a", pid=11, comm="a", cause="swapin")] == 2.25
    assert {key for key in page if key.startswith(of_one)} == {
        series(of_one, group="a", pid=pid, comm="a", cause=cause)
        for pid in (10, 11)
        for cause in ("swapin", "reclaim", "thrashing")
    }


def test_a_groups_count_never_falls(tree: Tree, kernel: Kernel) -> None:
    tree.process(10, b"a")
    tree.process(11, b"a")
    kernel.waited = {10: 5, 11: 1}
    watch = Watch(tree, CONFIG)
    assert swapin(watch.scrape(), "a") == 6
    tree.remove(10)
    assert swapin(watch.scrape(), "a") == 6
    kernel.waited[11] = 2
    assert swapin(watch.scrape(), "a") == 7
    kernel.waited[11] = 0.5
    assert swapin(watch.scrape(), "a") == 7
    kernel.waited[11] = 1
    assert swapin(watch.scrape(), "a") == 7.5


def test_a_process_that_was_there_adds_from_when_it_joins(tree: Tree, kernel: Kernel) -> None:
    tree.process(10, b"a")
    kernel.waited = {10: 5}
    watch = Watch(tree, CONFIG)
    watch.scrape()
    tree.process(10, b"b", start_stack=1)
    page = watch.scrape()
    assert (swapin(page, "a"), swapin(page, "b")) == (5, 0)
    kernel.waited[10] = 8
    page = watch.scrape()
    assert (swapin(page, "a"), swapin(page, "b")) == (5, 3)
    tree.uptime(1001)
    tree.process(11, b"b", starttime=100_000)
    kernel.waited[11] = 10
    assert swapin(watch.scrape(), "b") == 13


def test_a_process_that_goes_while_it_is_asked_for_keeps_its_count(tree: Tree, kernel: Kernel) -> None:
    tree.process(10, b"a")
    tree.process(11, b"a")
    kernel.waited = {10: 5, 11: None}
    watch = Watch(tree, CONFIG)
    assert swapin(watch.scrape(), "a") == 5
    kernel.waited[10] = None
    page = watch.scrape()
    assert swapin(page, "a") == 5
    assert page.errors("a") == {}


def test_a_process_that_cannot_be_read_is_counted(tree: Tree, kernel: Kernel) -> None:
    tree.process(10, b"a")
    watch = Watch(tree, CONFIG)
    assert watch.scrape().errors("a") == {}
    kernel.waited[10] = REFUSED
    assert watch.scrape().errors("a") == {"permission": 1}


def test_where_no_entry_asks_the_kernel_is_not_asked(
    tree: Tree, kernel: Kernel, caplog: pytest.LogCaptureFixture
) -> None:
    tree.process(10, b"a")
    kernel.refuses = REFUSED
    assert not of(Watch(tree, "processes: [{name: a, comm: [a]}]").scrape(), METRIC)
    assert caplog.messages == []


def switch(tree: Tree, value: str) -> None:
    path = tree.root / "sys/kernel/task_delayacct"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value)


def hidden(tree: Tree) -> None:
    (tree.root / "self").unlink()
    (tree.root / "self").symlink_to("1")


@pytest.mark.parametrize(
    ("obstacle", "says"),
    [
        ("switch", "sys/kernel/task_delayacct is 0, expected 1"),
        ("namespace", "is of another pid namespace"),
        ("right", "taskstats: Operation not permitted, expected CAP_NET_ADMIN"),
        ("garbage", "taskstats: found b'x', expected struct taskstats, expected CAP_NET_ADMIN"),
    ],
)
def test_where_the_kernel_does_not_tell_there_is_one_line_and_no_sample(
    tree: Tree, kernel: Kernel, obstacle: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    tree.process(10, b"a")
    if obstacle == "switch":
        switch(tree, "0\n")
    elif obstacle == "namespace":
        hidden(tree)
    else:
        kernel.refuses = REFUSED if obstacle == "right" else ParseError("taskstats", b"x", "struct taskstats")
    watch = Watch(tree, CONFIG)
    assert not of(watch.scrape(), METRIC)
    assert not of(watch.scrape(), METRIC)
    [line] = caplog.messages
    assert line.startswith("delays can't be read, they have no samples: ")
    assert says in line


def test_counting_goes_on_when_the_kernel_tells_again(tree: Tree, kernel: Kernel) -> None:
    tree.process(10, b"a")
    kernel.waited = {10: 5}
    watch = Watch(tree, CONFIG)
    switch(tree, "1\n")
    assert swapin(watch.scrape(), "a") == 5
    switch(tree, "0\n")
    assert swapin(watch.scrape(), "a") is None
    kernel.waited = {10: 6}
    switch(tree, "1\n")
    assert swapin(watch.scrape(), "a") == 6


def test_where_the_kernel_has_no_such_family(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")

    monkeypatch.setattr("socket.socket", refuse)
    with pytest.raises(Refused, match="^taskstats: Protocol not supported$"):
        Taskstats()
