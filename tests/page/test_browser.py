"""The pages in Chromium: what a person meets there, with eyes, with a keyboard alone, or with a screen reader.

The exporter is a real one. The machine that it watches is written, so that each colour and each trouble is on the
pages, and every name on it tries to be markup.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from urllib.parse import urldefrag

import pytest
from page.browser import NARROW, WIDE, Browser, chromium
from page.site import HOSTILE, hostile
from support.daemon import until
from support.exporter import Exporter, exporter
from unit.tree import FIXTURES

PAGES = ("/", "/config", "/config?pid=7", "/docs")
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(18, 22, 28)"

MORE = """  - {name: importer, comm: [importer], user: [nobody]}
  - {name: broken, comm: [broken]}
  - {name: "it's \\"{comm}\\"", comm: ["\\"'><svg onload"]}
collectors: {host: false}
cgroups:"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """An exporter with findings, with what it can't read, and with a file that is broken since it was loaded."""
    directory = tmp_path_factory.mktemp("page")
    tree, config = hostile(directory)
    shutil.copy(FIXTURES / "6.18-hybrid/proc/meminfo", tree.root)
    tree.process(9, b"importer", [b"importer"])
    tree.process(10, b"broken").joinpath("status").write_text("VmRSS: <b>none")
    tree.process(8, b"\"'><svg onload", [b"x"], VmSwap=2 << 20, VmRSS=1 << 20)
    flags = (
        f"--path.procfs={tree.path}",
        f"--path.sysfs={directory}/sys",
        f"--path.cgroupfs={directory}/cgroup",
    )
    with exporter(directory, config.replace("cgroups:", MORE), *flags) as running:
        running.scrape()
        running.config.write_text("max_groups: <script>alert(1)</script>")
        running.process.send_signal(signal.SIGHUP)
        until(lambda: "last reload failed" in running.request("/").text, "the broken file is on the pages")
        yield running


@pytest.fixture(scope="module")
def chrome() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def browser(chrome: Browser) -> Browser:
    """The one browser, as it is looked at where a test says nothing else."""
    chrome.look(width=NARROW, dark=False)
    return chrome


def url(site: Exporter, path: str) -> str:
    return f"http://{site.address}{path}"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [NARROW, WIDE])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_fits_is_legible_and_is_all_there_is(
    site: Exporter, browser: Browser, path: str, width: int, dark: bool
) -> None:
    browser.look(width=width, dark=dark)
    browser.open(url(site, path))
    browser.unfold()
    assert browser.requests == [f"GET {url(site, path)}"]
    assert browser.complaints == []
    assert browser.run("return document.documentElement.scrollWidth") <= width
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == (DARK if dark else LIGHT)
    contrasts = browser.contrasts()
    assert len(contrasts) > 50
    assert {text: ratio for text, ratio in contrasts if ratio < 4.5} == {}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_keeps_nobody_out(site: Exporter, browser: Browser, path: str) -> None:
    browser.open(url(site, path))
    browser.unfold()
    assert browser.barriers == []


@pytest.mark.parametrize("path", PAGES)
def test_every_table_says_what_its_rows_and_columns_are(site: Exporter, browser: Browser, path: str) -> None:
    browser.open(url(site, path))
    tables = browser.run(
        "const scopes = (row) => [...row.cells].map((cell) => cell.scope || cell.tagName);"
        "return [...document.querySelectorAll('table')].map((table) => [...table.rows].map(scopes))"
    )
    assert tables
    for head, *rows in tables:
        assert head == ["col"] * len(head)
        assert rows == [["row"] + ["TD"] * (len(head) - 1)] * len(rows) != []


@pytest.mark.parametrize("path", PAGES)
def test_tab_comes_to_every_control_in_turn_and_shows_it(site: Exporter, browser: Browser, path: str) -> None:
    browser.open(url(site, path))
    browser.unfold()
    controls = browser.controls()
    stops = browser.tab_stops(len(controls) + 1)
    assert [html for html, _ in stops] == controls
    assert {outline for _, outline in stops} == {"solid 3px"}


def test_a_table_that_is_too_wide_is_moved_by_keys(site: Exporter, browser: Browser) -> None:
    browser.open(url(site, "/"))
    while browser.run("return document.activeElement.className") != "wide":
        browser.press("Tab")
    browser.press("ArrowRight")
    until(lambda: browser.run("return document.activeElement.scrollLeft") > 0, "the table has moved")


def test_names_are_text(site: Exporter, browser: Browser) -> None:
    browser.open(url(site, "/"))
    names = browser.texts("tbody .name")
    assert f"<u>{HOSTILE} secret{{team=<script>label</script>}}" in names
    assert 'it\'s ""\'><svg onload"' in names
    assert "<a href=x>never</a>" in names
    browser.open(url(site, "/config?pid=7"))
    assert "<script>x()</s>" in browser.text("h3")
    assert browser.run("return document.querySelectorAll('script, body b, body u, [onload], a[href=x]').length") == 0
    assert "found '<script>alert(1)</script>', expected a whole number" in browser.text("pre.critical")


def test_script_and_what_is_elsewhere_would_be_refused_and_seen(site: Exporter, browser: Browser) -> None:
    browser.open(url(site, "/"))
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'document.title = 1';"
        "const image = new Image(); image.src = 'http://127.0.0.1:1/';"
        "document.body.append(script, image)"
    )
    complaints: list[str] = []
    until(lambda: complaints.extend(browser.complaints) or len(complaints) >= 2, "both are refused")
    assert all("Content Security Policy" in complaint for complaint in complaints)
    assert browser.run("return document.title") == "Overview · vmem-exporter"


def test_every_link_leads_somewhere(site: Exporter, browser: Browser) -> None:
    links: set[str] = set()
    for path in PAGES:
        browser.open(url(site, path))
        links.update(browser.run("return [...document.links].map(link => link.href)"))
    assert {url(site, path) for path in ("/", "/config", "/docs", "/metrics", "/-/healthy", "/config?pid=9")} <= links
    for link in links:
        assert link.startswith(url(site, "/"))
        address, place = urldefrag(link)
        answer = site.request(address.removeprefix(url(site, "")))
        assert answer.status_code == 200, link
        assert not place or f'id="{place}"' in answer.text


def test_without_script_and_by_keys_a_person_learns_why_a_process_is_not_there(
    site: Exporter, browser: Browser
) -> None:
    browser.look(width=NARROW, dark=False, script=False)
    browser.open("data:text/html,<title>off</title><script>document.title = 'on'</script>")
    assert browser.driver.title == "off"
    browser.open(url(site, "/config"))
    while browser.focus.get_attribute("name") != "pid":
        browser.press("Tab")
    browser.focus.send_keys("9\n")
    until(lambda: browser.driver.current_url == url(site, "/config?pid=9#why"), "the form is sent")
    assert browser.text("h3") == "process 9 'importer'"
    assert "It is in no group." in browser.text("main")
    assert browser.texts("article")[2].split("\n") == [
        "3. importer does not take it",
        "✓ comm: found 'importer', as asked",
        "✗ user: found 'root' or '0', expected 'nobody'",
    ]
    browser.open(url(site, "/config?pid=12345"))
    assert browser.text("form + .critical") == "There is no process 12345, or it may not be seen."
    browser.open(url(site, "/"))
    while browser.focus.tag_name != "summary":
        browser.press("Tab")
    browser.focus.send_keys("\n")
    assert "/memory.max" in browser.text("details")
