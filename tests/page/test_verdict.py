"""What each entry makes of a process: that it is what matching decides, and how it is said."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.facts import Facts, facts

from exporter.config import ProcessEntry, Selectors, parse
from exporter.errors import ParseError, Refused
from exporter.watch.glob import compile_glob
from exporter.watch.match import decide
from exporter.watch.verdict import Answer, Outcome, Verdict, verdicts

DENIED = Refused("/proc/5/exe", PermissionError(13, "Permission denied"))
DAMAGED = ParseError("/proc/5/cgroup", b"x", "lines of the form ID:CONTROLLERS:PATH")


def java(**secret: Refused | ParseError) -> Facts:
    process = facts(argv=("/opt/java", "-jar", "shop.jar", "--password=secret"), cgroup="/system.slice/shop.service")
    process.secret.update(secret)
    return process


TEXTS = st.sampled_from(["a", "b", "ab", "/a", "/a/b", ""])
GLOBS = st.lists(st.sampled_from(["a", "*", "/a", "/**", "?b"]).map(compile_glob), max_size=2).map(tuple)
REGEXES = st.lists(st.sampled_from(["a", "(?P<x>b)?", "^$", "a (?P<x>b?)"]).map(re.compile), max_size=2).map(tuple)
SELECTORS = st.builds(
    Selectors,
    comm=st.lists(st.sampled_from([b"a", b"b", b"kswapd0"]), max_size=2).map(tuple),
    exe=GLOBS,
    argv0=GLOBS,
    cmdline=REGEXES,
    user=st.lists(st.sampled_from(["a", "0"]), max_size=2).map(tuple),
    cgroup=GLOBS,
)
NOTHING = st.just(Selectors())


@st.composite
def entries(draw: st.DrawFn) -> ProcessEntry:
    select, exclude = draw(SELECTORS | NOTHING), draw(NOTHING | SELECTORS)
    names = ["fixed", "{comm}", "{exe}", "{user}", "{cgroup}", "{comm}{user}"]
    if any(pattern.groupindex for pattern in select.cmdline):
        names.append("{x}")
    return ProcessEntry(name=draw(st.sampled_from(names)), select=select, exclude=exclude)


PROCESSES = st.builds(
    Facts,
    comm=st.sampled_from([b"a", b"b", b"", b"kswapd0"]),
    kernel_thread=st.booleans(),
    known=st.fixed_dictionaries(
        {
            "exe": TEXTS,
            "argv": st.lists(TEXTS, max_size=2).map(tuple),
            "user": st.sampled_from([(), ("a", "1"), ("0",)]),
            "cgroup": TEXTS,
        }
    ),
    secret=st.dictionaries(
        st.sampled_from(["exe", "argv", "user", "cgroup"]), st.sampled_from([DENIED, DAMAGED]), max_size=2
    ),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(entries(), max_size=4), PROCESSES)
def test_verdicts_say_what_matching_decides(configured: list[ProcessEntry], process: Facts) -> None:
    decision, unread = decide(configured, process)
    found = verdicts(configured, process)
    assert [verdict.entry for verdict in found] == configured
    taken = [(place, verdict.name) for place, verdict in enumerate(found) if verdict.outcome is Outcome.TAKES]
    assert taken == ([] if decision is None else [tuple(decision)])
    asked = found if decision is None else found[: decision.entry]
    secret = [stop(verdict).found for verdict in asked if verdict.outcome is Outcome.UNREAD]
    assert secret == [(str(each),) for each in unread]
    for place, verdict in enumerate(found):
        alone, _ = decide([verdict.entry], process)
        takes = verdict.outcome in (Outcome.TAKES, Outcome.TOO_LATE)
        assert takes == (alone is not None) == all(answer.held for answer in verdict.answers)
        assert verdict.name == (alone.name if alone else "")
        assert (verdict.outcome is Outcome.TOO_LATE) == (takes and bool(taken) and place > taken[0][0])


def stop(verdict: Verdict) -> Answer:
    return next(answer for answer in verdict.answers if not answer.held)


def asked(entry: str, process: Facts) -> Verdict:
    (verdict,) = verdicts(parse(f"processes: [{{{entry}}}]".encode(), "f").processes, process)
    return verdict


@pytest.mark.parametrize(
    ("selector", "sentence"),
    [
        ("comm: [postgres]", "comm: found 'java', expected 'postgres'"),
        ("comm: [pg, postgres]", "comm: found 'java', expected one of 'pg', 'postgres'"),
        ("comm: [a, b, c, d, e, f, g]", "comm: found 'java', expected one of 'a', 'b', 'c', 'd', 'e', 2 more"),
        ("exe: [/bin/*]", "exe: found '/usr/bin/java', expected '/bin/*'"),
        ("argv0: [java]", "argv0: found '/opt/java', expected 'java'"),
        ("user: ['0']", "user: found 'app' or '1000', expected '0'"),
        ("cgroup: ['/user.slice/**']", "cgroup: found '/system.slice/shop.service', expected '/user.slice/**'"),
        ("exclude: {comm: [java, x]}", "exclude.comm: found 'java', excluded by one of 'java', 'x'"),
        ("exclude: {exe: ['/usr/**']}", "exclude.exe: found '/usr/bin/java', excluded by '/usr/**'"),
        (
            r"cmdline: ['-jar', '-D\w+']",
            r"cmdline: found '/opt/java -jar shop.jar --password=secret', expected all of '-jar', '-D\w+'",
        ),
    ],
)
def test_what_failed_is_said_with_what_was_found_and_expected(selector: str, sentence: str) -> None:
    verdict = asked(f"name: a, {selector}", java())
    assert (verdict.outcome, stop(verdict).sentence) == (Outcome.PASSES, sentence)


@pytest.mark.parametrize(
    ("entry", "sentences"),
    [
        ("name: a", ["kernel thread: it is none", "name: 'a'"]),
        (
            "name: '{comm}!', comm: [java], exclude: {user: [root]}",
            ["comm: found 'java', as asked", "exclude.user: found 'app' or '1000', not excluded", "name: 'java!'"],
        ),
    ],
)
def test_what_held_is_said_too(entry: str, sentences: list[str]) -> None:
    verdict = asked(entry, java())
    assert [answer.sentence for answer in verdict.answers] == sentences
    assert verdict.outcome is Outcome.TAKES


def test_every_selector_is_answered_also_behind_one_that_failed() -> None:
    verdict = asked("name: a, comm: [x], user: [app], exe: [/x]", java())
    assert [answer.held for answer in verdict.answers] == [False, True, False]


def test_what_cannot_be_read_is_said_with_the_reason() -> None:
    verdict = asked("name: a, exe: [/usr/bin/java]", java(exe=DENIED))
    assert verdict.outcome is Outcome.UNREAD
    assert stop(verdict).sentence == "exe: cannot be read: /proc/5/exe: Permission denied"
    verdict = asked("name: '{cgroup}'", java(cgroup=DAMAGED))
    assert (verdict.outcome, verdict.name) == (Outcome.UNREAD, "")
    assert stop(verdict).sentence.startswith("name: cannot be read: /proc/5/cgroup: found b'x'")


def test_kernel_threads_zombies_and_empty_names() -> None:
    thread = facts(b"kswapd0", kernel_thread=True, exe="", argv=(), user=("root", "0"), cgroup="/")
    assert stop(asked("name: a", thread)).sentence == "kernel thread: it is one, and comm doesn't ask for it"
    assert asked("name: a, comm: [kswapd0]", thread).outcome is Outcome.TAKES
    assert stop(asked("name: a, exe: [/x]", thread)).step.selector == "kernel thread"
    zombie = facts(exe="", argv=())
    assert (
        stop(asked("name: a, exe: [/usr/bin/java]", zombie)).sentence == "exe: found nothing, expected '/usr/bin/java'"
    )
    nameless = asked("name: '{exe}'", zombie)
    assert (nameless.outcome, stop(nameless).sentence) == (Outcome.PASSES, "name: '{exe}' comes out empty")


def test_an_earlier_entry_is_why_a_later_one_does_not_take_it() -> None:
    configured = parse(
        b"processes: [{name: first, comm: [java]}, {name: second, user: [app]}, {name: third, user: [x]}]", "f"
    )
    found = [verdict.outcome for verdict in verdicts(configured.processes, java())]
    assert found == [Outcome.TAKES, Outcome.TOO_LATE, Outcome.PASSES]


def test_what_it_was_started_with_can_be_left_out() -> None:
    verdict = asked("name: a, comm: [java], argv0: [x], cmdline: ['secret$'], exclude: {cmdline: [word]}", java())
    assert any("secret'" in answer.sentence for answer in verdict.answers)
    assert [answer.discreet for answer in verdict.answers] == [
        "comm: found 'java', as asked",
        "argv0: what was found is not shown here, expected 'x'",
        "cmdline: what was found is not shown here, as asked",
        "exclude.cmdline: what was found is not shown here, excluded by 'word'",
    ]
    unread = asked("name: a, cmdline: [x]", java(argv=DENIED))
    assert stop(unread).discreet == stop(unread).sentence == "cmdline: cannot be read: /proc/5/exe: Permission denied"


def test_what_a_process_calls_itself_is_shown_so_that_it_does_nothing_to_a_terminal() -> None:
    odd = facts(b"\x1b[2J\n\xff")
    assert stop(asked("name: a, comm: [x]", odd)).sentence == r"comm: found '\x1b[2J\n�', expected 'x'"
    long = java()
    long.known["argv"] = ("x" * 1000,)
    assert stop(asked("name: a, cmdline: [y]", long)).sentence == f"cmdline: found '{'x' * 160}…', expected 'y'"
