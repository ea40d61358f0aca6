"""The pages over a /proc that a test writes, without a server."""

from __future__ import annotations

import re
from argparse import Namespace
from dataclasses import dataclass
from html import unescape
from pathlib import Path

from unit.tree import Tree

from exporter.service import Service, build
from exporter.web.app import App
from exporter.web.http import Request
from exporter.web.pages import Pages


@dataclass(frozen=True, slots=True)
class Answer:
    status: str
    headers: dict[str, str]
    html: str

    @property
    def text(self) -> str:
        """What a person reads, in one line."""
        body = self.html.partition("<body>")[2]
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


class Site:
    """The application, with a configuration that can be written anew."""

    def __init__(self, tree: Tree, config: str | None, telemetry_path: str = "/metrics") -> None:
        self.file = tree.root.parent / "config.yaml"
        if config is not None:
            self.file.write_text(config)
        sysfs, cgroupfs = tree.root.parent / "sys", tree.root.parent / "cgroup"
        options = Namespace(
            config_file=None if config is None else str(self.file),
            procfs=tree.path,
            sysfs=str(sysfs),
            cgroupfs=str(cgroupfs),
            keep_open=0,
            telemetry_path=telemetry_path,
        )
        self.service: Service = build(options)
        self._app = App(self.service, telemetry_path, Pages(self.service, options).paths, lifecycle=False)

    def get(self, path: str, query: str = "") -> Answer:
        request = Request("GET", path, query, {})
        answer = self._app.at_once(request) or self._app.answer(request)
        return Answer(answer.status, dict(answer.headers), answer.body.decode())


def cgroup(tree: Tree, path: str, usage: int, limit: int) -> None:
    """Write a cgroup of version 2."""
    root = tree.root.parent / "cgroup"
    folder = root / path.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in (
        ("memory.current", f"{usage}\n"),
        ("memory.max", f"{limit}\n"),
        ("memory.stat", f"anon {usage}\nfile 0\ninactive_file 0\npgfault 1\npgmajfault 0\n"),
        ("memory.events", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 3\n"),
        ("cgroup.procs", ""),
    ):
        (folder / name).write_text(text)


HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"


def hostile(folder: Path) -> tuple[Tree, str]:
    """A machine whose names all try to be markup, and a configuration that puts them on the pages."""
    tree = Tree(folder / "proc")
    tree.process(
        7, b"<script>x()</s>", [b"<i>" + HOSTILE.encode(), b"secret"], cgroup=f"/<b>/{HOSTILE.replace('/', '')}"
    )
    tree.process(8, b"\"'><svg onload", [b"x"])
    cgroup(tree, f"/<b>/{HOSTILE.replace('/', '')}", 95 << 20, 100 << 20)
    text = """
processes:
  - {name: "<u>{x}", cmdline: ['<i>(?P<x>.*)'], labels: {team: "<script>label</script>"}}
  - {name: "<a href=x>never</a>", comm: ["<never>"]}
cgroups:
  - {name: "<script>cgroups</script>", path: "/<b>/**"}
"""
    return tree, text
