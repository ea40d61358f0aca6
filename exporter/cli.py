"""The command: flags as the ecosystem has them, subcommands, exit codes.

Exit codes: 0 as asked, 2 for what the user can mend (a flag, the configuration, an address in use); a command of its
own may have more.
"""

from __future__ import annotations

import argparse
import errno
import os
import platform
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from exporter import __version__
from exporter.errors import ConfigError, UsageError

DEFAULT_ADDRESS = ":10987"

COMMANDS = {
    "check-config": "say what is wrong with a configuration file",
    "convert": "write a configuration of process-exporter as this exporter's",
    "explain": "say what the kernel knows of a group, process, cgroup or the machine, and what it means",
    "init": "look at the machine, and write a configuration to start from",
    "once": "print one scrape",
    "test-match": "say which entry takes each process, or one, and why not another",
    "top": "show the watched groups and cgroups, live",
}
"""Each is a module of `exporter.commands`, imported only when it is asked for."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

SERVE = "serve"
"""What is run without a command."""


def _flags() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(add_help=False)
    add = flags.add_argument
    add("--config.file", dest="config_file", metavar="FILE", help="what to watch (default: every process, by comm)")
    add("--path.procfs", dest="procfs", metavar="DIR", default="/proc", help="where procfs is (default: %(default)s)")
    add("--path.sysfs", dest="sysfs", metavar="DIR", default="/sys", help="where sysfs is (default: %(default)s)")
    add("--path.cgroupfs", dest="cgroupfs", metavar="DIR", help="where cgroupfs is (default: found in mountinfo)")
    add(
        "--process.keep-open",
        dest="keep_open",
        metavar="N",
        type=_whole,
        help="processes whose files are kept open between scrapes, 0 for none (default: by RLIMIT_NOFILE)",
    )
    add("--log.level", dest="log_level", choices=("debug", "info", "warn", "error"), default="info")
    add("--log.format", dest="log_format", choices=("logfmt", "json"), default="logfmt")
    return flags


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number")
    return int(text)


def _flags_behind() -> argparse.ArgumentParser:
    """The same flags behind a command, where one that isn't given leaves what was given before."""
    flags = _flags()
    for action in flags._actions:
        # The help still says what the default before the command is.
        action.help = (action.help or "") % {"default": action.default}
        action.default = argparse.SUPPRESS
    return flags


def command_line(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the flags, and of the arguments of those commands that are among these words."""
    flags = _flags()
    parser = argparse.ArgumentParser(
        prog="vmem-exporter",
        parents=[flags],
        description="Serves Prometheus what the Linux kernel knows of the memory of processes, cgroups and the host.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"vmem-exporter {__version__}")
    add = parser.add_argument
    add(
        "--web.listen-address",
        dest="listen",
        metavar="ADDRESS",
        action="append",
        help=f"where to serve, may be given again (default: {DEFAULT_ADDRESS})",
    )
    add(
        "--web.telemetry-path", dest="telemetry_path", metavar="PATH", default="/metrics", help="(default: %(default)s)"
    )
    add("--web.config.file", dest="web_config", metavar="FILE", help="TLS and passwords (default: neither)")
    add(
        "--web.max-requests",
        dest="max_requests",
        metavar="N",
        type=_whole,
        default=40,
        help="requests worked on at a time, 0 for any number; those beyond get 503 (default: %(default)s)",
    )
    add("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST /-/reload")
    add(
        "--oom-score-adj",
        dest="oom_score_adj",
        metavar="N",
        type=int,
        help="how soon the OOM killer takes the exporter, from -1000 (never) to 1000 (default: as it was started)",
    )
    add("--lock-memory", dest="lock_memory", action="store_true", help="keep all of its memory in RAM (mlockall)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (without one it serves)")
    for name, help in COMMANDS.items():
        if name in arguments:
            module = _module(name)
            parents = [_flags_behind()] if module.TAKES_FLAGS else []
            module.arguments(commands.add_parser(name, help=help, description=module.__doc__, parents=parents))
        else:
            commands.add_parser(name, help=help)
    return parser


def _module(command: str) -> ModuleType:
    return import_module(f"exporter.commands.{command.replace('-', '_')}")


def _drop_output() -> None:
    """What Python would flush at its end has nowhere to go."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    options = command_line(given).parse_args(given)
    try:
        if platform.system() != "Linux":
            raise UsageError(f"found {platform.system()}, expected Linux: the kernel's files are what is exported")
        code: int = _module(options.command or SERVE).run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has seen enough.
        _drop_output()
        return 0
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        _drop_output()
        print(f"vmem-exporter: standard output: found {error.strerror}, expected room to write", file=sys.stderr)
    except MemoryError:
        print("vmem-exporter: no memory: see the limits of its cgroup and of its address space", file=sys.stderr)
    except ImportError as error:
        # The installation is broken, or there is no room for a library.
        print(f"vmem-exporter: a module can't be loaded: {error}", file=sys.stderr)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except UsageError as error:
        print(f"vmem-exporter: {error}", file=sys.stderr)
    return 2
