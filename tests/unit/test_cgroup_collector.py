"""The cgroup collector on trees of files: many cgroups, lives, limits of ancestors, both versions."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.tree import ordinary_user, when_opened

from exporter.collectors.cgroup import CgroupCollector
from exporter.collectors.page import Page
from exporter.config import parse
from exporter.watch import cgroup_reader
from exporter.watch.cgroups import NoHierarchy, find_hierarchy, owner

FIXTURES = Path(__file__).parent.parent / "fixtures"


class Tree:
    """A cgroup v2 tree of files, made from a captured cgroup, and a collector over it."""

    def __init__(self, root: Path, config: str) -> None:
        self.root = root
        self.config = parse(config.encode(), "test")
        shutil.copytree(
            FIXTURES / "6.1-v2" / "cgroup", root, ignore=lambda _, names: {"lab", "kubepods", "system.slice"}
        )
        self.collector = CgroupCollector("/nowhere", str(FIXTURES / "6.1-v2" / "sys"), str(root))

    def make(self, path: str, **files: object) -> Path:
        folder = self.root / path
        shutil.copytree(FIXTURES / "6.1-v2" / "cgroup" / "lab" / "web", folder, dirs_exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(f"{text}\n")
        return folder

    def page(self) -> dict[str, float]:
        page = Page()
        self.collector.collect(page, self.config)
        assert page.failures == []
        return {series: value for family in page.families for series, value in family.samples}


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: all, path: '/many/*', max_cgroups: 300}]")
    for number in range(2000):
        folder = tree.root / "many" / f"c{number:04}"
        folder.mkdir(parents=True)
        (folder / "memory.current").write_text(f"{number * 4096}\n")
    return tree


def test_of_two_thousand_cgroups_the_largest_are_shown(many: Tree) -> None:
    page = many.page()
    assert page['vmem_cgroup_count{group="all"}'] == 2000
    assert page['vmem_cgroup_not_shown{group="all"}'] == 1700
    shown = {series for series in page if series.startswith("vmem_cgroup_usage_bytes")}
    assert shown == {f'vmem_cgroup_usage_bytes{{cgroup="/many/c{number}",group="all"}}' for number in range(1700, 2000)}
    assert page['vmem_cgroup_usage_bytes{cgroup="/many/c1999",group="all"}'] == 1999 * 4096


def test_a_remade_cgroup_begins_a_new_life_without_its_counters_falling(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /app}]")
    kills = 'vmem_cgroup_events_total{cgroup="/app",event="oom_kill",group="g"}'
    faults = 'vmem_cgroup_page_faults_total{cgroup="/app",group="g"}'
    usage = 'vmem_cgroup_usage_bytes{cgroup="/app",group="g"}'
    first = tree.make("app", memory__events="max 3\noom_kill 2", memory__stat="pgfault 100")
    assert tree.page()[kills] == 2
    first.rename(tree.root / "kept-so-that-its-inode-is-not-used-again")
    assert tree.page()['vmem_cgroup_count{group="g"}'] == 0
    tree.make("app", memory__events="max 0\noom_kill 0", memory__stat="pgfault 7", memory__current=12288)
    page = tree.page()
    assert (page[kills], page[faults], page[usage]) == (2, 107, 12288)
    (tree.root / "app" / "memory.events").write_text("max 0\noom_kill 1\n")
    assert tree.page()[kills] == 3


def test_the_effective_limit_is_the_smallest_from_here_up(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/pod/**'}]")
    tree.make("pod", memory__max=1 << 30)
    tree.make("pod/a", memory__max="max")
    tree.make("pod/a/b", memory__max=1 << 28)
    page = tree.page()
    limits = {
        path: page[f'vmem_cgroup_effective_limit_bytes{{cgroup="{path}",group="g"}}'] for path in ("/pod/a", "/pod/a/b")
    }
    assert limits == {"/pod/a": 1 << 30, "/pod/a/b": 1 << 28}
    assert page['vmem_cgroup_limit_bytes{cgroup="/pod/a",group="g"}'] == float("inf")


def test_the_root_of_a_containers_own_tree_has_a_limit_too(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}, {name: top, path: /}]")
    (tree.root / "memory.max").write_text(f"{1 << 27}\n")
    tree.make("a", memory__max="max")
    page = tree.page()
    assert page['vmem_cgroup_effective_limit_bytes{cgroup="/a",group="g"}'] == 1 << 27
    assert page['vmem_cgroup_effective_limit_bytes{cgroup="/",group="top"}'] == 1 << 27


def test_a_literal_path_that_is_not_there_counts_zero(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: gone, path: /no/such}]")
    assert tree.page() == {'vmem_cgroup_count{group="gone"}': 0, 'vmem_cgroup_not_shown{group="gone"}': 0}


def test_processes_are_those_of_the_cgroup_and_below(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}]")
    tree.make("a", cgroup__procs="1\n2")
    tree.make("a/b", cgroup__procs="3")
    tree.make("a/b/c", cgroup__procs="4\n5\n6")
    assert tree.page()['vmem_cgroup_processes{cgroup="/a",group="g"}'] == 6


def test_a_file_that_is_damaged_costs_its_own_samples(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}]")
    tree.make("a", memory__current=4096, memory__stat="anon many")
    page = Page()
    tree.collector.collect(page, tree.config)
    samples = {series: value for family in page.families for series, value in family.samples}
    assert [str(failure) for failure in page.failures] == [
        f"{tree.root}/a/memory.stat: found b'anon many', expected a key and a number on each line"
    ]
    assert samples['vmem_cgroup_usage_bytes{cgroup="/a",group="g"}'] == 4096
    assert not any(series.startswith("vmem_cgroup_stat_bytes") for series in samples)


@pytest.mark.parametrize(
    ("fixture", "version", "root"), [("6.1-v2", "2", "/sys/fs/cgroup"), ("6.18-hybrid", "1", "/sys/fs/cgroup/memory")]
)
def test_the_hierarchy_with_the_memory_controller_is_found_in_the_mounts(fixture: str, version: str, root: str) -> None:
    found = find_hierarchy(str(FIXTURES / fixture / "proc"), None)
    assert (found.version.number, found.root) == (version, root)


def test_a_folder_without_a_memory_controller_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoHierarchy, match="found no memory controller"):
        find_hierarchy("/proc", str(tmp_path))


def test_without_a_cgroup_file_system_there_is_no_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "mountinfo").write_text("22 1 0:20 / /proc rw - proc proc rw\n")
    with pytest.raises(NoHierarchy, match="found no cgroup file system"):
        find_hierarchy(str(tmp_path), None)


def test_a_process_belongs_to_the_nearest_watched_cgroup_above_it() -> None:
    config = parse(
        b"cgroups: [{name: app, path: '/app/*', exclude: ['/app/not'], labels_from: '(?P<app>[^/]+)$'}, "
        b"{name: unit, preset: systemd}]",
        "test",
    )
    assert owner("/app/a/deep/er", config.cgroups) == ("/app/a", (("app", "a"),))
    assert owner("/app/not/deep", config.cgroups) == ("/app/not/deep", ())
    assert owner("/system.slice/x.service/worker", config.cgroups) == (
        "/system.slice/x.service",
        (("slice", "system.slice"), ("unit", "x.service")),
    )


def test_excluded_cgroups_are_not_shown(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/a/*', exclude: ['/a/x*']}]")
    for name in ("x1", "y1"):
        tree.make(f"a/{name}")
    page = tree.page()
    assert page['vmem_cgroup_count{group="g"}'] == 1
    assert 'vmem_cgroup_usage_bytes{cgroup="/a/y1",group="g"}' in page


def test_of_too_many_one_whose_usage_cannot_be_read_is_the_smallest(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/a/*', max_cgroups: 1}]")
    tree.make("a/x", memory__current="much")
    tree.make("a/y", memory__current=4096)
    assert 'vmem_cgroup_usage_bytes{cgroup="/a/y",group="g"}' in tree.page()


def test_a_cgroup_that_goes_before_it_is_read_is_silent(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/a/*'}]")
    tree.make("a/x")
    going = tree.make("a/y")
    when_opened(tree.root / "a/x", lambda: shutil.rmtree(going))
    page = tree.page()
    assert page['vmem_cgroup_count{group="g"}'] == 2
    assert [series for series in page if series.startswith("vmem_cgroup_usage")] == [
        'vmem_cgroup_usage_bytes{cgroup="/a/x",group="g"}'
    ]


def test_version_1_before_it_counted_kills_has_no_such_sample(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "6.18-hybrid/cgroup/memory/lab", tmp_path / "memory/lab")
    shutil.copy(FIXTURES / "6.18-hybrid/cgroup/memory/memory.usage_in_bytes", tmp_path / "memory")
    (tmp_path / "memory/lab/web/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\n")
    page = Page()
    collector = CgroupCollector("/nowhere", "/nowhere", str(tmp_path))
    collector.collect(page, parse(b"cgroups: [{name: g, path: '/lab/*'}]", "test"))
    assert page.failures == []
    kills = {series for family in page.families for series, _ in family.samples if 'event="oom_kill"' in series}
    assert 'vmem_cgroup_events_total{cgroup="/lab/db",event="oom_kill",group="g"}' in kills
    assert not any("/lab/web" in series for series in kills)


@pytest.mark.parametrize(("size", "file"), [("64kB", "64KB"), ("2048kB", "2MB"), ("1048576kB", "1GB")])
def test_the_files_of_huge_pages_of_each_size(tmp_path: Path, size: str, file: str) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}]")
    (tmp_path / f"sys/kernel/mm/hugepages/hugepages-{size}").mkdir(parents=True)
    tree.collector = CgroupCollector("/nowhere", str(tmp_path / "sys"), str(tree.root))
    (tree.make("a") / f"hugetlb.{file}.current").write_text("8388608\n")
    assert tree.page()[f'vmem_cgroup_hugetlb_bytes{{cgroup="/a",group="g",page_size="{size}"}}'] == 8388608


@pytest.fixture
def for_all() -> Iterator[Path]:
    """A folder that an ordinary user may look into, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_file_that_may_not_be_read_costs_its_own_samples(for_all: Path) -> None:
    tree = Tree(for_all / "cgroup", "cgroups: [{name: g, path: /a}]")
    folder = tree.make("a")
    for name in ("memory.current", "memory.events", "cgroup.procs"):
        (folder / name).chmod(0)
    with ordinary_user():
        page = Page()
        tree.collector.collect(page, tree.config)
    assert [str(failure) for failure in page.failures] == [
        f"{folder}/{name}: Permission denied" for name in ("cgroup.procs", "memory.current", "memory.events")
    ]
    samples = {series for family in page.families for series, _ in family.samples}
    assert 'vmem_cgroup_limit_bytes{cgroup="/a",group="g"}' in samples
    assert not any(
        series.startswith(("vmem_cgroup_usage", "vmem_cgroup_events", "vmem_cgroup_proc")) for series in samples
    )


