"""Say which entry of the configuration takes each process, or one, and what each selector found.

Beyond max_groups the daemon folds groups into "other"; that depends on what came first, and isn't shown here.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exporter.config import Config
    from exporter.watch.why import Subject

TAKES_FLAGS = True

WIDTH = 80
MARKS = {True: "+", False: "-", None: "?"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The process."""
    parser.add_argument("--pid", metavar="N", help="this process alone")


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError where the configuration can't be used, UsageError where there is no such process."""
    from exporter.config import DEFAULT, load
    from exporter.errors import UsageError
    from exporter.watch.why import pids, why

    config = load(options.config_file) if options.config_file else DEFAULT
    there = pids(options.procfs)
    wanted = there if options.pid is None else [pid for pid in there if str(pid) == options.pid]
    subjects = why(options.procfs, options.cgroupfs, wanted, config.processes)
    first = next(subjects, None)
    if first is None and options.pid is not None:
        expected = "the number of a process that is there and may be seen"
        raise UsageError(f"--pid: found {options.pid!r}, expected {expected}")
    for line in report(config, itertools.chain([first] if first else [], subjects), summary=options.pid is None):
        print(line)
    sys.stdout.flush()
    return 0


def report(config: Config, subjects: Iterable[Subject], *, summary: bool) -> Iterator[str]:
    """The lines of the answer, and at its end how many processes each entry took where that is asked for."""
    from exporter.watch.verdict import Outcome, shown

    took: Counter[int] = Counter()
    for subject in subjects:
        yield from _folded(f"{subject}{'' if subject.verdicts or subject.unread else ': there are no entries'}", "")
        if subject.unread:
            yield from _folded(f"cannot be read: {subject.unread}", "  ")
        for place, verdict in enumerate(subject.verdicts, 1):
            took[place] += verdict.outcome is Outcome.TAKES
            name = f": group {shown(verdict.name)}" if verdict.name else ""
            yield from _folded(f"{place}. {shown(verdict.entry.name)} {verdict.outcome.value}{name}", "  ")
            for answer in verdict.answers:
                yield from _folded(f"{MARKS[answer.held]} {answer.sentence}", "     ")
        yield ""
    if summary:
        yield "entries and the processes that they take"
        for place, entry in enumerate(config.processes, 1):
            yield from _folded(f"{place}. {shown(entry.name)}: {took[place] or 'none'}", "  ")


def _folded(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}   ")
