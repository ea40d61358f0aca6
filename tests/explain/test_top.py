"""The live table, in a terminal of 80 columns that a test looks at and types into."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile

import pyte
import pytest
from conftest import StartChild
from support.exporter import COMMAND

pytestmark = pytest.mark.live

WIDTH, HEIGHT, PATIENCE = 80, 20, 30


@dataclass
class Terminal:
    """What a person sees, and may type."""

    process: "subprocess.Popen[bytes]"
    fd: int
    sent: bytes = b""
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(WIDTH, HEIGHT))

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    def until(self, seen: Callable[[list[str]], bool], what: str) -> list[str]:
        """The lines, once they are so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if seen(list(self.screen.display)):
                return list(self.screen.display)
            self.receive()
        raise AssertionError(f"{what}: never seen\n" + "\n".join(self.screen.display))

    def receive(self) -> None:
        if select.select([self.fd], [], [], 0.1)[0]:
            try:
                text = os.read(self.fd, 65536)
            except OSError:  # the other side has closed it
                return
            self.sent += text
            self._stream.feed(text)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.receive()
        self.receive()
        return self.process.wait(timeout=1)

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())


@contextmanager
def terminal(*arguments: str, **environment: str) -> Iterator[Terminal]:
    """Run `top` in it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [COMMAND, "top", "--interval=0.3", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**variables, "TERM": "xterm-256color", **environment},
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def rows(lines: list[str]) -> list[str]:
    """The rows' names."""
    return [line.split()[0] for line in takewhile(lambda line: line.strip() and line[0] != "…", lines[3:])]


def test_the_table_fits_in_80_columns_and_keys_filter_sort_and_end_it(start_child: StartChild) -> None:
    small, large = start_child("top-small"), start_child("top-large")
    large.run("m = memory(200 << 20); touch(m)")
    small.run("m = memory(2 << 20)")
    with terminal(NO_COLOR="1") as top:
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
    with terminal("-n", "2") as top:
        top.until(lambda lines: "NAME" in lines[2], "a table")
        assert top.ended() == 0


def test_control_c_ends_it_without_a_word() -> None:
    with terminal() as top:
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


def test_the_daemon_does_not_load_what_draws_the_table() -> None:
    code = (
        "import sys, exporter.commands.serve, exporter.service, exporter.web.app, exporter.web.server\n"
        "print([name for name in ('rich', 'pygments', 'exporter.explain.view') if name in sys.modules])"
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
