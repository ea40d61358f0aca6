"""The dashboards as files: what a panel must have, that the queries are right in themselves, that the build is even."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from grafana.viewer import FOLDER, ROOT, Json, boards, panels
from prometheus_client.parser import text_string_to_metric_families
from support.exporter import COMMAND
from support.promql import metric, parts, selectors

from exporter.catalog import METRICS

BOARDS = boards()
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
QUERIES = [(name, panel, target["expr"]) for name, panel in PANELS for target in panel["targets"]]
EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))
EACH_PANEL = pytest.mark.parametrize(
    "panel", [panel for _, panel in PANELS], ids=[f"{name}-{panel['title']}" for name, panel in PANELS]
)
OF_PROMETHEUS = {"up", "scrape_duration_seconds", "scrape_samples_scraped"}
"""What Prometheus says of every target itself."""
BUILT_IN = {"__interval", "__rate_interval", "__range"}
COLUMNS = 24
SEEN = 4
"""Words, at least, that tell what a bad shape looks like."""


def filled(query: str) -> str:
    """A query, with something of the right kind for each variable."""
    return re.sub(r"\$\w+", lambda found: "5m" if found[0][1:] in BUILT_IN else "x", query)


@pytest.fixture(scope="module")
def on_the_page() -> set[str]:
    """The names of the samples on a page of this machine's."""
    page = subprocess.run([COMMAND, "once"], check=True, capture_output=True, text=True).stdout
    return {sample.name for family in text_string_to_metric_families(page) for sample in family.samples}


def test_there_is_something_to_test() -> None:
    assert list(BOARDS) == ["cgroup", "exporter", "host", "overview", "process-group"]
    assert len(QUERIES) > 100


@EACH_PANEL
def test_a_panel_says_what_it_shows_and_how_a_bad_shape_looks(panel: Json) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] != "stat":
        bad = re.search(r"Bad(?: there)?: (.+)", panel["description"])
        assert bad, "no word of what a bad shape looks like"
        assert len(bad[1].split()) >= SEEN


@EACH_PANEL
def test_a_panel_can_be_read_by_grafana_10(panel: Json) -> None:
    assert panel["type"] in {"timeseries", "stat", "table"}
    assert {step["id"] for step in panel.get("transformations", [])} <= {"merge", "organize"}
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
    references = [target["refId"] for target in panel["targets"]]
    assert len(set(references)) == len(references)


@EACH_BOARD
def test_a_dashboard_can_be_imported_anywhere(board: Json) -> None:
    assert board["schemaVersion"] <= 38, "Grafana 10.0's"
    assert "id" not in board
    kinds = [(variable["type"], variable["name"]) for variable in board["templating"]["list"]]
    assert kinds[:3] == [("datasource", "datasource"), ("query", "job"), ("query", "instance")]
    assert all("uid" not in str(variable.get("current")) for variable in board["templating"]["list"])
    identities = [panel["id"] for panel in board["panels"]]
    assert len(set(identities)) == len(identities)


def test_dashboards_have_names_of_their_own() -> None:
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)
    for name, board in BOARDS.items():
        titles = [panel["title"] for panel in panels(board) if panel["type"] != "stat"]
        assert len(set(titles)) == len(titles), name


@EACH_BOARD
def test_panels_lie_side_by_side_without_a_gap(board: Json) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]
    assert {x for x, _ in taken} == set(range(COLUMNS))
    assert len(taken) == COLUMNS * (1 + max(y for _, y in taken))


@pytest.mark.parametrize("query", sorted({query for _, _, query in QUERIES}))
def test_a_query_is_right_in_itself(query: str, on_the_page: set[str]) -> None:
    for selector in selectors(filled(query)):
        name = metric(selector)
        assert name in METRICS or name in on_the_page or name in OF_PROMETHEUS
        if name in METRICS:
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= {"job", "instance", *METRICS[name].labels}
    for call in parts(promql_parser.parse(filled(query))):
        if isinstance(call, promql_parser.Call):
            names = [metric(part) for part in parts(call) if isinstance(part, promql_parser.VectorSelector)]
            counters = [name.endswith("_total") for name in names]
            if call.func.name in {"rate", "increase"}:
                assert all(counters), "the rate of what is no counter"
            else:
                assert not any(counters), f"{call.func.name} of a counter"
    assert set(re.findall(r"\b(?:rate|increase)\([^[]*\[([^]]*)\]", query)) <= {"$__rate_interval", "$__range"}


