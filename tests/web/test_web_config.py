"""The web configuration: what each key means, and what is said of a file that can't be used."""

import ssl
from pathlib import Path

import pytest
from web.certificates import Authority

from exporter.errors import ConfigError
from exporter.web.web_config import CIPHERS, WebConfig, load

HASH = "$2y$04$abcdefghijklmnopqrstuuVdXIwr5pJ1Gg7YJ9l3ZvUdWjT1xXe7m"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with server.pem, server.key and ca.pem."""
    folder = tmp_path_factory.mktemp("pair")
    Authority(folder)
    return folder


def loaded(folder: Path, text: str) -> tuple[WebConfig, ssl.SSLContext | None]:
    file = folder / "web.yaml"
    file.write_text(text)
    return load(str(file))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    return [problem.removeprefix(f"{folder}/web.yaml:") for problem in caught.value.problems]


def test_an_empty_file_is_plain_http_for_everyone(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == (WebConfig(), None)
    assert loaded(tmp_path, "tls_server_config: {}") == (WebConfig(), None)


def test_all_keys_are_taken(pair: Path) -> None:
    config, context = loaded(
        pair,
        f"""
tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [prometheus.example]
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP384]
http_server_config:
  http2: false
  headers:
    Strict-Transport-Security: max-age=31536000
    X-Frame-Options: deny
    X-XSS-Protection: ""
basic_auth_users:
  prometheus: {HASH}
