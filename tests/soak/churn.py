"""What never stands still while the exporter is soaked: cgroups, the configuration, and a faulty web client."""

import os
import random
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress

from kernel.cgroups import Cgroup
from support.exporter import Exporter
from support.nursery import COMMS

CONFIGS = (
    """
processes:
  - {{name: steady, comm: [steady], smaps: true, oom_score: true}}
  - {{name: "{{comm}}", comm: [{comms}], per_process: true}}
cgroups:
  - {{name: churn, path: "{top}/**"}}
""",
    """
processes:
  - {{name: "{{comm}}", comm: [steady, {comms}], labels: {{reloaded: "yes"}}}}
cgroups:
  - {{name: others, path: "{top}/*", max_cgroups: 3}}
max_groups: 5
""",
)


def configs(top: str) -> list[str]:
    """Two configurations that differ in groups, labels and bounds, over the same processes and cgroups."""
    return [text.format(comms=", ".join(COMMS), top=top) for text in CONFIGS]


class Repeated:
    """Something that is done again and again in a thread, until `end`."""

    def __init__(self, act: Callable[[], None], pause: float) -> None:
        self._act, self._pause = act, pause
        self._stop = threading.Event()
        self.times = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._pause):
            self._act()
            self.times += 1

    def end(self) -> int:
        """How often it was done."""
        self._stop.set()
        self._thread.join()
        return self.times


class Remade:
    """Cgroups of a few names that are made, given a limit, and removed again."""

    def __init__(self, cgroup: Cgroup) -> None:
        self._folder = cgroup.directory
        self._chance = random.Random(2)

    def __call__(self) -> None:
        folder = self._folder / self._chance.choice("abcdef")
        with suppress(OSError):  # its processes have not all ended
            if folder.exists():
                folder.rmdir()
            else:
                folder.mkdir()
                limit = folder / "memory.limit_in_bytes"
                (limit if limit.exists() else folder / "memory.max").write_text(str(64 << 20))


class Reload:
    """One configuration after the other, each by a SIGHUP."""

    def __init__(self, exporter: Exporter, texts: list[str]) -> None:
        self._exporter, self._texts = exporter, texts

    def __call__(self) -> None:
        self._texts.append(self._texts.pop(0))
        self._exporter.config.write_text(self._texts[0])
        self._exporter.signal(signal.SIGHUP)


GET = b"GET /metrics HTTP/1.1\r\nHost: faulty\r\n"
REQUESTS = (
    GET + b"X-Never-",
    GET + b"X-Large: " + b"x" * (1 << 20) + b"\r\n\r\n",
    GET + b"\r\n",  # and never reads the answer
    b"",
    os.urandom(1000),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(60),
    b"BREW / HTTP/1.1\r\nHost: faulty\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: faulty\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\nHost: faulty\r\nContent-Length: 99999999\r\n\r\nx",
    b"GET /metrics HTTP/1.1\r\nHost: faulty\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    GET + b"X-Prometheus-Scrape-Timeout-Seconds: nan\r\n\r\n",
    GET.replace(b"/metrics", b"/metrics?collect[]=" + b"%00" * 500) + b"\r\n",
)


class Faulty:
    """A web client that does everything wrong, and holds so many connections at a time."""

    def __init__(self, exporter: Exporter, connections: int = 20) -> None:
        self._address = exporter.host_and_port
        self._connections = connections
        self._chance = random.Random(3)
        self._held: list[socket.socket] = []

    def __call__(self) -> None:
        with suppress(OSError):  # the exporter may turn it away at any point
            client = socket.create_connection(self._address, timeout=1)
            self._held.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(self._chance.choice(REQUESTS))
        while len(self._held) > self._connections:
            self._held.pop(self._chance.randrange(len(self._held))).close()

    def end(self) -> None:
        for client in self._held:
            client.close()