@EACH_BOARD
def test_a_dashboard_uses_each_of_its_variables_and_no_others(board: Json) -> None:
    names = [variable["name"] for variable in board["templating"]["list"]]
    texts = [target["expr"] for panel in panels(board) for target in panel["targets"]]
    texts += [variable["query"]["query"] for variable in board["templating"]["list"] if variable["type"] == "query"]
    used = {name for text in texts for name in re.findall(r"\$(\w+)", text)} - BUILT_IN
    assert used == set(names) - {"datasource"}
    several = {variable["name"] for variable in board["templating"]["list"] if variable["multi"]}
    for text in texts:
        for label, operator, name in re.findall(r'(\w+)(=~|=)"\$(\w+)"', text):
            assert label == name
            # Grafana makes a regular expression of the values of a variable that may have several, and of no other.
            assert (operator == "=~") == (name in several)


@EACH_BOARD
def test_variables_ask_for_metrics_that_are_there(board: Json) -> None:
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match
            assert match[2] == variable["name"]
            for selector in selectors(filled(match[1])):
                names = [selector.name] if selector.name else re.findall(r"vmem_\w+", match[1])
                assert names
                assert all(name in METRICS or name in OF_PROMETHEUS for name in names)


@EACH_BOARD
def test_links_lead_to_dashboards_and_choose_what_they_have(board: Json) -> None:
    (link,) = board["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert all(set(link["tags"]) <= set(other["tags"]) for other in BOARDS.values())
    by_uid = {other["uid"]: other for other in BOARDS.values()}
    for panel in panels(board):
        rules = panel["fieldConfig"]["overrides"]
        links = [
            each for rule in rules for look in rule["properties"] if look["id"] == "links" for each in look["value"]
        ]
        for each in links:
            uid = re.match(r"/d/([\w-]+)\?", each["url"])
            assert uid
            target = {variable["name"] for variable in by_uid[uid[1]]["templating"]["list"]}
            assert set(re.findall(r"var-(\w+)=", each["url"])) <= target


def build(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "dashboards.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_files_are_what_is_built() -> None:
    checked = build(FOLDER.parent, "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_file_that_is_not_what_is_built_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "grafana"
    shutil.copytree(FOLDER.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changed = copy / "dashboards" / "host.json"
    changed.write_text(changed.read_text().replace("Swap space", "Swap room"))
    (copy / "dashboards" / "old.json").write_text("{}")
    (copy / "dashboards" / "overview.json").unlink()
    checked = build(copy, "--check")
    assert checked.returncode == 1
    assert re.findall(r"\w+\.json", checked.stdout) == ["host.json", "old.json", "overview.json"]
    assert build(copy).returncode == 0
    assert {file.name: file.read_bytes() for file in (copy / "dashboards").iterdir()} == {
        file.name: file.read_bytes() for file in FOLDER.iterdir()
    }


def test_the_document_names_panels_that_are_there() -> None:
    text = (ROOT / "docs" / "DASHBOARDS.md").read_text()
    rows = re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", text, re.MULTILINE)[2:]
    by_title = {board["title"].removeprefix("Memory / "): board for board in BOARDS.values()}
    assert {name for _, name, _ in rows} == by_title.keys()
    assert f"{len(QUERIES)} queries" in text
    for question, name, named in rows:
        titles = re.findall(r"\*\*(.+?)\*\*", named)
        assert titles, question
        assert set(titles) <= {panel["title"] for panel in panels(by_title[name])}, question
    pictures = re.findall(r"!\[.+\]\((.+)\)", text)
    assert sorted(pictures) == [f"pictures/{name}.png" for name in BOARDS]
    assert all((ROOT / "docs" / picture).stat().st_size for picture in pictures)


def test_provisioning_names_one_source_and_one_folder_of_dashboards() -> None:
    folder = ROOT / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "vmem-exporter.yaml").read_text())["providers"]
    assert (provider["type"], Path(provider["options"]["path"]).is_absolute()) == ("file", True)
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["jsonData"]["timeInterval"]) == ("prometheus", "15s")
