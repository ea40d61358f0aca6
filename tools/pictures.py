"""Draw the dashboards: play a scenario of real processes, and show its data as Grafana lays it out.

    PYTHONPATH=tests python tools/pictures.py play DIRECTORY    record: three minutes, as root
    PYTHONPATH=tests python tools/pictures.py draw DIRECTORY    write docs/pictures/*.png from what was recorded

Panels, queries, units, colours and places are those of grafana/dashboards/*.json: there is no second list here.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from grafana.stage import HOST, JOB, MIB, SCRAPE, Stage, in_background, serve, stage
from grafana.viewer import ROOT, Viewer, boards
from support.child import Child
from support.procfs import status

PICTURES = ROOT / "docs" / "pictures"
TOP = "/shop"
SECONDS = 240  # at most; it ends when so many MiB of the report are in swap, while it swaps
SWAPPED = 88
POINTS = 120  # to a panel: one every few seconds, so that rates are not all noise

CONFIG = """
processes:
  - {name: checkout, comm: [checkout]}
  - {name: database, comm: [database]}
  - {name: report, comm: [report], smaps: true, delays: true, oom_score: true, per_process: true}
  - {name: importer, comm: [importer]}
  - {name: cache, comm: [cache]}
  - {name: mail, comm: [mail]}
cgroups:
  - {name: shop, path: "{top}/*"}
"""

CHOSEN = {
    "overview": {},
    "process-group": {"group": "report"},
    "cgroup": {"group": "shop", "cgroup": f"{TOP}/importer"},
    "host": {},
    "exporter": {},
}

WORK = f"""
def work():
    # Looks at all that it has touched, again and again, as a report does with its tables.
    while True:
        for at in range(0, used, PAGE):
            held[at] = at // PAGE % 255 + 1
            if at % {MIB // 16} == 0:
                time.sleep(0.01)
        time.sleep(0.05)
"""


def report(at: Stage, name: str) -> Child:
    """Promises itself far more memory than it touches at first."""
    child = at.child("report", next(cgroup for cgroup in at.hierarchy.made if cgroup.path.endswith(name)))
    child.run(f"import time; held = memory({384 * MIB}); used = {24 * MIB}")
    child.run(f"exec({WORK!r})")
    child.run(in_background("work()"))
    return child


def play(directory: Path) -> None:
    """A group leaks; one outgrows its limit into swap; one is killed in its container again and again."""
    with stage(directory, CONFIG, top=TOP, swap=512) as at:
        checkout_in = at.cgroup("checkout", memory=256 * MIB)
        at.cgroup("report", memory=96 * MIB, swap=128 * MIB)
        importer_in = at.cgroup("importer", memory=48 * MIB)
        database_in = at.cgroup("database", memory=160 * MIB)
        time.sleep(2)
        started = time.time()
        database = at.child("database", database_in)
        database.run(f"held = [memory({96 * MIB}), memory({12 * MIB}, MAP_HUGETLB)]; lock(held[0]); touch(held[1])")
        cache = at.child("cache")
        cache.run(f"held = mmap.mmap(-1, {1024 * MIB}, flags=PRIVATE); held.madvise(mmap.MADV_HUGEPAGE)")
        checkout = at.child("checkout", checkout_in)
        checkout.run("held = []")
        working = report(at, "report")
        used = 24
        importer: Child | None = None
        for second in range(SECONDS):
            time.sleep(max(0, started + second - time.time()))
            checkout.run(f"held.append(memory({int(1.3 * MIB)})); touch(held[-1])")
            # A working heap breathes: what it gives back it takes again.
            checkout.run(f"extra = memory({second % 20 * MIB // 2 + 4096}); touch(extra)")
            if second % 60 == 0:
                cache.run(f"[held.__setitem__(at, 1) for at in range(0, {(second // 60 + 1) * 12 * MIB}, PAGE)]")
            if status(working.pid)["VmSwap"] > SWAPPED * 1024:
                break
            if second > 40:
                used += 2
                working.run(f"used = {used * MIB}")
            if importer is None and second % 40 == 20:
                importer = at.child("importer", importer_in)
                importer.run("held = []")
            elif importer is not None:
                importer = _grown(importer, f"held.append(memory({2 * MIB})); touch(held[-1])")
        ended = time.time()
        directory.joinpath("played.json").write_text(json.dumps({"start": started, "end": ended}))
    # What follows asks this configuration's Prometheus, which has nothing to scrape any more.
    directory.joinpath("prometheus.yaml").write_text(f"global: {{scrape_interval: {SCRAPE}s}}\n")


def _grown(child: Child, line: str) -> Child | None:
    """A child that took one more step; None for one that the kernel killed."""
    try:
        child.run(line)
    except OSError:
        child.end()
        return None
    return child


def draw(directory: Path) -> None:
    from drawing import draw_board  # matplotlib is slow to import, and play needs none of it

    span = json.loads(directory.joinpath("played.json").read_text())
    with serve(directory) as prometheus:
        for name, board in boards().items():
            chosen = {"job": JOB, "instance": HOST, **CHOSEN[name]}
            viewer = Viewer(prometheus, span["start"], span["end"], SCRAPE, POINTS, chosen)
            draw_board(board, viewer, PICTURES / f"{name}.png")


def main(arguments: list[str]) -> None:
    commands = {"play": play, "draw": draw}
    if len(arguments) != 2 or arguments[0] not in commands:
        sys.exit(__doc__)
    directory = Path(arguments[1]).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    commands[arguments[0]](directory)


if __name__ == "__main__":
    main(sys.argv[1:])
