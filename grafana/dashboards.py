"""Build the dashboards.

    python grafana/dashboards.py            write grafana/dashboards/*.json
    python grafana/dashboards.py --check    say whether they are what would be written; exit code 1 where not

The same sources give the same bytes, wherever and whenever they are built.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from boards import cgroup, exporter, host, overview, process_group
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (overview.BOARD, process_group.BOARD, cgroup.BOARD, host.BOARD, exporter.BOARD)


def path(board: Dashboard) -> Path:
    assert board.uid is not None
    return FOLDER / f"{board.uid.removeprefix('vmem-')}.json"


def text(board: Dashboard) -> str:
    page = json.loads(json.dumps(board, cls=JSONEncoder))
    del page["style"]  # a user's choice, and unknown to Grafana from 10.2 on
    for variable in page["templating"]["list"]:
        # The SDK writes these for every variable; Grafana has them for none of these kinds.
        for key in ("id", "auto", "auto_min", "auto_count"):
            del variable[key]
    return json.dumps(page, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    wanted = {path(board): text(board) for board in BOARDS}
    there = {file: file.read_text() for file in FOLDER.glob("*.json")}
    if arguments:
        stale = sorted(file.name for file in wanted.keys() | there.keys() if wanted.get(file) != there.get(file))
        for name in stale:
            print(f"grafana/dashboards/{name} is not what grafana/dashboards.py builds: run it")
        return 1 if stale else 0
    for file in there.keys() - wanted.keys():
        file.unlink()
    for file, new in wanted.items():
        file.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
