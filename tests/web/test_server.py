"""The server as its clients meet it: TLS, passwords, limits of time, size and number."""

import http.client
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
import requests
from conftest import StartExporter
from support.daemon import until
from support.exporter import COMMAND, Exporter
from support.needs import full
from support.page import parsed
from web import hostile
from web.certificates import Authority

from exporter.web.connection import DEADLINE, NOT_TLS
from exporter.web.server import CONNECTIONS

pytestmark = pytest.mark.live

CONFIG = "processes: [{name: first, comm: [not-there-1]}]"
UP = "vmem_exporter_config_last_reload_successful"
CHEAP = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
ME = ("me", "right")
TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"


@dataclass(frozen=True, slots=True)
class Secured:
    """An exporter with a web configuration, whose readiness nobody asks without the password."""

    exporter: Exporter
    authority: Authority
    file: Path

    def get(self, path: str = "/metrics", **options: object) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            options = {"verify": str(self.authority.ca), "auth": ME, "timeout": 30, **options}
            return session.get(f"https://{self.exporter.address}{path}", **options)  # type: ignore[arg-type]

    def write(self, text: str) -> None:
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    def answered(self, **options: object) -> int | None:
        """The status of a request, None where there was no TLS with it."""
        try:
            return self.get(**options).status_code
        except requests.ConnectionError:
            return None


def received(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    found = b""
    with suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            found += part
    return found


@pytest.fixture
def secured(start_exporter: StartExporter, tmp_path: Path) -> Secured:
    # It starts open to all, so that the fixture's own question is answered; the test's text takes its place.
    file = tmp_path / "web.yaml"
    file.write_text("")
    return Secured(start_exporter(CONFIG, f"--web.config.file={file}"), Authority(tmp_path), file)


def test_tls_and_a_password_are_asked_for_at_every_path(secured: Secured) -> None:
    secured.write(
        f"{TLS}}}\nbasic_auth_users: {{me: {CHEAP}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}"
    )
    until(lambda: secured.answered() == 200, "the web configuration is read again")
    answer = secured.get()
    assert parsed(answer.text)[UP] == 1
    assert answer.headers["X-Frame-Options"] == "deny"
    for path in "/metrics", "/", "/config", "/docs", "/-/healthy", "/-/ready", "/-/reload", "/nowhere":
        for auth in None, ("me", "wrong"), ("you", "right"):
            refused = secured.get(path, auth=auth)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Basic")
            assert "vmem_" not in refused.text
    with socket.create_connection(secured.exporter.host_and_port, timeout=30) as plain:
        plain.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert received(plain) == NOT_TLS


def test_a_renewed_certificate_is_shown_to_the_next_client(secured: Secured) -> None:
    secured.write(f"{TLS}}}")
    until(lambda: secured.answered() == 200, "TLS")

    def serial() -> str:
        text = ssl.get_server_certificate(secured.exporter.host_and_port)
        return subprocess.check_output(["openssl", "x509", "-noout", "-serial"], input=text, text=True)

    before = serial()
    secured.authority.server()
    until(lambda: serial() != before, "the new certificate")
    secured.write("tls_server_config: {cert_file: gone.pem, key_file: server.key}")
    until(lambda: "stays in force" in secured.exporter.output, "the bad file is noticed")
    assert secured.answered() == 200


def test_clients_are_let_in_by_their_certificate(secured: Secured) -> None:
    good, other = secured.authority.client("good", "prometheus.example"), secured.authority.client("other", "x.example")
    stranger = secured.file.parent / "stranger"
    stranger.mkdir()
    foreign = Authority(stranger).client("good", "prometheus.example")
    asks = f"{TLS}, client_ca_file: ca.pem, client_auth_type: "
    secured.write(f"{asks}RequireAndVerifyClientCert, client_allowed_sans: [prometheus.example]}}")
    until(lambda: secured.answered(cert=good) == 200, "TLS")
    assert [secured.answered(cert=cert) for cert in (None, other, foreign)] == [None, None, None]
    secured.write(f"{asks}VerifyClientCertIfGiven}}")
    until(lambda: secured.answered() == 200, "no certificate is needed")
    assert [secured.answered(cert=cert) for cert in (good, other, foreign)] == [200, 200, None]


def test_versions_of_tls_that_are_not_allowed_are_refused(secured: Secured) -> None:
    secured.write(f"{TLS}, min_version: TLS13}}")
    until(lambda: secured.answered() == 200, "TLS")
    context = ssl.create_default_context(cafile=str(secured.authority.ca))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(secured.exporter.host_and_port, timeout=10) as raw, pytest.raises(OSError, match="."):
        context.wrap_socket(raw, server_hostname="127.0.0.1").getpeercert()


def test_a_thousand_wrong_passwords_do_not_slow_who_is_known(secured: Secured) -> None:
    slow = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
    secured.write(f"{TLS}}}\nbasic_auth_users: {{me: {slow}}}")
    until(lambda: secured.answered() == 200, "TLS")
    stop = threading.Event()

    def guess(worker: int) -> int:
        tried = 0
        while not stop.is_set():
            assert secured.answered(path="/-/healthy", auth=("me", f"{worker} {tried}")) == 401
            tried += 1
        return tried

    def scrape() -> float:
        start = time.monotonic()
        assert secured.answered() == 200
        return time.monotonic() - start

    quiet = sorted(scrape() for _ in range(9))[4]
    with ThreadPoolExecutor(20) as guessers:
        guesses = [guessers.submit(guess, worker) for worker in range(20)]
        time.sleep(1)
        under = sorted(scrape() for _ in range(9))[4]
        stop.set()
        tried = sum(done.result() for done in guesses)
    # The client is as slow as the server here: 20 of its threads and the scrape share two processors.
    print(f"scrape {quiet * 1000:.1f} ms, with {tried} guesses beside it {under * 1000:.1f} ms")
    assert tried > 20
    # Were it to wait its turn behind the guesses, that would be 20 comparisons of 50 ms and more.
    assert under < 0.5


def test_more_requests_than_the_rate_allows_get_429(secured: Secured) -> None:
    secured.write("rate_limit: {interval: 1h, burst: 2}")
    until(lambda: secured.exporter.request("/-/healthy").status_code == 429, "the rate is over")
    assert secured.exporter.request("/metrics").status_code == 429


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--web.config.file=missing.yaml"],
            "missing.yaml: found No such file or directory, expected a readable YAML file",
        ),
        (
            ["--web.config.file=web.yaml"],
            "web.yaml:1: tls_server_config: gone.pem: found No such file or directory, expected a readable PEM file",
        ),
    ],
)
def test_a_web_configuration_that_can_t_be_used_is_one_line_and_exit_code_2(
    tmp_path: Path, flags: list[str], line: str
) -> None:
    (tmp_path / "web.yaml").write_text("tls_server_config: {cert_file: gone.pem, key_file: gone.key}")
    ended = subprocess.run([COMMAND, *flags], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"{line}\n")


