"""What the dashboards are made of: queries, panels, variables and a page, each in the one way that they look here.

Everything is kept to what Grafana 10 knows, and names its data source by the variable alone, so that the same JSON can
be imported anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    Dashboard,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
    VariableHide,
    VariableModel,
    VariableOption,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "vmem-exporter"
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

BYTES, BYTES_A_SECOND = "bytes", "binBps"
SECONDS, RATIO = "s", "percentunit"
FAULTS, PAGES_A_SECOND, PAGES, COUNT = "count:faults/s", "count:pages/s", "count:pages", "short"

GREEN, ORANGE, RED = "green", "orange", "red"
Steps = tuple[tuple[float, str], ...]
"""From which value on a number has which colour; below the first it is green. A number with none is neutral."""
LOW_IS_BAD: Steps = ((0, RED), (0.05, ORANGE), (0.1, GREEN))
"""For the part that is left of something."""


def steps(*colours: tuple[float, str]) -> Steps:
    return colours


def one(metric: str, *more: str) -> str:
    """A metric of the one instance that is chosen."""
    return _of(metric, 'instance="$instance"', *more)


def every(metric: str, *more: str) -> str:
    """A metric of all the instances that are chosen."""
    return _of(metric, 'instance=~"$instance"', *more)


def _of(metric: str, *matchers: str) -> str:
    return metric + "{" + ",".join(('job="$job"', *matchers)) + "}"


def rate(series: str) -> str:
    return f"rate({series}[$__rate_interval])"


def increase(series: str, over: str = "$__range") -> str:
    """By how much a counter went up in the time shown, or in another."""
    return f"increase({series}[{over}])"


def growth(series: str) -> str:
    """How fast a gauge grows. An hour is long enough for a garbage collector's saw teeth to even out."""
    return f"deriv({series}[1h])"


@dataclass(frozen=True, slots=True)
class Line:
    """A query of a graph: `name` may use {{label}}. A limit is drawn dashed, and never stacked."""

    query: str
    name: str
    colour: str = ""
    limit: bool = False


