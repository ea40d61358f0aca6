"""Inside the emulated machine: run every scenario, one JSON line each; or store the machine as a fixture.

Standard output is a serial port of its own, so that no line of the kernel's console falls between.
"""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

from kernel.cgroups import Hierarchy
from kernel.experiment import Experiment, Record
from kernel.scenarios import CONFIG, SCENARIOS, run
from kernel.watched import exporter


def report(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def run_scenarios() -> None:
    hierarchy = Hierarchy.of_this_machine()
    with exporter(CONFIG, Path("/tmp")) as watched:
        scrape = watched.scrape if watched.alive else dict  # without it, the kernel's side can still be seen
        for name, (_, versions) in SCENARIOS.items():
            if hierarchy.version in versions:
                experiment = Experiment(hierarchy, scrape, Record(name))
                run(experiment)
                report(experiment.record.as_json())
        report({"done": True, "alive": watched.alive, "status": watched.stop(), "log": watched.log.read_text()})


def capture() -> None:
    fixture = Path("/tmp/fixture")
    subprocess.run([sys.executable, "-m", "kernel.specimen", fixture], check=True)
    with tarfile.open("/dev/vdb", "w") as disk:
        disk.add(fixture, ".")
    report({"done": True, "captured": sum(1 for _ in fixture.rglob("*"))})


if __name__ == "__main__":
    {"scenarios": run_scenarios, "capture": capture}[sys.argv[1]]()
