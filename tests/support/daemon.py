"""Servers as processes of their own: started, waited for, spoken to, ended."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

PATIENCE = 60  # seconds for what takes one on a machine with nothing else to do


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for a condition to hold. AssertionError, with the words, if it never does."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, f"{PATIENCE} seconds passed, and not yet: {what}"
        time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running server. Its output goes to the file `log`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def request(self, path: str, method: str = "GET", **options: object) -> requests.Response:
        """One request on a connection of its own, by no proxy."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, self.url + path, timeout=PATIENCE, **options)  # type: ignore[arg-type]

    def answers(self, path: str) -> bool:
        """Whether this path is served with 200. AssertionError if the process has ended."""
        assert self.process.poll() is None, self.output
        try:
            return self.request(path).status_code == 200
        except requests.ConnectionError:
            return False

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def wait(self) -> int:
        """The code that it ends with."""
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def daemon(command: Sequence[str | Path], port: int, ready: str, log: Path) -> Iterator[Daemon]:
    """Run a server until the context ends, entered when it answers at the path `ready`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    started = Daemon(process, port, log)
    try:
        until(lambda: started.answers(ready), f"{command[0]} answers at {ready}")
        yield started
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
