"""Say what the kernel knows of a group, a process, a cgroup or the whole machine, what it means and what to do.

Exit code 1 where a finding is critical, 2 where there is no such thing.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys

TAKES_FLAGS = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """What to explain, and how long to watch it."""
    parser.add_argument(
        "subject",
        metavar="GROUP|PID|CGROUP",
        nargs="?",
        help="a number is a pid, what starts with / a cgroup, anything else a group (default: the whole machine)",
    )
    parser.add_argument(
        "--interval", metavar="SECONDS", type=seconds, default=2.0, help="how long to watch it (default: %(default)s)"
    )
    parser.add_argument("--json", dest="as_json", action="store_true", help="for scripts: docs/EXPLAIN.md has the keys")


def seconds(text: str) -> float:
    """A number of seconds above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.1 <= value <= 86400:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds, from 0.1 to 86400")
    return value


def run(options: argparse.Namespace) -> int:
    """Raises UsageError where there is no such subject, or it may not be read."""
    import time

    from exporter import logs
    from exporter.config import DEFAULT, load
    from exporter.errors import ParseError, Refused, UsageError
    from exporter.explain import as_json, text
    from exporter.explain.findings import report
    from exporter.explain.observer import Observer

    logs.set_up(options.log_level, options.log_format)
    config = load(options.config_file) if options.config_file else DEFAULT
    observer = Observer(options.procfs, options.sysfs, options.cgroupfs)
    try:
        before = observer.sample(config, options.subject)
        time.sleep(options.interval)
        told = report(before, observer.sample(config, options.subject))
    except (ParseError, Refused) as error:
        raise UsageError(f"{options.subject or 'the machine'} can't be read: {error}") from None
    except KeyboardInterrupt:
        return 130
    if options.as_json:
        page = as_json.render(told)
    else:
        width = max(min(shutil.get_terminal_size().columns, 120), 80)
        page = text.render(told, whole=options.subject is None, width=width, colour=coloured())
    try:
        sys.stdout.write(page)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; what Python would flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(told.critical)


def coloured() -> bool:
    """Whether colours are wanted: no-color.org, and only in a terminal that has them."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
