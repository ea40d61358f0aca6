"""Print one scrape, as text."""

from __future__ import annotations

import argparse
import sys

TAKES_FLAGS = True

INTERVAL = 1.0
"""Seconds that rates are taken over."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of the daemon, and the shape."""
    parser.add_argument("--table", action="store_true", help="the rows of top, for people, in place of the metrics")


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError where the configuration can't be used."""
    from exporter import logs
    from exporter.service import build

    if options.table:
        from exporter.commands import top

        options.interval, options.iterations = INTERVAL, 1
        return top.tables(options)
    logs.set_up(options.log_level, options.log_format)
    service = build(options)
    sys.stdout.write(service.page())
    sys.stdout.flush()
    return 0
