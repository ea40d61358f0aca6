"""Show the watched groups and cgroups, live. Where the output is no terminal, one table is printed."""

from __future__ import annotations

import argparse
import os
import re
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING

from exporter.commands.explain import seconds

if TYPE_CHECKING:
    from exporter.explain.findings import Report

TAKES_FLAGS = True

_SEQUENCE = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]")
"""What a terminal sends for a key that is no letter."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """How often it is read, and how many times."""
    parser.add_argument(
        "--interval", metavar="SECONDS", type=seconds, default=2.0, help="how often to read (default: %(default)s)"
    )
    parser.add_argument(
        "-n",
        "--iterations",
        metavar="N",
        type=times,
        default=0,
        help="end after so many tables (default: when q is pressed; where the output is no terminal, 1)",
    )


def times(text: str) -> int:
    """A whole number above 0."""
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 1")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError where the configuration can't be used, and UsageError where the machine can't be read."""
    if not sys.stdout.isatty():
        return tables(options)
    with suppress(KeyboardInterrupt):
        _live(options)
    return 0


def tables(options: argparse.Namespace) -> int:
    """Print as many tables as are asked for, one without that."""
    from exporter.explain.table import lines

    with suppress(KeyboardInterrupt):
        for told in islice(_reports(options), max(options.iterations, 1)):
            subjects = [subject for subject, _ in told.subjects]
            subjects.sort(key=lambda subject: -(subject.row.memory.resident or 0))
            print("\n".join(lines(subjects, shutil.get_terminal_size().columns)), flush=True)
    return 0


def _reports(options: argparse.Namespace, wait: bool = True) -> Iterator[Report]:
    """A report after each interval. Without `wait`, when it is asked for, the first one without rates."""
    from exporter import logs
    from exporter.config import DEFAULT, load
    from exporter.errors import ParseError, Refused, UsageError
    from exporter.explain.findings import report
    from exporter.explain.observer import Observer

    # A line of the log would stand across the table.
    logs.set_up("error", options.log_format)
    config = load(options.config_file) if options.config_file else DEFAULT
    observer = Observer(options.procfs, options.sysfs, options.cgroupfs)
    try:
        before = observer.sample(config)
        if not wait:
            yield report(None, before)
        while True:
            if wait:
                time.sleep(options.interval)
            now = observer.sample(config)
            yield report(before, now)
            before = now
    except (ParseError, Refused) as error:
        raise UsageError(f"the machine can't be read: {error}") from None


def _live(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.live import Live

    from exporter.explain.view import View, screen

    console, view = Console(), View()

    def interrupted(*_: object) -> None:
        # What is raised in a destructor is lost; that it has ended isn't.
        view.ended = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupted)
    reports = _reports(options, wait=False)
    told, shown = next(reports), 1
    with _keys() as key, Live(console=console, screen=True, auto_refresh=False) as live:
        due = time.monotonic() + options.interval
        while not view.ended:
            live.update(screen(told, view, *console.size), refresh=True)
            if pressed := key(max(due - time.monotonic(), 0)):
                view.press(pressed)
            elif time.monotonic() >= due:
                if shown == options.iterations:
                    break
                told, shown = next(reports), shown + 1
                due = time.monotonic() + options.interval


@contextmanager
def _keys() -> Iterator[_Key]:
    """Keys as they are pressed, without an Enter, and not shown; none where the input is no terminal."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield _Key(None)
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield _Key(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Key:
    """Waits for a key."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        self._more = ""

    def __call__(self, patience: float) -> str:
        """The next key, "" where none came in so many seconds. Keys that come as a sequence (arrows) are none."""
        if not self._more:
            if self._fd is None:
                time.sleep(patience)
            elif select.select([self._fd], [], [], patience)[0]:
                text = os.read(self._fd, 64).decode("utf-8", "ignore")
                self._more = _SEQUENCE.sub("", text)
        key, self._more = self._more[:1], self._more[1:]
        return key
