"""Calls that may block: none holds up the others, and no more than a few threads are ever lost to them."""

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence

import pytest
from support.daemon import until

from exporter import lane as lane_module
from exporter.errors import Unavailable
from exporter.lane import STUCK, Job, Lane

SHORT = 0.25  # the patience with a call that never comes back
LONG = 60.0  # a patience that no test uses up


class Blocking:
    """Calls that wait to be released."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.begun = 0
        self.ended = 0

    def __call__(self) -> str:
        self.begun += 1
        self.release.wait(LONG)
        self.ended += 1
        return "late"


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    made = Blocking()
    yield made
    made.release.set()


def gives(value: object) -> Callable[[], object]:
    return lambda: value


def threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_what_calls_return_and_raise_comes_in_order() -> None:
    error = ValueError("no")

    def fails() -> object:
        raise error

    jobs: list[Job] = [("a", gives(1)), ("b", fails), ("c", gives(None))]
    assert Lane("t").run(jobs, patience=LONG) == [("a", 1), ("b", error), ("c", None)]
    assert Lane("t").run([], patience=LONG) == []


def test_calls_are_made_beside_the_caller_one_after_the_other() -> None:
    made_in: list[threading.Thread] = []
    Lane("beside").run([(i, lambda: made_in.append(threading.current_thread())) for i in range(3)], patience=LONG)
    assert len(set(made_in)) == 1
    assert (made_in[0].name, made_in[0].daemon) == ("beside", True)
    assert made_in[0] is not threading.current_thread()


def test_a_call_that_does_not_come_back_holds_up_no_other(blocking: Blocking) -> None:
    lane = Lane("stuck")
    jobs: list[Job] = [("before", gives(1)), ("stuck", blocking), ("behind", gives(2)), ("last", gives(3))]
    assert lane.run(jobs, patience=SHORT) == [("before", 1), ("stuck", STUCK), ("behind", 2), ("last", 3)]
    assert threads("stuck") == 2


def test_a_stuck_call_is_not_tried_again_until_it_has_come_back(blocking: Blocking) -> None:
    lane = Lane("again")
    assert lane.run([("k", blocking)], patience=SHORT) == [("k", STUCK)]
    for _ in range(3):
        assert lane.run([("k", blocking), ("other", gives(1))], patience=LONG) == [("k", STUCK), ("other", 1)]
    assert (blocking.begun, threads("again")) == (1, 2)
    blocking.release.set()
    until(lambda: threads("again") == 1, "the thread that was left behind has ended")
    assert lane.run([("k", gives("anew")), ("other", gives(1))], patience=LONG) == [("k", "anew"), ("other", 1)]
    # What it returned when it was too late is nobody's, and what came behind it was not done twice.
    assert (blocking.begun, blocking.ended) == (1, 1)


def test_the_rest_of_a_batch_is_not_done_by_the_thread_that_was_left_behind(blocking: Blocking) -> None:
    done: list[int] = []
    jobs: list[Job] = [("k", blocking), *((i, lambda i=i: done.append(i)) for i in range(3))]  # type: ignore[misc]
    Lane("rest").run(jobs, patience=SHORT)
    assert done == [0, 1, 2]
    blocking.release.set()
    until(lambda: threads("rest") == 0, "the thread has ended")
    assert done == [0, 1, 2]


def test_no_more_threads_are_lost_than_the_lane_has(blocking: Blocking) -> None:
    lane = Lane("bound", threads=2)
    jobs: list[Job] = [(i, blocking) for i in range(5)]
    assert lane.run(jobs, patience=SHORT) == [(i, STUCK) for i in range(5)]
    assert (blocking.begun, threads("bound")) == (2, 2)
    # With all of them lost nothing is tried, whatever it is.
    assert lane.run([("new", gives(1))], patience=LONG) == [("new", STUCK)]
    assert threads("bound") == 2
    blocking.release.set()
    until(lambda: threads("bound") == 0, "the threads have ended")
    assert lane.run([("new", gives(1))], patience=LONG) == [("new", 1)]


def test_patience_is_for_each_call_and_not_for_all() -> None:
    jobs: list[Job] = [(i, lambda: time.sleep(SHORT / 2)) for i in range(6)]
    assert Lane("each").run(jobs, patience=SHORT * 4) == [(i, None) for i in range(6)]


def test_nothing_is_begun_when_the_budget_is_used_up() -> None:
    over = threading.Event()
    begun: list[int] = []

    def first() -> None:
        begun.append(0)
        over.wait(LONG)

    def wait_for_the_end_of_the_budget() -> None:
        time.sleep(SHORT * 2)
        over.set()

    threading.Thread(target=wait_for_the_end_of_the_budget).start()
    jobs: list[Job] = [(0, first), *((i, lambda i=i: begun.append(i)) for i in range(1, 4))]  # type: ignore[misc]
    assert Lane("budget").run(jobs, patience=LONG, budget=SHORT) == [(0, None)]
    assert begun == [0]


def test_a_stuck_call_uses_up_the_budget_of_those_behind_it(blocking: Blocking) -> None:
    jobs: list[Job] = [("k", blocking), ("behind", gives(1))]
    assert Lane("used up").run(jobs, patience=SHORT * 2, budget=SHORT) == [("k", STUCK)]


def test_nothing_is_begun_without_a_budget() -> None:
    assert Lane("none").run([("a", gives(1))], patience=LONG, budget=-1) == []


class LateLock:
    """A lock that the caller gets, once the calls have begun, when they have come back."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.back = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread() and self.begun.is_set():
            assert self.back.wait(LONG)
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        if threading.current_thread() is not threading.main_thread():
            self.back.set()


