"""The pages: what they show, and that no name can be more than text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from page.site import HOSTILE, Site, cgroup, hostile
from unit.tree import Tree

from exporter.errors import ConfigError

PATHS = ["/", "/config", "/docs"]

CONFIG = """
processes:
  - {name: postgres, comm: [postgres]}
  - {name: "java-{app}", cmdline: ['-jar (?P<app>\\w+)'], exclude: {user: [nobody]}}
cgroups:
  - {name: shops, path: /shop/*}
  - {name: nothing, path: /not/there}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "proc")


@pytest.fixture
def shop(tree: Tree) -> Tree:
    tree.process(7, b"java", [b"java", b"-jar", b"shop.jar", b"--password=secret"], cgroup="/shop/one", VmRSS=2 << 20)
    tree.process(8, b"java", [b"java", b"-jar", b"till.jar"], cgroup="/shop/one", VmRSS=1 << 20)
    tree.process(9, b"nginx", [b"nginx"])
    tree.process(10, b"kworker/0:1", kernel_thread=True)
    cgroup(tree, "/shop/one", 95 << 20, 100 << 20)
    return tree


@pytest.mark.parametrize("path", PATHS)
def test_pages_are_html_that_allows_nothing_but_its_own_style(shop: Tree, path: str) -> None:
    answer = Site(shop, CONFIG).get(path)
    assert answer.status == "200 OK"
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert re.fullmatch(
        "default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'",
        policy,
    )
    for name, value in (
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"),
    ):
        assert answer.headers[name] == value
    # Nothing is fetched, and nothing is run.
    assert not re.search(r"<(script|link|img|iframe|object)|\son\w+=|\sstyle=|url\(|@import", answer.html)


class Seen(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize(("path", "query"), [("/", "all=1"), ("/config", "pid=7"), ("/config", "pid=8")])
def test_a_hostile_name_is_text_and_nothing_else(tmp_path: Path, path: str, query: str) -> None:
    tree, config = hostile(tmp_path)
    answer = Site(tree, config).get(path, query)
    assert answer.status == "200 OK"
    seen = Seen(answer.html)
    assert not seen.elements & {"script", "u", "b", "i", "never"}
    assert not {name for name in seen.attributes if name.startswith("on")}
    assert "49" not in answer.text.partition("{{7*7}}")[0][-20:]
    if path == "/" or query == "pid=7":
        assert f"<u>{HOSTILE}" in answer.text


@pytest.mark.parametrize("pid", ["<script>alert(1)</script>", "%3Cb%3E7", "7'", "-7", "9" * 400, "%ff", "%00"])
def test_a_pid_that_is_none_is_answered_and_shown_as_text(shop: Tree, pid: str) -> None:
    answer = Site(shop, CONFIG).get("/config", f"pid={pid}")
    assert answer.status == "200 OK"
    assert "<script" not in answer.html
    assert "<b>7" not in answer.html
    assert "There is no process" in answer.text


def test_the_first_page_shows_groups_cgroups_and_findings(shop: Tree) -> None:
    answer = Site(shop, CONFIG).get("/")
    # The largest comes first; an entry that nothing matches is there with 0.
    names = re.findall(r'<tr><th scope="row"><span class="name">([^<]*)<', answer.html)
    assert names == ["java-shop", "java-till", "postgres", "/shop/one"]
    assert " java-shop " in answer.text
    assert re.search(r"java-shop (critical |warning )?2\.0 GiB ", answer.text)
    assert re.search(r"postgres (- ){5}0 ", answer.text)
    assert re.search(r"/shop/one (critical |warning )95\.0 MiB 95\.0 MiB 100\.0 MiB 5\.0 MiB", answer.text)
    assert 'aria-label="95 % of its limit"' in answer.html
    # A finding, with what it means and what to do, once for the groups and the cgroup that it is said of.
    assert "critical java-shop , java-till , /shop/one : 95 % of the limit of /shop/one" in answer.text
    assert "Findings 1 critical " in answer.text
    assert "What to do: Raise the limit to" in answer.text
    assert "0.1.0" in answer.text


def test_the_configuration_page_says_which_entry_matches_what(shop: Tree) -> None:
    answer = Site(shop, CONFIG).get("/config")
    assert "postgres comm: 'postgres' 0 0 matches none" in answer.text
    assert r"java-{app} cmdline: '-jar (?P<app>\w+)' exclude.user: 'nobody' 2 2 7 java , 8 java" in answer.text
    assert (
        "2 that no entry takes: 1 init , 9 nginx . Kernel threads, which only an entry with their comm takes: 1."
        in (answer.text)
    )
    assert "shops /shop/* 1 /shop/one" in answer.text
    assert "nothing /not/there 0 matches none" in answer.text
    assert "secret" not in answer.html


def test_one_process_and_why_each_entry_takes_it_or_not(shop: Tree) -> None:
    site = Site(shop, CONFIG)
    taken = site.get("/config", "pid=7").text
    assert "process 7 'java' It is in the group java-shop ." in taken
    assert "1. postgres does not take it ✗ comm: found 'java', expected 'postgres'" in taken
    assert (
        "2. java-{app} takes it group java-shop ✓ kernel thread: it is none ✓ cmdline: what was found is not shown"
        in taken
    )
    assert "secret" not in taken
    left = site.get("/config", "pid=9").text
    assert "It is in no group." in left


def test_a_process_that_max_groups_folds_is_told_so(shop: Tree) -> None:
    site = Site(shop, CONFIG + "max_groups: 2\n")
    answer = site.get("/config", "pid=8").text
    assert "It is in the group other , which holds the groups beyond max_groups (2), instead of java-till ." in answer
    assert "Of these, 1 are in the group other , as there are more than 2 groups (max_groups): 8 java ." in answer


def test_lists_are_capped_and_say_how_many_more(tree: Tree) -> None:
    for pid in range(100, 145):
        tree.process(pid, b"many")
        cgroup(tree, f"/many/{pid}", 1 << 20, 2 << 20)
    answer = Site(tree, "processes: [{name: many, comm: [many]}]\ncgroups: [{name: all, path: /many/*}]").get("/config")
    assert "many comm: 'many' 1 45 100 many ," in answer.text
    assert "119 many and 25 more" in answer.text
    assert "/many/119 and 25 more" in answer.text
    assert "120" not in answer.text


def test_a_failed_reload_is_on_the_pages(shop: Tree) -> None:
    site = Site(shop, CONFIG)
    assert "OK" in site.get("/").text
    site.file.write_text("max_groups: <b>none")
    with pytest.raises(ConfigError):
        site.service.reload()
    for path in "/", "/config":
        text = site.get(path).text
        assert "last reload failed" in text
        assert f"{site.file}:1: max_groups: found '<b>none'" in text
    site.file.write_text(CONFIG)
    site.service.reload()
    assert "last reload failed" not in site.get("/").text


def test_collectors_that_are_off_and_what_cannot_be_read(tree: Tree) -> None:
    off = Site(tree, "processes: [{name: a}]\ncollectors: {process: false, cgroup: false}")
    text = off.get("/config").text
    assert "Collector cgroup off Collector process off" in text
    assert "None are watched." in off.get("/").text
    # There is no cgroup file system here.
    blind = Site(tree, "processes: [{name: init, comm: [init]}]\ncgroups: [{name: all, path: /**}]")
    problem = "found no memory controller, expected a cgroup file system that has it"
    assert problem in blind.get("/config").text
    overview = blind.get("/").text
    assert problem in overview
    assert " init " in overview
    # By now a collection has met it too.
    blind.service.page()
    assert f"Collector cgroup {tree.root.parent}/cgroup: {problem}" in blind.get("/").text


def test_without_a_configuration_and_with_another_telemetry_path(tree: Tree) -> None:
    site = Site(tree, None, telemetry_path="/<b>")
    text = site.get("/").text
    assert "No configuration file: every process is watched, grouped by comm;" in text
    assert 'href="/&lt;b&gt;"' in site.get("/docs").html
    assert 'href="/-/healthy"' in site.get("/docs").html


def test_the_documentation_has_every_metric(tree: Tree) -> None:
    from exporter.catalog import METRICS

    answer = Site(tree, None).get("/docs")
    assert re.findall(r'<th scope="row"><code>(\w+)</code>', answer.html.replace("<wbr>", "")) == list(METRICS)


def test_looking_costs_no_counter_and_only_so_much(shop: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from exporter.explain.observer import Observer

    samples: list[object] = []
    sample = Observer.sample

    def counted(self: Observer, *arguments: object) -> object:
        samples.append(arguments)
        return sample(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Observer, "sample", counted)
    site = Site(shop, CONFIG)

    def counters() -> list[str]:
        return [line for line in site.service.page().splitlines() if re.match(r"vmem_process_\w+_total", line)]

    before = counters()
    for _ in range(5):
        site.get("/")
        site.get("/config", "pid=7")
    assert counters() == before
    assert len(samples) == 1
    monkeypatch.setattr("exporter.web.overview.SHARED_SECONDS", 0.0)
    site.get("/")
    assert len(samples) == 2


def test_200_groups_and_500_cgroups_are_capped_and_can_be_had(tree: Tree) -> None:
    for pid in range(1000, 1200):
        tree.process(pid, b"g%d" % pid, VmRSS=pid)
    for number in range(500):
        cgroup(tree, f"/c/{number:03}", (number + 1) << 20, 1 << 30)
    site = Site(tree, "processes: [{name: '{comm}'}]\ncgroups: [{name: all, path: /c/*}]\nmax_groups: 300")
    capped = site.get("/")
    assert capped.html.count('<tr><th scope="row">') == 100
    assert "The 50 largest of 201." in capped.text
    assert "The 50 largest of 500." in capped.text
    names = re.findall(r'<tr><th scope="row"><span class="name">([^<]*)<', capped.html)
    # The one of the fixture is larger than those that the test wrote.
    assert names[1:3] == ["g1199", "g1198"]
    assert names[50:52] == ["/c/499", "/c/498"]
    every = site.get("/", "all=1")
    assert every.html.count('<tr><th scope="row">') == 701
    assert len(capped.html) < 100_000
    assert len(every.html) < 800_000
