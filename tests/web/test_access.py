"""Passwords, the rate of requests, and keeping up with the files."""

import logging
import os
import threading
import time
from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest
from web.certificates import Authority

from exporter.web import access as module
from exporter.web.access import Access

CHEAP = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()


def header(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def written(folder: Path, text: str) -> Path:
    file = folder / "web.yaml"
    fresh = folder / "web.yaml.new"
    fresh.write_text(text)
    fresh.replace(file)
    return file


@pytest.fixture
def guarded(tmp_path: Path) -> Access:
    return Access(str(written(tmp_path, f"basic_auth_users: {{me: {CHEAP}}}")))


def test_without_users_everyone_is_let_in_at_once() -> None:
    assert Access(None).known("") is True


@pytest.mark.parametrize(
    "given",
    ["", "Basic", "Basic !!!", "Bearer abc", "Digest x", "Basic " + b64encode(b"no colon").decode(), "Basic \xff"],
)
def test_what_is_no_user_and_password_is_refused_at_once(guarded: Access, given: str) -> None:
    assert guarded.known(given) is False
    assert guarded.check(given) is False


def test_a_password_is_compared_once_and_then_known(guarded: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    for password, right in ("right", True), ("wrong", False), ("", False), ("r\0ight", False):
        assert guarded.known(header("me", password)) is None
        assert guarded.check(header("me", password)) is right
        assert guarded.known(header("me", password)) is right
    monkeypatch.setattr(bcrypt, "checkpw", lambda *_: pytest.fail("compared again"))
    assert guarded.check(header("me", "right")) is True
    assert guarded.check(header("me", "wrong")) is False


def test_a_user_that_there_is_not_costs_as_much_as_a_wrong_password(
    guarded: Access, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda password, hashed: compared.append((password, hashed)) or True)
    assert guarded.check(header("nobody", "right")) is False
    assert compared == [(b"right", CHEAP.encode())]


def test_bcrypt_looks_at_72_bytes_as_elsewhere(tmp_path: Path) -> None:
    hashed = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    access = Access(str(written(tmp_path, f"basic_auth_users: {{me: {hashed}}}")))
    assert access.check(header("me", "x" * 100)) is True
    assert access.check(header("me", "x" * 71)) is False


def test_passwords_are_not_kept(guarded: Access) -> None:
    guarded.check(header("me", "right"))
    assert "right" not in repr(vars(guarded))
    assert all(len(key) == 32 for key in guarded._outcomes)


def test_guesses_do_not_drive_out_who_is_known(guarded: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 10)
    guarded.check(header("me", "right"))
    for number in range(30):
        guarded.check(header("me", str(number)))
    assert len(guarded._outcomes) == 10
    assert guarded.known(header("me", "right")) is True
    assert guarded.known(header("me", "29")) is False
    assert guarded.known(header("me", "0")) is None


def test_a_user_whose_password_changes_is_asked_again(guarded: Access, tmp_path: Path) -> None:
    guarded.check(header("me", "right"))
    changed = bcrypt.hashpw(b"changed", bcrypt.gensalt(4)).decode()
    written(tmp_path, f"basic_auth_users: {{me: {changed}}}")
    guarded.refresh()
    assert guarded.known(header("me", "right")) is None
    assert guarded.check(header("me", "right")) is False
    assert guarded.check(header("me", "changed")) is True


def test_files_that_do_not_change_are_not_read_again(guarded: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load", lambda _: pytest.fail("read again"))
    guarded.refresh()


def test_a_bad_file_leaves_what_is_in_force_and_is_told_once(
    guarded: Access, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    written(tmp_path, "basic_auth_users: {me: plain}")
    guarded.refresh()
    os.utime(tmp_path / "web.yaml")
    guarded.refresh()
    assert guarded.known(header("me", "right")) is None
    assert caplog.messages == [
        f"the web configuration before stays in force: {tmp_path}/web.yaml:1: "
        "basic_auth_users.me: found no bcrypt hash, expected one, as of htpasswd -nB"
    ]
    written(tmp_path, "")
    guarded.refresh()
    assert caplog.messages[1:] == ["web configuration read again"]
    assert guarded.known("") is True


def test_a_certificate_that_is_renewed_is_taken(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file = written(tmp_path, "tls_server_config: {cert_file: server.pem, key_file: server.key}")
    access = Access(str(file))
    before = access.context
    access.refresh()
    assert access.context is before
    authority.server()
    access.refresh()
    assert access.context is not before


def test_a_half_renewed_certificate_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    access = Access(str(written(tmp_path, "tls_server_config: {cert_file: server.pem, key_file: server.key}")))
    before, key = access.context, (tmp_path / "server.key").read_bytes()
    authority.server()
    new = (tmp_path / "server.key").read_bytes()
    (tmp_path / "server.key").write_bytes(key)
    access.refresh()
    assert access.context is before
    (tmp_path / "server.key").write_bytes(new)
    access.refresh()
    assert access.context is not before


def test_a_client_is_known_by_any_of_its_alternative_names(tmp_path: Path) -> None:
    Authority(tmp_path)
    text = "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
    text += " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [prometheus.example, 10.0.0.1]}"
    access = Access(str(written(tmp_path, text)))
    assert access.knows({"subjectAltName": (("DNS", "other"), ("DNS", "prometheus.example"))})
    assert access.knows({"subjectAltName": (("IP Address", "10.0.0.1"),)})
    assert not access.knows({"subjectAltName": (("DNS", "other"),)})
    assert not access.knows({"subject": ((("commonName", "prometheus.example"),),)})
    assert not access.knows(None)
    assert Access(None).knows(None)


def test_the_rate_allows_a_burst_and_then_one_each_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    access = Access(str(written(tmp_path, "rate_limit: {interval: 10s, burst: 3}")))
    assert [access.allows_one_more() for _ in range(5)] == [True, True, True, False, False]
    now += 9.9
    assert not access.allows_one_more()
    now += 0.2
    assert [access.allows_one_more() for _ in range(2)] == [True, False]
    now += 1e6
    assert [access.allows_one_more() for _ in range(5)] == [True, True, True, False, False]
    assert all(Access(None).allows_one_more() for _ in range(100))


def test_many_may_ask_at_the_same_time(guarded: Access) -> None:
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(guarded.check(header("me", "right" if n % 2 else str(n)))))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 10 + [True] * 10
