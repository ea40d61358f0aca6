"""What each Grafana from 10 to 12 takes: the names and values that its published schemas have in common.

They are jsonschema/{dashboard,prometheus,timeseries,stat,table}.jsonschema.json of
github.com/grafana/grafana-foundation-sdk, on its branches for 10.1 to 11.6, "next" and "main". That of 10.3 alone has
no includeAll and no allValue for a variable, which its Grafana knows.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from grafana.viewer import Json, boards, panels

BOARDS = boards()
EACH_BOARD = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))

NAMES = {
    "dashboard": "annotations description editable fiscalYearStartMonth graphTooltip links liveNow panels refresh"
    " schemaVersion tags templating time timepicker timezone title uid weekStart",
    "row": "collapsed datasource gridPos id panels repeat title type",
    "panel": "datasource description fieldConfig gridPos id interval libraryPanel links maxDataPoints options"
    " pluginVersion repeat repeatDirection targets timeFrom timeShift title transformations transparent type",
    "variable": "allValue current datasource description hide includeAll label multi name options query refresh"
    " skipUrlSync sort type",
    "field": "color custom decimals description displayName displayNameFromDS filterable links mappings max min noValue"
    " path thresholds unit writeable",
    "link": "asDropdown icon includeVars keepTime tags targetBlank title tooltip type url",
    "transformation": "disabled filter id options",
    "query": "datasource editorMode exemplar expr format hide instant interval intervalFactor legendFormat queryType"
    " range refId",
    "timeseries": "legend timezone tooltip",
    "stat": "colorMode graphMode justifyMode orientation reduceOptions text textMode",
    "table": "cellHeight footer frameIndex showHeader showTypeIcons sortBy",
}
VALUES: dict[str, set[object]] = {
    "displayMode": {"list", "table", "hidden"},
    "drawStyle": {"line", "bars", "points"},
    "showPoints": {"auto", "never", "always"},
    "colorMode": {"value", "background", "none"},
    "graphMode": {"none", "line", "area"},
    "textMode": {"auto", "value", "value_and_name", "name", "none"},
    "hide": {0, 1, 2},
    "refresh": {0, 1, 2, "1m"},
    "sort": {0, 1, 2, 3, 4, 5, 6, "none", "asc", "desc"},
}
MATCHERS = {"byName", "byFrameRefID"}


def objects(board: Json) -> Iterator[tuple[str, Json]]:
    """Each object of a dashboard that has a list of names, with its kind."""
    yield "dashboard", board
    yield from (("link", link) for link in board["links"])
    yield from (("variable", variable) for variable in board["templating"]["list"])
    yield from (("row", panel) for panel in board["panels"] if panel["type"] == "row")
    for panel in panels(board):
        yield "panel", panel
        yield panel["type"], panel["options"]
        yield "field", panel["fieldConfig"]["defaults"]
        yield from (("query", target) for target in panel["targets"])
        yield from (("transformation", each) for each in panel["transformations"])


def members(value: object) -> Iterator[tuple[str, object]]:
    """Every name in a dashboard, at whatever depth, with its value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from members(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from members(inner)


@EACH_BOARD
def test_every_name_is_one_that_all_of_them_know(board: Json) -> None:
    unknown = {(kind, name) for kind, each in objects(board) for name in each if name not in NAMES[kind].split()}
    assert unknown == set()


@EACH_BOARD
def test_every_choice_is_one_that_all_of_them_offer(board: Json) -> None:
    found = [(name, value) for name, value in members(board) if name in VALUES and isinstance(value, str | int)]
    assert found
    assert {(name, value) for name, value in found if value not in VALUES[name]} == set()
    rules = [rule["matcher"]["id"] for panel in panels(board) for rule in panel["fieldConfig"]["overrides"]]
    assert set(rules) <= MATCHERS
