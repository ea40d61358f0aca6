"""Look at the machine, and write a commented configuration to start from, to standard output.

It has an entry for each large service and program, and entries for containers and the services of systemd.
"""

from __future__ import annotations

import argparse
import sys

TAKES_FLAGS = True


def arguments(parser: argparse.ArgumentParser) -> None:
    """None but the daemon's, of which it takes where the kernel's files are."""


def run(options: argparse.Namespace) -> int:
    """Raises UsageError where the machine can't be read."""
    from exporter import logs
    from exporter.errors import ParseError, Refused, UsageError
    from exporter.propose.proposal import render
    from exporter.propose.survey import survey

    if options.config_file:
        found = f"found {options.config_file!r}, expected none"
        raise UsageError(f"--config.file: {found}: init writes to standard output, `vmem-exporter init > FILE`")
    logs.set_up(options.log_level, options.log_format)
    try:
        text = render(survey(options.procfs, options.sysfs, options.cgroupfs))
    except (ParseError, Refused) as error:
        raise UsageError(f"the machine can't be read: {error}") from None
    sys.stdout.write(text)
    sys.stdout.flush()
    return 0