rate_limit: {{interval: 1m30s, burst: 5}}
""",
    )
    assert config.users == {"prometheus": HASH.encode()}
    assert config.headers == (("Strict-Transport-Security", "max-age=31536000"), ("X-Frame-Options", "deny"))
    assert (config.interval, config.burst) == (90, 5)
    assert config.tls
    assert context
    assert config.tls.client_allowed_sans == ("prometheus.example",)
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert not context.options & ssl.OP_CIPHER_SERVER_PREFERENCE
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-RSA-AES256-GCM-SHA384"]
    assert "abcdefgh" not in repr(config)


def test_without_a_word_the_versions_are_1_2_and_1_3_and_no_client_is_asked_for_a_certificate(pair: Path) -> None:
    _, context = loaded(pair, "tls_server_config: {cert_file: server.pem, key_file: server.key}")
    assert context
    assert (context.minimum_version, context.maximum_version) == (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    assert context.verify_mode is ssl.CERT_NONE
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


def test_certificate_key_and_authority_may_be_in_the_file_itself(pair: Path) -> None:
    def block(name: str, file: str) -> str:
        text = "\n".join(f"    {line}" for line in (pair / file).read_text().splitlines())
        return f"  {name}: |\n{text}\n"

    text = "tls_server_config:\n  client_auth_type: VerifyClientCertIfGiven\n"
    text += block("cert", "server.pem") + block("key", "server.key") + block("client_ca", "ca.pem")
    config, context = loaded(pair, text)
    assert context
    assert context.verify_mode is ssl.CERT_OPTIONAL
    assert ((("organizationName", "a test"),)) in context.get_ca_certs()[0]["subject"]
    assert config.tls
    assert "PRIVATE KEY" not in repr(config)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("NoClientCert", ssl.CERT_NONE),
        ("RequestClientCert", ssl.CERT_NONE),
        ("VerifyClientCertIfGiven", ssl.CERT_OPTIONAL),
        ("RequireAndVerifyClientCert", ssl.CERT_REQUIRED),
    ],
)
def test_client_auth_types(pair: Path, name: str, mode: ssl.VerifyMode) -> None:
    authority = "client_ca_file: ca.pem, " if mode else ""
    text = f"tls_server_config: {{cert_file: server.pem, key_file: server.key, {authority}client_auth_type: {name}}}"
    _, context = loaded(pair, text)
    assert context
    assert context.verify_mode is mode


def test_openssl_knows_every_cipher_suite(pair: Path) -> None:
    for name, theirs in CIPHERS.items():
        _, context = loaded(
            pair, f"tls_server_config: {{cert_file: server.pem, key_file: server.key, cipher_suites: [{name}]}}"
        )
        assert context
        assert [c["name"] for c in context.get_ciphers() if c["protocol"] != "TLSv1.3"] == [theirs]


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
def test_openssl_knows_every_curve(pair: Path, curve: str) -> None:
    text = f"tls_server_config: {{cert_file: server.pem, key_file: server.key, curve_preferences: [{curve}]}}"
    assert loaded(pair, text)[1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1s", 1), ("100ms", 0.1), ("1h2m3.5s", 3723.5), ("5us", 5e-6), ("7ns", 7e-9)]
)
def test_durations_are_go_s(tmp_path: Path, text: str, seconds: float) -> None:
    assert loaded(tmp_path, f"rate_limit: {{interval: {text}, burst: 1}}")[0].interval == pytest.approx(seconds)


TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("tls: {}", "1: tls: found an unknown key, expected one of tls_server_config, http_server_config, "),
        (
            "tls_server_config: {min_version: TLS14}",
            "1: tls_server_config.min_version: found 'TLS14', expected one of TLS10, ",
        ),
        ("tls_server_config: {cert_file: a}", "1: tls_server_config: found no key, expected key_file or key"),
        ("tls_server_config: {key_file: a}", "1: tls_server_config: found no certificate, expected cert_file or cert"),
        ("tls_server_config: {cert: nothing}", "1: tls_server_config.cert: found no PEM, expected -----BEGIN ... in a"),
        (
            f"{TLS}, min_version: TLS13, max_version: TLS12}}",
            "1: tls_server_config: found min_version above max_version",
        ),
        (f"{TLS}, client_ca_file: ca.pem}}", "1: tls_server_config: found an authority that no client is verified by,"),
        (
            f"{TLS}, client_auth_type: RequireAndVerifyClientCert}}",
            "1: tls_server_config: found RequireAndVerifyClientCert and no authority, expected client_ca_file or",
        ),
        (
            f"{TLS}, client_auth_type: RequireAnyClientCert}}",
            "1: tls_server_config.client_auth_type: found 'RequireAnyClientCert', expected one of NoClientCert, ",
        ),
        (f"{TLS}, client_allowed_sans: [a]}}", "1: tls_server_config: found client_allowed_sans, expected them with "),
        (
            f"{TLS}, cipher_suites: [RC4]}}",
            "1: tls_server_config.cipher_suites[0]: found 'RC4', expected one of TLS_ECDHE_",
        ),
        (
            f"{TLS}, curve_preferences: [X25519, CurveP256]}}",
            "1: tls_server_config.curve_preferences: found 2 curves, ",
        ),
        (
            f"{TLS}, curve_preferences: [X25519MLKEM768]}}",
            "1: tls_server_config.curve_preferences[0]: found 'X25519MLKEM768'",
        ),
        (
            "http_server_config: {http2: true}",
            "1: http_server_config.http2: found true (bool), expected false: this server",
        ),
        ("http_server_config: {headers: {X-Mine: a}}", "1: http_server_config.headers.X-Mine: found an unknown key, "),
        (
            "http_server_config: {headers: {X-Frame-Options: allow}}",
            "1: http_server_config.headers.X-Frame-Options: found 'allow', expected one of deny, sameorigin",
        ),
        (
            'http_server_config: {headers: {Content-Security-Policy: "a\\r\\nSet-Cookie: b"}}',
            "1: http_server_config.headers.Content-Security-Policy: found 'a\\r\\nSet-Cookie: b', expected printable",
        ),
        (
            "\nrate_limit: {interval: soon, burst: 1}",
            "2: rate_limit.interval: found 'soon', expected a duration such as ",
        ),
        ("rate_limit: {interval: 1s}", "1: rate_limit: found interval and no burst, expected how many"),
        ("rate_limit: {interval: 1s, burst: -1}", "1: rate_limit.burst: found -1 (int), expected a whole number"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_key(pair: Path, text: str, line: str) -> None:
    [problem] = problems(pair, text)
    assert problem.startswith(line)


def test_a_password_that_isn_t_hashed_is_not_repeated(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "basic_auth_users:\n  me: secret")
    assert problem == "2: basic_auth_users.me: found no bcrypt hash, expected one, as of htpasswd -nB"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, "server.pem: found No such file or directory, expected a readable PEM file"),
        ({"server.pem": ""}, "server.key: found No such file or directory, expected a readable PEM file"),
        ({"server.pem": "", "server.key": ""}, "expected a PEM certificate and its key"),
    ],
)
def test_a_certificate_that_can_t_be_used_is_named(tmp_path: Path, files: dict[str, str], found: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    [problem] = problems(tmp_path, f"# who may read\n{TLS}}}")
    assert problem.startswith("2: tls_server_config: ")
    assert problem.endswith(found)


def test_a_key_that_is_another_s_is_told(pair: Path, tmp_path: Path) -> None:
    Authority(tmp_path)
    [problem] = problems(pair, f"tls_server_config: {{cert_file: server.pem, key_file: {tmp_path}/server.key}}")
    assert "KEY_VALUES_MISMATCH" in problem


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    assert len(problems(tmp_path, "tls_server_config: {key: 5}\nrate_limit: 7\nbasic_auth_users: {a: b, c: d}")) == 4
