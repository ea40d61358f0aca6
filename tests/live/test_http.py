"""The exporter as its clients meet it: formats, reloads, clients that don't behave, and its end."""

import gzip
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import StartExporter
from support.daemon import free_address, until
from support.exporter import COMMAND, Exporter
from support.page import parsed, series

pytestmark = pytest.mark.live

CONFIG = "processes: [{name: first, comm: [not-there-1]}]"
OTHER = "processes: [{name: second, comm: [not-there-2]}]"
BAD = "processes: [{nmae: third}]"
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


def groups(exporter: Exporter) -> set[str]:
    return {key for key in exporter.scrape() if key.startswith("vmem_process_count")}


FIRST, SECOND = ({series("vmem_process_count", group=name)} for name in ("first", "second"))
SUCCESSFUL = "vmem_exporter_config_last_reload_successful"
RELOADED = "vmem_exporter_config_last_reload_success_timestamp_seconds"


def test_sighup_reloads_and_a_bad_file_leaves_the_old_configuration_in_force(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    page = exporter.scrape()
    started = page[RELOADED]
    assert (groups(exporter), page[SUCCESSFUL]) == (FIRST, 1)

    exporter.config.write_text(BAD)
    exporter.signal(signal.SIGHUP)
    until(lambda: exporter.scrape()[SUCCESSFUL] == 0, "the bad file is noticed")
    assert (groups(exporter), exporter.scrape()[RELOADED]) == (FIRST, started)
    assert f"{exporter.config}:1: processes[0].nmae: found an unknown key" in exporter.output

    exporter.config.write_text(OTHER)
    exporter.signal(signal.SIGHUP)
    until(lambda: exporter.scrape()[SUCCESSFUL] == 1, "the good file is noticed")
    assert groups(exporter) == SECOND
    assert exporter.scrape()[RELOADED] > started


def test_a_post_reloads_where_that_is_enabled(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG, "--web.enable-lifecycle")
    exporter.config.write_text(BAD)
    answer = exporter.request("/-/reload", "POST")
    assert answer.status_code == 500
    assert f"{exporter.config}:1: processes[0].nmae: found an unknown key" in answer.text
    assert (groups(exporter), exporter.scrape()[SUCCESSFUL]) == (FIRST, 0)

    exporter.config.write_text(OTHER)
    assert exporter.request("/-/reload", "POST").status_code == 200
    assert (groups(exporter), exporter.scrape()[SUCCESSFUL]) == (SECOND, 1)

    answer = exporter.request("/-/reload")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, PUT")


def test_a_post_does_not_reload_where_that_is_not_enabled(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    exporter.config.write_text(OTHER)
    assert exporter.request("/-/reload", "POST").status_code == 403
    assert groups(exporter) == FIRST


@contextmanager
def half_requests(exporter: Exporter, count: int) -> Iterator[list[socket.socket]]:
    """So many clients that have begun a request and never finish it."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(exporter.host_and_port, timeout=10))
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: half\r\nX-Never-")
            clients.append(client)
        yield clients


@pytest.mark.parametrize("clients", [0, 1])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_well_within_a_second_also_while_a_client_holds_half_a_request(
    start_exporter: StartExporter, number: signal.Signals, clients: int
) -> None:
    exporter = start_exporter(CONFIG)
    exporter.scrape()
    with half_requests(exporter, clients):
        start = time.monotonic()
        exporter.signal(number)
        assert exporter.wait() == 0
        assert time.monotonic() - start < 1
    assert f"ended by {number.name}" in exporter.output


def test_a_port_in_use_is_one_line_and_exit_code_2(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    command: list[str | Path] = [COMMAND, f"--web.listen-address={exporter.address}"]
    second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == (
        f"vmem-exporter: --web.listen-address: cannot listen at {exporter.address}: Address already in use\n"
    )
    assert exporter.scrape()


def test_200_clients_that_never_finish_a_request_do_not_stop_a_scrape(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    with half_requests(exporter, 200) as clients:
        assert groups(exporter) == FIRST
        assert exporter.answers("/-/healthy")
        # They were held all the while, not turned away.
        for client in clients:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(1)
    assert groups(exporter) == FIRST


def test_a_client_that_leaves_in_the_middle_of_a_scrape_hurts_nobody(start_exporter: StartExporter) -> None:
    exporter = start_exporter(None)
    for _ in range(50):
        with socket.create_connection(exporter.host_and_port, timeout=10) as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: hasty\r\n\r\n")
    assert exporter.scrape()[SUCCESSFUL] == 1


def test_it_serves_on_each_address_that_it_is_given(start_exporter: StartExporter) -> None:
    second = free_address()
    exporter = start_exporter(CONFIG, f"--web.listen-address={second}", "--web.telemetry-path=/elsewhere")
    for address in exporter.address, second:
        answer = replace(exporter, address=address).request("/elsewhere")
        assert parsed(answer.text)[SUCCESSFUL] == 1
    assert exporter.request("/metrics").status_code == 404
    assert 'href="/elsewhere"' in exporter.request("/").text


def test_the_answer_is_compressed_for_those_who_ask(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    plain = exporter.request("/metrics", headers={"Accept-Encoding": "identity"}, stream=True)
    assert "Content-Encoding" not in plain.headers
    packed = exporter.request("/metrics", headers={"Accept-Encoding": "gzip"}, stream=True)
    assert packed.headers["Content-Encoding"] == "gzip"
    body = packed.raw.read(decode_content=False)
    assert len(body) == int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
    assert parsed(gzip.decompress(body).decode()).keys() == parsed(plain.text).keys()
    for answer in (plain, packed):
        assert "Accept-Encoding" in answer.headers["Vary"]


def test_the_format_is_openmetrics_for_those_who_ask(start_exporter: StartExporter) -> None:
    exporter = start_exporter("processes: [{name: '{comm}'}]")
    text = exporter.request("/metrics", headers={"Accept": "*/*"})
    assert text.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    openmetrics = exporter.request("/metrics", headers={"Accept": PROMETHEUS_ACCEPTS})
    assert openmetrics.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert openmetrics.text.endswith("\n# EOF\n")
    pages = [parsed(text.text), parsed(openmetrics.text, openmetrics=True)]
    # Processes come and go between the two.
    metrics = [{key.partition("{")[0] for key in page} for page in pages]
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) > 200


def test_collect_chooses_collectors(start_exporter: StartExporter) -> None:
    exporter = start_exporter(CONFIG)
    page = exporter.scrape("?collect[]=process")
    assert not [key for key in page if key.startswith("vmem_host_")]
    assert page.keys() >= FIRST
    page = exporter.scrape("?collect[]=host")
    assert not FIRST & page.keys()
    assert "vmem_host_mem_total_bytes" in page
    answer = exporter.request("/metrics?collect[]=weather")
    assert (answer.status_code, answer.text) == (400, "missing collector: weather\n")


def test_scrapes_that_overlap_share_one_collection(start_exporter: StartExporter) -> None:
    exporter = start_exporter("processes: [{name: '{comm}'}]")
    duration = series("vmem_scrape_collector_duration_seconds", collector="process")
    alone = {exporter.scrape()[duration] for _ in range(5)}
    assert len(alone) == 5
    shared = 0
    with ThreadPoolExecutor(4) as clients:
        for _ in range(5):
            # Stopped, it finds the requests of all four when it goes on.
            exporter.signal(signal.SIGSTOP)
            try:
                scrapes = [clients.submit(exporter.scrape) for _ in range(4)]
                time.sleep(0.1)
            finally:
                exporter.signal(signal.SIGCONT)
            shared += 4 - len({scrape.result()[duration] for scrape in scrapes})
    assert shared > 0