def test_a_cgroup_that_blocks_is_left_behind_and_the_others_are_shown(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/*'}]")
    for name in ("a", "b"):
        tree.make(name)
    go_on = threading.Event()
    when_opened(tree.root / "a", lambda: go_on.wait(60) and None)
    try:
        page = Page()
        tree.collector.collect(page, tree.config)
    finally:
        go_on.set()
    assert [str(failure) for failure in page.failures] == [f"{tree.root}/a: did not come back in time"]
    samples = {series for family in page.families for series, _ in family.samples}
    assert 'vmem_cgroup_usage_bytes{cgroup="/b",group="g"}' in samples
    assert 'vmem_cgroup_usage_bytes{cgroup="/a",group="g"}' not in samples


def test_of_slow_cgroups_as_many_are_shown_as_there_is_time_for(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/*'}]")
    for number in range(40):
        when_opened(tree.make(f"{number:02}", memory__current=4096), lambda: time.sleep(0.05))
    page = Page(time.monotonic() + 1)
    tree.collector.collect(page, tree.config)
    assert page.time_left > 0
    shown = [series for family in page.families for series, _ in family.samples if "usage_bytes" in series]
    assert 1 <= len(shown) < 20
    assert [str(failure) for failure in page.failures] == [f"no time to read {40 - len(shown)} of 40 cgroups"]
    # They come when there is time.
    assert len([series for series in tree.page() if "usage_bytes" in series]) == 40


def test_a_cgroup_is_parsed_again_only_when_one_of_its_files_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, parsed = b"anon 5\npgfault 100\n", []

    def columns_of_pairs(text: bytes, path: str) -> tuple[tuple[bytes, ...], list[int]]:
        # A thread that an earlier test left behind may come by here too.
        if text == stat:
            parsed.append(path)
        return real(text, path)

    real = cgroup_reader.columns_of_pairs
    monkeypatch.setattr(cgroup_reader, "columns_of_pairs", columns_of_pairs)
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: '/a/*'}]")
    a, b = (tree.make(f"a/{name}", memory__stat=stat.decode().strip(), memory__current=4096) for name in "ab")

    def shown(metric: str) -> list[float]:
        return [value for series, value in tree.page().items() if series.startswith(metric)]

    assert shown("vmem_cgroup_page_faults_total") == [100, 100]
    assert shown("vmem_cgroup_page_faults_total") == [100, 100]
    assert len(parsed) == 2
    (a / "memory.current").write_text("8192\n")
    assert shown("vmem_cgroup_usage_bytes") == [8192, 4096]
    # The counts of the life before are added once, however often they are shown.
    b.rename(tree.root / "kept-so-that-its-inode-is-not-used-again")
    tree.make("a/b", memory__stat=stat.decode().strip(), memory__current=4096)
    for _ in range(3):
        assert shown("vmem_cgroup_page_faults_total") == [100, 200]
    assert len(parsed) == 4


def test_what_lies_around_a_cgroup_is_not_taken_for_unchanged(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}]")
    tree.make("a", memory__max="max", cgroup__procs="1")
    child = tree.make("a/b", cgroup__procs="2")
    assert tree.page()['vmem_cgroup_processes{cgroup="/a",group="g"}'] == 2
    (child / "cgroup.procs").write_text("2\n3\n")
    assert tree.page()['vmem_cgroup_processes{cgroup="/a",group="g"}'] == 3


def test_a_file_that_stays_damaged_is_said_at_every_scrape(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "cgroup", "cgroups: [{name: g, path: /a}]")
    tree.make("a", memory__stat="anon many")
    for _ in range(2):
        page = Page()
        tree.collector.collect(page, tree.config)
        assert len(page.failures) == 1