@pytest.mark.parametrize("behind", [0, 1])
def test_a_call_that_comes_back_when_it_is_given_up_is_not_lost(monkeypatch: pytest.MonkeyPatch, behind: int) -> None:
    lane, lock = Lane("late"), LateLock()
    monkeypatch.setattr(lane, "_lock", lock)

    def late() -> None:
        lock.begun.set()
        time.sleep(SHORT * 2)

    jobs: list[Job] = [("k", late), *((i, gives(None)) for i in range(behind))]
    assert lane.run(jobs, patience=SHORT) == [("k", None), *((i, None) for i in range(behind))]


class Slow:
    """A key that lets something happen when it is looked for."""

    def __init__(self) -> None:
        self.when_looked_for: list[Callable[[], None]] = []

    def __hash__(self) -> int:
        if self.when_looked_for and threading.current_thread() is threading.main_thread():
            self.when_looked_for.pop(0)()
        return 1

    def __eq__(self, other: object) -> bool:
        return self is other


def test_a_call_that_comes_back_while_it_is_looked_for_is_answered_once(blocking: Blocking) -> None:
    lane, key = Lane("while"), Slow()
    outcome: list[tuple[Hashable, object]] = lane.run([(key, blocking)], patience=SHORT)
    assert outcome == [(key, STUCK)]

    def come_back() -> None:
        blocking.release.set()
        until(lambda: threads("while") == 0, "the thread has ended")

    key.when_looked_for = [lambda: None, come_back]
    assert len(lane.run([(key, gives("anew"))], patience=LONG)) == 1


def test_one_thread_serves_all_calls_and_ends_with_the_lane() -> None:
    lane, made_in = Lane("kept"), set[int | None]()
    for _ in range(3):
        lane.run([("k", lambda: made_in.add(threading.current_thread().ident))], patience=LONG)
    assert (len(made_in), threads("kept")) == (1, 1)
    del lane
    until(lambda: threads("kept") == 0, "the thread has ended")


def test_what_a_call_returned_does_not_live_until_the_next() -> None:
    class Big:
        pass

    lane = Lane("big")
    [(_, big)] = lane.run([("k", Big)], patience=LONG)
    kept = weakref.ref(big)
    del big
    until(lambda: kept() is None, "it is gone")


def test_without_memory_for_the_outcome_it_is_said_and_the_lane_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(list[object]):
        def append(self, outcome: object) -> None:
            raise MemoryError

    lane = Lane("memory")
    made = lane_module._Batch.__init__

    def make(batch: lane_module._Batch, jobs: Sequence[Job], deadline: float) -> None:
        made(batch, jobs, deadline)
        batch.done = Full()  # type: ignore[assignment]

    with monkeypatch.context() as patch:
        patch.setattr(lane_module._Batch, "__init__", make)
        for _ in range(3):
            with pytest.raises(Unavailable, match="no memory for a reading"):
                lane.run([("k", gives(1))], patience=LONG)
    assert lane.run([("k", gives(1))], patience=LONG) == [("k", 1)]
    assert threads("memory") == 1


def test_without_a_thread_it_is_said_and_the_lane_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    lane = Lane("no thread")
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Unavailable, match="no thread for a reading: can't start new thread"):
            lane.run([("k", gives(1))], patience=LONG)
    assert lane.run([("k", gives(1))], patience=LONG) == [("k", 1)]