def graph(
    title: str,
    description: str,
    unit: str,
    *lines: Line,
    width: int = 8,
    height: int = 8,
    stacked: bool = False,
    bars: bool = False,
    most: float | None = None,
    nothing: str = "",
) -> timeseries.Panel:
    """Lines over time. `nothing` is what it says in place of them where there are none, and that is good news."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .span(width)
        .height(height)
        .line_width(1)
        .fill_opacity(60 if stacked else 80 if bars else 10)
        .show_points(VisibilityMode.NEVER)
        .draw_style(GraphDrawStyle.BARS if bars else GraphDrawStyle.LINE)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL if stacked else StackingMode.NONE).group("A"))
        .legend(
            common.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs([])
        )
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if most is not None:
        panel.max(most)
    if nothing:
        panel.no_value(nothing)
    for index, line in enumerate(lines):
        panel.with_target(_query(index, line.query).range().legend_format(line.name))
        look: list[DynamicConfigValue] = []
        if line.colour:
            look.append(DynamicConfigValue("color", {"mode": "fixed", "fixedColor": line.colour}))
        if line.limit:
            look.append(DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}))
            look.append(DynamicConfigValue("custom.fillOpacity", 0))
            look.append(DynamicConfigValue("custom.stacking", {"mode": "none", "group": "A"}))
        if look:
            panel.override_by_query(_letter(index), look)
    return panel


def figure(
    title: str,
    description: str,
    unit: str,
    query: str,
    colours: Steps = (),
    *,
    width: int = 4,
    decimals: int | None = None,
    words: dict[str, str] | None = None,
    nothing: str = "",
    by: str = "",
) -> stat.Panel:
    """One large number, as it is now; or one for each series, named by the template `by`.

    `words` are shown in place of the numbers that they are for.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(width)
        .height(4)
        .color_mode(BigValueColorMode.VALUE if colours else BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
        .text_mode(BigValueTextMode.VALUE_AND_NAME if by else BigValueTextMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .thresholds(_thresholds(colours))
        .with_target(_query(0, query).instant().legend_format(by))
    )
    if decimals is not None:
        panel.decimals(decimals)
    if words:
        panel.mappings(_mappings(words))
    if nothing:
        panel.no_value(nothing)
    return panel


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: one query, whose result has one value for each row."""

    title: str
    query: str
    unit: str
    colours: Steps = ()
    decimals: int | None = None


def listing(
    title: str,
    description: str,
    rows: Sequence[str],
    *columns: Column,
    sort: str,
    width: int = 24,
    height: int = 7,
    link: tuple[str, str, str] | None = None,
    nothing: str = "",
) -> table.Panel:
    """A table with a row for each combination of the labels `rows`. `link` is a label, a uid and its title."""
    panel = (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(columns[0].unit)
        .span(width)
        .height(height)
        .show_header(True)
        .sort_by([common.TableSortByFieldState().display_name(sort).desc(True)])
        .with_transformation(DataTransformerConfig("merge", options={}))
    )
    names: dict[str, str] = {}
    for index, column in enumerate(columns):
        query = f"sum by ({', '.join(rows)}) ({column.query})"
        panel.with_target(_query(index, query).instant().format(PromQueryFormat.TABLE))
        names[f"Value #{_letter(index)}" if len(columns) > 1 else "Value"] = column.title
        look = [DynamicConfigValue("unit", column.unit), DynamicConfigValue("noValue", "–")]
        if column.decimals is not None:
            look.append(DynamicConfigValue("decimals", column.decimals))
        if column.colours:
            look.append(DynamicConfigValue("thresholds", _thresholds(column.colours).build()))
            look.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        panel.override_by_name(column.title, look)
    order = {name: place for place, name in enumerate((*rows, *names))}
    organize = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    panel.with_transformation(DataTransformerConfig("organize", options=organize))
    if link:
        label, uid, to = link
        chosen = "".join(f"&var-{row}=${{__data.fields.{row}:percentencode}}" for row in rows)
        url = f"/d/{uid}?var-datasource=${{datasource:percentencode}}&var-job=${{job:percentencode}}{chosen}"
        look = [DynamicConfigValue("links", [{"title": to, "url": f"{url}&${{__url_time_range}}"}])]
        panel.override_by_name(label, look)
    if nothing:
        panel.no_value(nothing)
    return panel


def _query(index: int, query: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(SOURCE).expr(query).ref_id(_letter(index))


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _thresholds(colours: Steps) -> dashboard.ThresholdsConfig:
    found = [Threshold(None, GREEN), *(Threshold(value, colour) for value, colour in colours)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def _mappings(words: dict[str, str]) -> list[ValueMapping]:
    results = {value: ValueMappingResult(text=text, index=index) for index, (value, text) in enumerate(words.items())}
    return [ValueMap(results)]


def variable(name: str, label: str, values: str, *, several: bool = False) -> Builder[VariableModel]:
    """A variable that `label_values` fills. Of several, all are chosen at first."""
    made = (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query({"query": f"label_values({values}, {name})", "refId": "PrometheusVariableQueryEditor-VariableQuery"})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(several)
    )
    if several:
        made.all_value(".*").current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    return made


@dataclass(frozen=True, slots=True)
class Row:
    """A heading, and the panels below it, from left to right and on as they fill a line."""

    title: str
    panels: tuple[Builder[Panel], ...]


def row(title: str, *panels: Builder[Panel]) -> Row:
    return Row(title, panels)


def page(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Builder[VariableModel]],
    figures: Sequence[Builder[Panel]],
    *rows: Row,
) -> Dashboard:
    """A dashboard: a line of figures, then rows."""
    source = dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("1m")
        .timezone("browser")
        .variables([source.hide(VariableHide.DONT_HIDE), *variables])
        .link(
            dashboard.DashboardLink("Memory")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for panel in figures:
        builder.with_panel(panel)
    for each in rows:
        builder.with_row(dashboard.Row(each.title))
        for panel in each.panels:
            builder.with_panel(panel)
    made = builder.build()
    for index, panel in enumerate(made.panels or [], start=1):
        panel.id_val = index
    return made
