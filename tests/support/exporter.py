"""The exporter, by the command that users have."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kernel.cgroups import Cgroup
from support import procfs
from support.daemon import Daemon, daemon, free_address
from support.page import Page, parsed, series

COMMAND = Path(sys.executable).with_name("vmem-exporter")


def unmeasured() -> dict[str, str]:
    """The environment without coverage, which takes memory, and time at the end, that are not the exporter's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def inside(cgroup: Cgroup) -> tuple[str | Path, ...]:
    """The command of an exporter that is in a cgroup from its start."""
    return ("sh", "-c", f'echo 0 >{cgroup.directory}/cgroup.procs && exec "$0" "$@"', COMMAND)


@dataclass(frozen=True, slots=True)
class Exporter(Daemon):
    """A running exporter and the file of its configuration."""

    config: Path

    def scrape(self, query: str = "", **options: object) -> Page:
        """The samples of one scrape."""
        answer = self.request(f"/metrics{query}", **options)
        assert answer.status_code == 200, answer.text
        return parsed(answer.text)

    def agrees(self, read: Callable[[], Page]) -> Page:
        """Compare the exporter's numbers with the kernel's, at a moment at which these stand still."""
        kernel, page = procfs.while_still(read, self.scrape)
        assert {key: page.get(key) for key in kernel} == kernel
        return kernel

    def agrees_on_group(self, name: str, *pids: int) -> Page:
        """Compare all that it shows of a group with the kernel's numbers: the samples, without the group's label."""
        kernel, page = procfs.while_still(lambda: procfs.group(name, *pids), self.scrape)
        # What it could not read is the exporter's to say; a test that is about it looks there.
        shown = {key: value for key, value in page.items() if f'group="{name}"' in key and "_read_errors_" not in key}
        assert shown == kernel
        return {key.replace(f'{{group="{name}"}}', "").replace(f'group="{name}",', ""): kernel[key] for key in kernel}

    def errors(self, group: str, reason: str) -> float | None:
        """How often a process of the group could not be read."""
        return self.scrape().get(series("vmem_process_read_errors_total", group=group, reason=reason))


@contextmanager
def exporter(
    directory: Path, config: str | None, *flags: str, command: Sequence[str | Path] = (COMMAND,)
) -> Iterator[Exporter]:
    """Run the exporter, with this text as its configuration, and see it end well."""
    file = directory / "config.yaml"
    if config is not None:
        file.write_text(config)
        flags = (f"--config.file={file}", *flags)
    address = free_address()
    arguments = [*command, f"--web.listen-address={address}", *flags]
    with daemon(arguments, address, "/-/ready", directory / "exporter.log") as started:
        running = Exporter(started.process, started.address, started.log, file)
        yield running
    assert "Traceback" not in running.output, running.output
    assert "this is a bug" not in running.output, running.output
    assert running.process.returncode == 0, running.output
