"""Capture a fixture with something in it: processes of known shape, in cgroups that are made and removed.

    PYTHONPATH=tests python3 -m kernel.specimen FIXTURE        as root

Needs the right to make cgroups, swap and huge pages. What was started is written to FIXTURE/specimen.json, so that a
test may know what a process did that it finds in the fixture.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kernel.borrow import hugepages, swap
from kernel.cgroups import Hierarchy
from kernel.experiment import MIB, Shape
from kernel.scenarios import CONTAINER, UID

CAPTURE = Path(__file__).parent.parent.parent / "tools" / "capture.py"

POD = f"/kubepods/burstable/pod{UID}"
LIMITS = {  # cgroup: bytes of memory, bytes of swap
    "/lab/db": (24 * MIB, 64 * MIB),
    "/lab/killed": (16 * MIB, 0),
    POD: (96 * MIB, 0),
}
SETTINGS = {  # version: what only that one has, all of it for /lab/web
    1: {"memory.soft_limit_in_bytes": 192 * MIB},
    2: {"memory.high": 256 * MIB, "memory.low": 16 * MIB, "memory.min": 8 * MIB, "memory.oom.group": 1},
}
ODD_NAME = b"a) (b\n\xff\xfe c"
PROCESSES = {  # name: cgroup, steps
    "lazy": ("/lab/web", ["lazy=512M"]),
    "touched": ("/lab/web", ["lazy=64M", "anon=24M", "shared=4M", "file=1M", "threads=3"]),
    "locked": ("/lab/web", ["locked=8M"]),
    "swapped": ("/lab/db", ["anon=40M", "again=all"]),
    "huge": ("/lab/huge", ["hugetlb=4M", "thp=8M"]),
    "parent": ("/lab/huge", ["zombie=1"]),
    "odd": ("/system.slice/odd.service", [f"comm={ODD_NAME.hex()}", "note=two words\udcff", "anon=1M"]),
    "nobody": ("/system.slice/nginx.service", ["anon=2M", "uid=65534"]),
    "container": (f"{POD}/{CONTAINER}", ["anon=4M"]),
}


def children(parent: int) -> Iterator[int]:
    """The pids of a process's children. ProcessLookupError and the like cannot be: only our own are asked for."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        after_name = path.read_bytes().rpartition(b")")[2].split()
        if int(after_name[1]) == parent:
            yield int(path.parent.name)


def capture(fixture: Path) -> None:
    hierarchy = Hierarchy.of_this_machine()
    shapes: dict[str, Shape] = {}
    try:
        for path in dict.fromkeys([*LIMITS, *(path for path, _ in PROCESSES.values())]):
            cgroup = hierarchy.make(path)
            if path in LIMITS:
                cgroup.limit(*LIMITS[path])
        made = {cgroup.path: cgroup for cgroup in hierarchy.made}
        for file, value in SETTINGS[hierarchy.version].items():
            made["/lab/web"].write(file, value)
        Shape(made["/lab/killed"], "anon=32M").end()  # killed by the kernel: an oom_kill to be found
        for name, (path, steps) in PROCESSES.items():
            comm = [] if name == "odd" else [f"comm={name.encode().hex()}"]
            shapes[name] = Shape(made[path], *comm, *steps)
        pids = {name: shape.pid for name, shape in shapes.items()}
        pids["zombie"] = next(children(pids["parent"]))
        chosen = [f"--pid={pid}" for pid in pids.values()] + [f"--cgroup={path}" for path in made]
        subprocess.run([sys.executable, str(CAPTURE), str(fixture), *chosen], check=True)
        specimen = {
            name: {"pid": pid, "cgroup": path, "steps": [ascii(step)[1:-1] for step in steps]}
            for name, pid in pids.items()
            for path, steps in [PROCESSES.get(name, (PROCESSES["parent"][0], []))]
        }
        (fixture / "specimen.json").write_text(json.dumps(specimen, indent=2) + "\n")
    finally:
        for shape in shapes.values():
            shape.end()
        hierarchy.remove_all()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with swap(), hugepages():
        capture(Path(sys.argv[1]).resolve())
