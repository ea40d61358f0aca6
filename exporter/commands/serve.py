"""The daemon: serve until SIGTERM or SIGINT, reload at SIGHUP."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import signal
import sys
from contextlib import suppress

from exporter import __version__, heap, survival
from exporter.cli import DEFAULT_ADDRESS
from exporter.errors import ConfigError, UsageError


def run(options: argparse.Namespace) -> int:
    """Serve until a signal says otherwise. Raises ConfigError and UsageError before it serves."""
    from exporter import logs
    from exporter.service import build
    from exporter.web.access import Access
    from exporter.web.app import App
    from exporter.web.pages import Pages
    from exporter.web.server import Server

    logs.set_up(options.log_level, options.log_format)
    log = logging.getLogger(__name__)
    if not options.telemetry_path.startswith("/"):
        raise UsageError(f"--web.telemetry-path: found {options.telemetry_path!r}, expected a path that starts with /")
    heap.one()
    _all_descriptors()
    if options.oom_score_adj is not None:
        survival.set_oom_score_adj(options.oom_score_adj)
    if options.lock_memory:
        survival.lock_memory()
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    # Blocked here, and so in every thread, they wait for sigwait below.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    service = build(options)
    addresses = options.listen or [DEFAULT_ADDRESS]
    app = App(service, options.telemetry_path, Pages(service, options).paths, lifecycle=options.lifecycle)
    server = Server(app, addresses, Access(options.web_config), options.max_requests)
    log.info("vmem-exporter %s watches %s", __version__, service.config.summary)
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
    for address in addresses:
        shown = f"localhost{address}" if address.startswith(":") else address
        log.info("serving at http://%s%s", shown, options.telemetry_path)
    while (received := signal.sigwait(signals)) == signal.SIGHUP:
        try:
            service.reload()
        except ConfigError:
            continue
    if ended:
        log.critical("the HTTP server ended by itself, this is a bug")
    else:
        log.info("ended by %s", signal.Signals(received).name)
    # Threads that wait for the kernel can't be waited for.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(2 if ended else 0)


def _all_descriptors() -> None:
    """Raise the soft limit of descriptors to the hard one.

    It is low, often 1024, for the sake of programs that call select(2), which this one doesn't.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A filter of system calls, as in the systemd unit, may forbid it; the limit then stays as it was set.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
