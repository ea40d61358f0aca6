"""Say all that is wrong with a configuration file, a line each; exit code 2 where there is anything."""

from __future__ import annotations

import argparse

TAKES_FLAGS = False


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", metavar="FILE", help="the configuration")


def run(options: argparse.Namespace) -> int:
    """Raises ConfigError with all that is wrong."""
    from exporter.config import load

    config = load(options.file)
    print(f"{options.file}: OK, watches {config.summary}")
    return 0
