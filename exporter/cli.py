"""The command: flags as the ecosystem has them, subcommands, signals, exit codes.

Exit codes: 0 as asked, 2 for what the user can mend (a flag, the configuration, an address in use).
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import platform
import signal
import sys
from collections.abc import Sequence

from exporter import __version__
from exporter.errors import ConfigError, UsageError

DEFAULT_ADDRESS = ":10987"


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
        action.default = argparse.SUPPRESS
    return flags


def _parser() -> argparse.ArgumentParser:
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
    add("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST /-/reload")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands (without one it serves)")
    check = commands.add_parser("check-config", help="say what is wrong with a configuration file")
    check.add_argument("file", metavar="FILE")
    commands.add_parser("once", parents=[_flags_behind()], help="print one scrape")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if platform.system() != "Linux":
            raise UsageError(f"found {platform.system()}, expected Linux: the kernel's files are what is exported")
        if options.command == "check-config":
            return _check_config(options.file)
        return _once(options) if options.command == "once" else _serve(options)
    except ConfigError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except UsageError as error:
        print(f"vmem-exporter: {error}", file=sys.stderr)
    return 2


# What follows imports what it needs when it needs it: --version and a wrong flag are answered at once, and a system
# that isn't Linux gets its one line.


def _check_config(path: str) -> int:
    from exporter.config import load

    config = load(path)
    print(f"{path}: OK, watches {config.summary}")
    return 0


def _service(options: argparse.Namespace) -> object:
    from exporter.collectors import build, keep_open_default
    from exporter.config import DEFAULT, load
    from exporter.service import Service

    path = options.config_file
    keep_open = keep_open_default() if options.keep_open is None else options.keep_open
    return Service(
        build(options.procfs, options.sysfs, options.cgroupfs, keep_open), lambda: load(path) if path else DEFAULT
    )


def _once(options: argparse.Namespace) -> int:
    from exporter import logs
    from exporter.service import Service

    logs.set_up(options.log_level, options.log_format)
    service = _service(options)
    assert isinstance(service, Service)
    try:
        sys.stdout.write(service.page())
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough; what Python would flush at its end has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _serve(options: argparse.Namespace) -> int:
    from exporter import logs
    from exporter.service import Service
    from exporter.web.app import App
    from exporter.web.server import Server

    logs.set_up(options.log_level, options.log_format)
    log = logging.getLogger(__name__)
    if not options.telemetry_path.startswith("/"):
        raise UsageError(f"--web.telemetry-path: found {options.telemetry_path!r}, expected a path that starts with /")
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    # Blocked here, and so in every thread, they wait for sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    service = _service(options)
    assert isinstance(service, Service)
    addresses = options.listen or [DEFAULT_ADDRESS]
    server = Server(App(service, options.telemetry_path, lifecycle=options.lifecycle), addresses)
    log.info("vmem-exporter %s watches %s", __version__, service.config.summary)
    for address in addresses:
        shown = f"localhost{address}" if address.startswith(":") else address
        log.info("serving at http://%s%s", shown, options.telemetry_path)
    ended: list[bool] = []

    def on_end() -> None:
        ended.append(True)
        os.kill(os.getpid(), signal.SIGTERM)

    # A scrape makes thousands of objects and drops them; looking through what stays for cycles, again and again, took
    # a fifth of its time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    server.start(on_end)
    while (received := signal.sigwait(signals)) == signal.SIGHUP:
        try:
            service.reload()
        except ConfigError:
            continue
    if ended:
        raise UsageError("the HTTP server ended by itself, see the log")
    log.info("ended by %s", signal.Signals(received).name)
    # Threads that wait for the kernel can't be waited for.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(0)
