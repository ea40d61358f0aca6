"""The live table, in a terminal."""

import subprocess
import sys
import termios
from contextlib import AbstractContextManager
from itertools import takewhile

import pytest
from conftest import StartChild
from support.exporter import COMMAND
from support.terminal import Terminal, terminal

pytestmark = pytest.mark.live


def top_in_it(*arguments: str, **environment: str) -> AbstractContextManager[Terminal]:
    return terminal(COMMAND, "top", "--interval=0.3", *arguments, **environment)


def rows(lines: list[str]) -> list[str]:
    """The rows' names."""
    return [line.split()[0] for line in takewhile(lambda line: line.strip() and line[0] != "…", lines[3:])]


def test_the_table_fits_in_80_columns_and_keys_filter_sort_and_end_it(start_child: StartChild) -> None:
    small, large = start_child("top-small"), start_child("top-large")
    large.run("m = memory(200 << 20); touch(m)")
    small.run("m = memory(2 << 20)")
    with top_in_it(NO_COLOR="1") as top:
        before = termios.tcgetattr(top.fd)
        lines = top.until(lambda lines: any("top-large" in line for line in lines), "the rows")
        assert lines[2].split() == ["NAME", "RESIDENT", "SWAP", "MAJFLT/s", "HEADROOM", "PRESSURE"]
        help = next(line for line in reversed(lines) if line.strip())
        assert help.rstrip().endswith("/ filter  q quit")
        top.type("/TOP-")
        top.until(lambda lines: any(line.startswith("filter: TOP-_") for line in lines), "the filter as it is typed")
        top.type("\r")
        lines = top.until(lambda lines: rows(lines) == ["top-large", "top-small"], "the two, the larger first")
        assert "MiB" in lines[3]
        # Sorted by what they have none of, the names decide; an arrow is no key.
        top.type("\x1b[A")
        top.type("s")
        top.type("\x1b")
        top.until(lambda lines: len(rows(lines)) > 2, "all of them again")
        top.type("q")
        assert top.ended() == 0
        assert termios.tcgetattr(top.fd) == before
    # Neither foreground nor background colours.
    assert not [code for code in range(30, 50) if f"\x1b[{code}m".encode() in top.sent]
    assert b"\x1b[38;" not in top.sent


def test_it_ends_after_as_many_tables_as_are_asked_for() -> None:
    with top_in_it("-n", "2") as top:
        top.until(lambda lines: "NAME" in lines[2], "a table")
        assert top.ended() == 0


def test_control_c_ends_it_without_a_word() -> None:
    with top_in_it() as top:
        top.until(lambda lines: "NAME" in lines[2], "a table")
        top.type("\x03")
        assert top.ended() == 0
        assert b"Traceback" not in top.sent


@pytest.mark.parametrize("arguments", [["top", "--interval=0.2"], ["once", "--table"]])
def test_into_a_pipe_one_plain_table_is_printed(arguments: list[str], start_child: StartChild) -> None:
    start_child("piped")
    answer = subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    heading, *lines = answer.stdout.splitlines()
    assert heading.split() == ["NAME", "PROCS", "RESIDENT", "SWAP", "MAJFLT/s", "HEADROOM", "PRESSURE"]
    (piped,) = [line.split() for line in lines if line.startswith("piped ")]
    assert piped[1] == "1"
    assert "\x1b" not in answer.stdout
    assert max(map(len, [heading, *lines])) <= 80


def test_the_daemon_does_not_load_what_only_commands_need() -> None:
    code = (
        "import sys, exporter.commands.serve, exporter.service, exporter.web.app, exporter.web.server\n"
        "print([name for name in ('rich', 'pygments', 'psutil', 'exporter.explain.view') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "[]\n"


def test_wrong_numbers_are_answered_with_what_was_expected() -> None:
    for arguments, expected in (
        (["top", "-n", "0"], "found '0', expected a whole number from 1"),
        (["top", "--interval=nan"], "found 'nan', expected seconds, from 0.1 to 86400"),
        (["explain", "--interval=x"], "found 'x', expected seconds, from 0.1 to 86400"),
    ):
        answer = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert answer.returncode == 2
        assert expected in answer.stderr
