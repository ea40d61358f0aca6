"""Hostile clients, all at once, and a proper scrape over TLS beside them: `python -m web.hostile SECONDS`.

Prints one table, of what the scrape took before, during and after, and what the server held. The exit code says whether
every scrape was answered, none took longer than three times its quiet time by the median, and what was held was bounded
and given back.
"""

import asyncio
import logging
import os
import random
import ssl
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import bcrypt
import requests
from support.daemon import until
from support.exporter import Exporter, exporter
from support.procfs import status
from web.certificates import Authority

SLOWER = 3
"""How much longer than in quiet times a scrape may take."""
MIB_MORE = 4
"""What VmRSS may be more afterwards."""
THREADS_MORE = 16
CONNECTIONS = 512 + 64
"""The server's own limit, and what may be on its way in or out."""

USER, PASSWORD = "prometheus", "a password"
AUTHORIZATION = b"Authorization: Basic " + b64encode(f"{USER}:{PASSWORD}".encode())
GET = b"GET /metrics HTTP/1.1\r\nHost: hostile\r\n" + AUTHORIZATION + b"\r\n"
CONFIG = "processes: [{name: '{comm}'}]"


@dataclass
class Told:
    """What one kind of client did."""

    begun: int = 0
    ended: int = 0


@dataclass
class Scrapes:
    """Seconds of each proper scrape; what failed."""

    times: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return median(self.times)


Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One byte a second."""
    for byte in GET * 10:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Nothing."""
    await reader.read(1)


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask, with the right password, and never take the answer."""
    writer.write(GET + b"\r\n")
    await writer.drain()
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(15)


async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A megabyte of headers."""
    writer.write(GET)
    for _ in range(1024):
        writer.write(b"X: " + b"x" * 1019 + b"\r\n")
        await writer.drain()
    await reader.read(1)


async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Methods and paths that nobody asked for."""
    method = random.choice([b"BREW", b"TRACE", b"CONNECT", b"PUT", b"DELETE", b"OPTIONS", b"PRI"])
    path = random.choice([b"/metrics", b"/../../etc/passwd", b"/-/reload", b"*", b"/%00", b"//"])
    writer.write(method + b" " + path + b" HTTP/1.1\r\nHost: odd\r\nConnection: close\r\n\r\n")
    await writer.drain()
    await reader.read()
    await asyncio.sleep(0.5)


async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Random bytes: to a server that speaks TLS, broken TLS."""
    writer.write(random.choice([b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]) + random.randbytes(2000))
    await writer.drain()
    await reader.read()
    await asyncio.sleep(0.5)


KINDS: tuple[tuple[str, int, Client, bool], ...] = (
    ("one byte a second", 250, slow, True),
    ("one byte a second, to TLS", 250, slow, False),
    ("nothing", 100, silent, True),
    ("nothing, not even TLS", 100, silent, False),
    ("asks and never reads", 100, deaf, True),
    ("1 MB of headers", 5, large, True),
    ("odd methods and paths", 5, odd, True),
    ("random bytes, broken TLS", 5, noise, False),
    ("random bytes in TLS", 5, noise, True),
)
"""Name, how many at a time, what each does until it is thrown out, and whether over TLS as it should be."""


async def hostile(address: tuple[str, int], client: Client, context: ssl.SSLContext | None, told: Told) -> None:
    """One client, that comes again each time it is thrown out."""
    while True:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(
                *address, ssl=context, server_hostname="127.0.0.1" if context else None
            )
            told.begun += 1
            try:
                await client(reader, writer)
            finally:
                writer.transport.abort()
                told.ended += 1
        await asyncio.sleep(random.uniform(0.1, 0.5))


async def all_at_once(address: tuple[str, int], context: ssl.SSLContext, seconds: float, told: dict[str, Told]) -> None:
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    tasks = [
        asyncio.create_task(hostile(address, client, context if encrypted else None, told.setdefault(name, Told())))
        for name, count, client, encrypted in KINDS
        for _ in range(count)
    ]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def scrape(running: Exporter, ca: Path, seconds: float, **headers: str) -> Scrapes:
    """Scrape as a Prometheus does, four times a second, each time on a connection of its own."""
    scrapes = Scrapes()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            with requests.Session() as session:
                session.trust_env = False
                answer = session.get(
                    f"https://{running.address}/metrics",
                    auth=(USER, PASSWORD),
                    verify=str(ca),
                    timeout=10,
                    headers=headers,
                )
            if answer.status_code != 200 or "vmem_process_count" not in answer.text:
                scrapes.failures.append(f"{answer.status_code} {answer.text[:80]!r}")
        except requests.RequestException as error:
            scrapes.failures.append(str(error))
        scrapes.times.append(time.monotonic() - start)
        time.sleep(max(0, start + 0.25 - time.monotonic()))
    return scrapes


