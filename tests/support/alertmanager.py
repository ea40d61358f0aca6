"""A real Alertmanager, and the receiver at its other end."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from support.daemon import Daemon, daemon, free_address
from support.needs import program


@dataclass(frozen=True, slots=True)
class Notice:
    """One request to the receiver: its path, and what it says."""

    path: str
    body: dict[str, Any]


@dataclass(slots=True)
class Receiver:
    """A server that takes notices from webhooks, and keeps them."""

    url: str
    notices: list[Notice] = field(default_factory=list)

    def notice(self, alert: str, status: str) -> Notice | None:
        """The first notice of this alert with this status: firing or resolved."""
        for notice in list(self.notices):
            if (notice.body["groupLabels"]["alertname"], notice.body["status"]) == (alert, status):
                return notice
        return None


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Take notices until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.notices.append(Notice(self.path, body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: what came in is kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def alertmanager(directory: Path, config: str) -> Iterator[Daemon]:
    """Run an Alertmanager with this configuration, alone; its data goes into the directory."""
    command, address = program("prometheus-alertmanager"), free_address()
    file = directory / "alertmanager.yaml"
    file.write_text(config)
    flags = [f"--config.file={file}", f"--storage.path={directory / 'alerts'}", f"--web.listen-address={address}"]
    log = directory / "alertmanager.log"
    with daemon([command, *flags, "--cluster.listen-address="], address, "/-/ready", log) as started:
        yield started