def silent(exporter: Exporter, begun: bytes) -> None:
    """Say no more than this."""
    with socket.create_connection(exporter.host_and_port, timeout=60) as client:
        client.sendall(begun)
        assert received(client) == b""


def slow(exporter: Exporter) -> None:
    """A whole request, and then one byte a second: the first is no credit for the second."""
    with socket.create_connection(exporter.host_and_port, timeout=60) as client:
        client.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: slow\r\n\r\n")
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        with suppress(OSError):
            for byte in b"GET /metrics HTTP/1.1\r\nHost: slow\r\n":
                client.sendall(bytes([byte]))
                time.sleep(1)


def deaf(exporter: Exporter) -> None:
    """Ask, and ask again, and never take an answer."""
    with socket.socket() as client:
        # So little that the answer does not fit into what the kernel keeps for the client.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(exporter.host_and_port)
        client.settimeout(60)
        with suppress(OSError):
            while True:
                client.sendall(b"GET /docs HTTP/1.1\r\nHost: deaf\r\n\r\n")
                time.sleep(0.1)


def test_whoever_does_not_ask_in_full_or_take_the_answer_is_gone_after_ten_seconds(
    start_exporter: StartExporter,
) -> None:
    exporter = start_exporter(CONFIG)
    exporter.scrape()
    half = b"GET /metrics HTTP/1.1\r\nHost: half\r\nX-Never-"

    def lasted(client: Callable[..., None], *what: bytes) -> float:
        start = time.monotonic()
        client(exporter, *what)
        return time.monotonic() - start

    with ThreadPoolExecutor(4) as clients:
        times = [clients.submit(lasted, *client) for client in ((silent, b""), (silent, half), (slow,), (deaf,))]
        assert exporter.scrape()[UP] == 1
        for time_ in times:
            assert 9.5 < time_.result() < 20


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (1 << 20) + b"\r\n\r\n", b"431"),
        (b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"431"),
        (b"POST /-/reload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (1 << 20), b"413"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"BREW /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
        (b"GET /metr%69cs?collect[]=host HTTP/1.0\r\n\r\n", b"200"),
        (b"GET http://a.example/-/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
        (b"HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
        (
            b"GET /-/ready HTTP/1.1\r\nHost: a\r\n\r\nGET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            b"200",
        ),
    ],
    ids=lambda value: value[:40] if len(value) > 3 else None,
)
def test_every_request_has_its_answer_and_hurts_nobody(
    start_exporter: StartExporter, request_: bytes, status: bytes
) -> None:
    exporter = start_exporter(CONFIG)
    with socket.create_connection(exporter.host_and_port, timeout=30) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(request_)
        asked = time.monotonic()
        found = received(client)
        # All of these are closed when they are answered, not when the client's time is over.
        assert time.monotonic() - asked < DEADLINE / 2
        # Where it was closed while the client was still sending, the kernel may drop what was sent back.
        assert found.split(b" ", 2)[1:2] in ([status], [] if len(request_) > 1 << 16 else [status])
    assert exporter.scrape()[UP] == 1


def test_beyond_the_limit_of_connections_whoever_has_been_waited_for_longest_gives_way(
    start_exporter: StartExporter,
) -> None:
    exporter = start_exporter(CONFIG)
    idle = http.client.HTTPConnection(*exporter.host_and_port, timeout=30)
    idle.request("GET", "/-/ready")
    idle.getresponse().read()
    clients: list[socket.socket] = []
    try:
        for _ in range(CONNECTIONS + 100):
            client = socket.create_connection(exporter.host_and_port, timeout=30)
            client.sendall(b"GET /-/ready HTTP/1.1\r\nHost: ")
            clients.append(client)
        assert exporter.scrape()[UP] == 1
        assert idle.sock is not None
        assert received(idle.sock) == b""
        for client in clients[:100]:
            assert received(client) == b""
        # The youngest can still finish what it began.
        clients[-1].sendall(b"a\r\n\r\n")
        assert clients[-1].recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
    finally:
        for client in (idle, *clients):
            client.close()


def test_requests_beyond_max_requests_get_503(start_exporter: StartExporter) -> None:
    exporter = start_exporter("processes: [{name: '{comm}'}]", "--web.max-requests=1")
    with ThreadPoolExecutor(8) as clients:
        exporter.signal(signal.SIGSTOP)
        try:
            # Requests that differ: those that are the same share their answer, and count as one.
            asked = ["", "?collect[]=host", "?collect[]=process", "?collect[]=cgroup"]
            scrapes = [clients.submit(exporter.request, f"/metrics{query}") for query in asked * 2]
            time.sleep(0.2)
        finally:
            exporter.signal(signal.SIGCONT)
        statuses = sorted(scrape.result().status_code for scrape in scrapes)
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert set(statuses) == {200, 503}
    assert exporter.request("/-/healthy").status_code == 200


def test_the_same_request_of_many_is_answered_once(start_exporter: StartExporter) -> None:
    exporter = start_exporter("processes: [{name: '{comm}'}]", "--web.max-requests=1")
    with ThreadPoolExecutor(16) as clients:
        exporter.signal(signal.SIGSTOP)
        try:
            scrapes = [clients.submit(exporter.request, "/metrics") for _ in range(16)]
            time.sleep(0.2)
        finally:
            exporter.signal(signal.SIGCONT)
        answers = [scrape.result() for scrape in scrapes]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) < 16


def test_hostile_clients_all_at_once(tmp_path: Path) -> None:
    assert hostile.run(60 if full() else 8, tmp_path) == []
