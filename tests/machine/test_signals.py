"""Signals at random moments of a scrape: it ends cleanly, or starts again with nothing left behind."""

import random
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import StartExporter
from support.daemon import free_address
from support.exporter import COMMAND, unmeasured
from support.needs import full
from support.page import parsed

pytestmark = pytest.mark.live

TIMES = 200 if full() else 12
CONFIG = "processes: [{name: '{comm}', smaps: true, cmdline: ['.']}]\ncgroups: [{name: all, path: /**}]"
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def take(client: socket.socket) -> bytes:
    """All that comes until the connection ends, in whatever way."""
    got = b""
    try:
        while part := client.recv(1 << 16):
            got += part
    except ConnectionResetError:
        pass
    return got


def whole(answer: bytes) -> bool:
    """Whether it is a page, to its last byte; if not, its client sees that it isn't."""
    head, end, body = answer.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), -1)
    if not end or len(body) < length:
        return False
    assert head.startswith(b"HTTP/1.1 200")
    assert len(parsed(body.decode())) > 100
    return True


def test_a_reload_at_any_moment_costs_no_scrape(start_exporter: StartExporter) -> None:
    run, chance = start_exporter(CONFIG), random.Random(1)
    started = time.monotonic()
    run.scrape()
    usual = time.monotonic() - started
    for _ in range(TIMES):
        with socket.create_connection(run.host_and_port, timeout=60) as client:
            client.sendall(GET)
            time.sleep(chance.uniform(0, usual))
            run.signal(signal.SIGHUP)
            assert whole(take(client))
    assert run.scrape()["vmem_exporter_config_last_reload_successful"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_at_any_moment_and_starts_again_at_once(tmp_path: Path, number: signal.Signals) -> None:
    address = free_address()
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    # All that it may write to is here.
    places = [f"{name}={tmp_path}" for name in ("TMPDIR", "HOME")]
    command = ["env", *places, COMMAND, f"--web.listen-address={address}", f"--config.file={config}"]
    before = set(tmp_path.iterdir())
    host, _, port = address.partition(":")
    answered, usual = 0, 0.0
    # The first is left to answer, which tells how long it takes here; the others are ended at equal steps of that time.
    for turn in range(-1, TIMES // 2):
        log = tmp_path / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(command, stdout=output, stderr=output, env=unmeasured()) as process,
        ):
            try:
                client = connect(host, int(port), process)
                with client:
                    started = time.monotonic()
                    client.sendall(GET)
                    if turn < 0:
                        assert whole(take(client))
                        usual = time.monotonic() - started
                    else:
                        time.sleep(usual * turn / (TIMES // 2))
                    process.send_signal(number)
                    answer = take(client)
                assert process.wait(60) == (0 if number == signal.SIGTERM else -number)
            finally:
                process.kill()
        answered += whole(answer)
        assert "Traceback" not in log.read_text()
        assert "this is a bug" not in log.read_text()
        log.unlink()
        assert set(tmp_path.iterdir()) == before
    assert answered < TIMES // 2, "it was always done: no moment was within a scrape"


def connect(host: str, port: int, process: subprocess.Popen[bytes]) -> socket.socket:
    """A connection, as soon as there is one to be had."""
    while True:
        assert process.poll() is None, "it did not start again"
        try:
            return socket.create_connection((host, port), timeout=60)
        except ConnectionRefusedError:
            time.sleep(0.01)
