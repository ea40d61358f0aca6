"""The exporter as a process of its own, and what it serves."""

import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.cgroups import Cgroup
from kernel.experiment import PATIENCE, Page
from prometheus_client.parser import text_string_to_metric_families

IN_A_NAMESPACE = (
    "import ctypes, os, sys\n"
    "if ctypes.CDLL(None, use_errno=True).unshare(0x02000000):\n"  # CLONE_NEWCGROUP
    "    raise OSError(ctypes.get_errno(), 'unshare')\n"
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
)
"""Python that becomes another Python in a cgroup namespace whose root is the cgroup that it is in."""


def parsed(text: str) -> Page:
    page = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            page[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return page


def once_in_a_namespace(cgroup: Cgroup, config: str) -> Page:
    """What an exporter prints that runs in this cgroup, which is the root of its cgroup namespace: a container."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(config)
        file.flush()
        enter = ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(cgroup.directory / "cgroup.procs")]
        command = [sys.executable, "-c", IN_A_NAMESPACE, "-m", "exporter", "once", f"--config.file={file.name}"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False, timeout=PATIENCE)
    if done.returncode or done.stderr:
        raise OSError(f"the exporter in a namespace ended with {done.returncode}: {done.stderr}")
    return parsed(done.stdout)


@dataclass(frozen=True, slots=True)
class Exporter:
    """A running exporter: where it listens, and the file that it logs to."""

    process: subprocess.Popen[bytes]
    address: str
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def scrape(self) -> Page:
        """One answer of /metrics. OSError where it is anything but 200."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=PATIENCE) as answer:
            return parsed(answer.read().decode())

    def stop(self) -> int:
        """Ask it to go: how it went, 0 where it was asked and could."""
        if self.alive:
            self.process.terminate()
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def exporter(config: str, directory: Path) -> Iterator[Exporter]:
    """Start it with this configuration, and wait until it answers or has given up."""
    file, log = directory / "config.yaml", directory / "exporter.log"
    file.write_text(config)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "exporter", f"--config.file={file}", f"--web.listen-address={address}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    started = Exporter(process, address, log)
    try:
        give_up = time.monotonic() + PATIENCE
        while started.alive and time.monotonic() < give_up:
            try:
                started.scrape()
                break
            except OSError:
                time.sleep(0.1)
        yield started
    finally:
        process.kill()
        process.wait()
