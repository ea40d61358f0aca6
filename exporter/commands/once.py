"""Print one scrape, as text."""

from __future__ import annotations

import argparse
import sys

TAKES_FLAGS = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """None beside the flags of the daemon."""


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError where the configuration can't be used."""
    from exporter import logs
    from exporter.service import build

    logs.set_up(options.log_level, options.log_format)
    service = build(options)
    sys.stdout.write(service.page())
    sys.stdout.flush()
    return 0
