"""Write a configuration of process-exporter as this exporter's, to standard output, with the same groups.

What has no counterpart is said on standard error and above its entry, with file and line; the exit code is 1 then.
"""

from __future__ import annotations

import argparse
import sys

TAKES_FLAGS = False


def arguments(parser: argparse.ArgumentParser) -> None:
    """The file."""
    parser.add_argument("file", metavar="FILE", help="what process-exporter's -config.path names")


def run(options: argparse.Namespace) -> int:
    """0 where all has a counterpart, 1 where something has none. Raises ConfigError."""
    from exporter.migrate.process_exporter import convert
    from exporter.yaml_reader import read_bytes

    text, problems = convert(read_bytes(options.file), options.file)
    sys.stdout.write(text)
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0
