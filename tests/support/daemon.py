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


def free_address() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


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
    address: str
    log: Path

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.address.partition(":")
        return host, int(port)

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def request(self, path: str, method: str = "GET", **options: object) -> requests.Response:
        """One request on a connection of its own, by no proxy."""
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://{self.address}{path}", timeout=PATIENCE, **options)  # type: ignore[arg-type]

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
def daemon(command: Sequence[str | Path], address: str, ready: str, log: Path) -> Iterator[Daemon]:
    """Run a server until the context ends, entered when it answers at the path `ready`."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    started = Daemon(process, address, log)
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
