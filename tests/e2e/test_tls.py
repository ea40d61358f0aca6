"""A real Prometheus, whose TLS is Go's, scrapes with a certificate and a password, on a connection that it keeps."""

from pathlib import Path

import bcrypt
import pytest
from conftest import StartExporter
from support.daemon import until
from support.exporter import Exporter
from support.procfs import open_files
from support.prometheus import configured
from web.certificates import Authority

pytestmark = pytest.mark.e2e

SCRAPES = """
global: {{scrape_interval: 1s}}
scrape_configs:
- job_name: vmem
  scheme: https
  basic_auth: {{username: me, password: {password}}}
  tls_config: {{ca_file: ca.pem{certificate}}}
  static_configs: [{{targets: ["{target}"]}}]
"""
SHOWN = ", cert_file: prometheus.pem, key_file: prometheus.key"


@pytest.fixture
def secured(tmp_path: Path, start_exporter: StartExporter) -> Exporter:
    Authority(tmp_path).client("prometheus", "prometheus.example")
    file = tmp_path / "web.yaml"
    file.write_text("")
    exporter = start_exporter("processes: [{name: '{comm}'}]", f"--web.config.file={file}")
    file.write_text(
        "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
        " client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: [prometheus.example]}\n"
        f"basic_auth_users: {{me: {bcrypt.hashpw(b'right', bcrypt.gensalt(4)).decode()}}}"
    )
    until(lambda: "web configuration read again" in exporter.output, "TLS")
    return exporter


def test_prometheus_scrapes_over_one_connection_that_it_keeps(tmp_path: Path, secured: Exporter) -> None:
    with configured(tmp_path, SCRAPES.format(password="right", certificate=SHOWN, target=secured.address)) as server:
        until(lambda: server.value("up") == 1, "Prometheus has scraped")
        until(lambda: (server.value("count_over_time(up[1m])") or 0) >= 5, "it has scraped five times")
        assert server.value("min_over_time(up[1m])") == 1
        files = open_files(secured.process.pid)
    # One that listens, one that Prometheus keeps, and the two of the loop's own pair.
    assert sum(link.startswith("socket:") for link in files) == 4


@pytest.mark.parametrize(
    ("password", "certificate", "said"),
    [("wrong", SHOWN, "401 Unauthorized"), ("right", "", "tls: certificate required")],
)
def test_prometheus_is_refused_and_says_why(
    tmp_path: Path, secured: Exporter, password: str, certificate: str, said: str
) -> None:
    asks = SCRAPES.format(password=password, certificate=certificate, target=secured.address)
    with configured(tmp_path, asks) as server:
        until(lambda: server.value("up") == 0, "Prometheus is refused")
        [target] = server.api("targets")["activeTargets"]
    assert said in target["lastError"]