def warm_up(running: Exporter, ca: Path, seconds: float) -> None:
    """What every server meets in its first hour: several that scrape at the same time, each in a format of its own."""
    formats = [
        {"Accept": accept, "Accept-Encoding": encoding}
        for accept in ("*/*", "application/openmetrics-text")
        for encoding in ("gzip", "identity")
    ]
    with ThreadPoolExecutor(len(formats)) as threads:
        for scrapes in threads.map(lambda headers: scrape(running, ca, seconds, **headers), formats):
            assert not scrapes.failures


@dataclass
class Held:
    resident_kib: int
    threads: int
    descriptors: int

    @classmethod
    def by(cls, pid: int) -> "Held":
        found = status(pid)
        return cls(found["VmRSS"], found["Threads"], len(os.listdir(f"/proc/{pid}/fd")))


@contextmanager
def secured(folder: Path) -> Iterator[tuple[Exporter, Authority]]:
    """An exporter with TLS and a password."""
    authority, file = Authority(folder), folder / "web.yaml"
    file.write_text("")
    with exporter(folder, CONFIG, f"--web.config.file={file}", "--log.level=warn") as running:
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
        fresh = folder / "fresh.yaml"
        tls = "tls_server_config: {cert_file: server.pem, key_file: server.key}"
        fresh.write_text(f"{tls}\nbasic_auth_users: {{{USER}: {hashed}}}")
        fresh.replace(file)
        until(lambda: not scrape(running, authority.ca, 0.1).failures, "TLS")
        yield running, authority


def run(seconds: int, folder: Path) -> list[str]:
    """What was not as it should be."""
    with secured(folder) as (running, authority):
        pid = running.process.pid
        warm_up(running, authority.ca, min(seconds, 10))
        quiet, before = scrape(running, authority.ca, min(seconds, 20)), Held.by(pid)
        heads = ("scrapes", "failed", "median ms", "longest ms", "VmRSS MiB", "threads", "files")
        print(f"{'':28}" + "".join(f"{head:>12}" for head in heads))
        show("quiet", quiet, before)
        # They would be elsewhere: what they compute is not to take the processor from the server.
        command = ["nice", sys.executable, "-m", "web.hostile", "--clients"]
        command += [running.address, str(authority.ca), str(seconds)]
        paths = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        clients = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=paths)
        time.sleep(2)
        under, most = Scrapes(), before
        while clients.poll() is None:
            part = scrape(running, authority.ca, 1)
            under.times += part.times
            under.failures += part.failures
            now = Held.by(pid)
            most = Held(*map(max, vars(most).values(), vars(now).values()))
        show("under attack", under, most)
        told = clients.communicate()[0]
        time.sleep(12)
        after_scrapes, after = scrape(running, authority.ca, min(seconds, 10)), Held.by(pid)
        show("afterwards", after_scrapes, after)
        print(f"\n{told}")
    wrong = [f"a scrape failed: {failure}" for failure in under.failures + after_scrapes.failures]
    if clients.returncode:
        wrong.append(f"the clients ended with {clients.returncode}")
    if under.middle > SLOWER * quiet.middle:
        wrong.append(f"scrapes took {under.middle / quiet.middle:.1f} times as long as in quiet times")
    if most.descriptors > before.descriptors + CONNECTIONS or most.threads > before.threads + THREADS_MORE:
        wrong.append(f"held {most.descriptors} descriptors and {most.threads} threads")
    if after.resident_kib > before.resident_kib + MIB_MORE * 1024:
        wrong.append(
            f"VmRSS afterwards is {(after.resident_kib - before.resident_kib) / 1024:.1f} MiB more than before"
        )
    return wrong


def show(name: str, scrapes: Scrapes, held: Held) -> None:
    times = sorted(scrapes.times)
    print(
        f"{name:28}{len(times):12}{len(scrapes.failures):12}{scrapes.middle * 1000:12.1f}{times[-1] * 1000:12.1f}"
        f"{held.resident_kib / 1024:12.1f}{held.threads:12}{held.descriptors:12}",
        flush=True,
    )


def clients(address: str, ca: str, seconds: str) -> None:
    told: dict[str, Told] = {}
    host, _, port = address.partition(":")
    asyncio.run(all_at_once((host, int(port)), ssl.create_default_context(cafile=ca), float(seconds), told))
    print(f"{'clients':28}{'at a time':>10}{'connections':>13}")
    for name, count, _, _ in KINDS:
        print(f"{name:28}{count:10}{told[name].begun:13}")


def main() -> int:
    if sys.argv[1] == "--clients":
        clients(*sys.argv[2:])
        return 0
    with tempfile.TemporaryDirectory(prefix="vmem-hostile-") as folder:
        wrong = run(int(sys.argv[1]), Path(folder))
    print("\n".join(wrong) or "every scrape was answered")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
