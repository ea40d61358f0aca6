"""A terminal of 80 columns that a test looks at and types into."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte

WIDTH, HEIGHT, PATIENCE = 80, 20, 30


@dataclass
class Terminal:
    """What a person sees, and may type."""

    process: "subprocess.Popen[bytes]"
    fd: int
    sent: bytes = b""
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(WIDTH, HEIGHT))

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    def until(self, seen: Callable[[list[str]], bool], what: str) -> list[str]:
        """The lines, once they are so."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if seen(list(self.screen.display)):
                return list(self.screen.display)
            self.receive()
        raise AssertionError(f"{what}: never seen\n" + "\n".join(self.screen.display))

    def receive(self) -> None:
        if select.select([self.fd], [], [], 0.1)[0]:
            try:
                text = os.read(self.fd, 65536)
            except OSError:  # the other side has closed it
                return
            self.sent += text
            self._stream.feed(text)

    def ended(self) -> int:
        """The exit code, once it has ended."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            self.receive()
        self.receive()
        return self.process.wait(timeout=30)

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())


@contextmanager
def terminal(*command: str | Path, **environment: str) -> Iterator[Terminal]:
    """Run a command in it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    variables = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**variables, "TERM": "xterm-256color", **environment},
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
