"""A dashboard as a picture: the panels of its JSON, in their places, with what a viewer sees in them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from grafana.viewer import Answer, Json, Series, Viewer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MultipleLocator
from PIL import Image

mpl.use("Agg")

WIDTH, COLUMNS = 1400, 24
ROW, GAP, HEAD = 34, 8, 64  # pixels
COLOURS = 256
LETTER = 0.9
"""The width in pixels of a bold letter, for each point of its size."""
BACKGROUND, PANEL, TEXT, DIM, GRID = "#111217", "#1b1e24", "#d8d9e0", "#8e92a0", "#30343d"
NAMED = {
    "green": "#73bf69",
    "orange": "#ff9830",
    "red": "#f2495c",
    "dark-red": "#a01f32",
    "blue": "#5794f2",
    "light-blue": "#8ab8ff",
    "yellow": "#f2cc0c",
    "purple": "#b877d9",
}
PALETTE = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#b877d9", "#f2495c", "#37a2a8", "#8ab8ff", "#c4a35a", "#9aa0ad")


def scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    power = 0
    while abs(value) >= base and power < len(names) - 1:
        value, power = value / base, power + 1
    return f"{_short(value)}{names[power]}"


def _short(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if abs(value) < 100 else 0
    text = f"{value:.{min(digits, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


BINARY = (" B", " KiB", " MiB", " GiB", " TiB", " PiB")


def formatted(value: float, unit: str, decimals: float | None = None) -> str:
    """A value as Grafana writes it in a unit."""
    if unit == "bytes":
        return scaled(value, 1024, BINARY)
    if unit == "binBps":
        return scaled(value, 1024, tuple(f"{name}/s" for name in BINARY))
    if unit == "percentunit":
        return f"{value * 100:.{int(decimals)}f}%" if decimals is not None else f"{_short(value * 100)}%"
    if unit == "s":
        return _duration(value)
    if decimals is not None and abs(value) < 1000:
        value = round(value, int(decimals))
    number = scaled(value, 1000, ("", " K", " M", " G"))
    return f"{number} {unit.partition(':')[2]}" if unit.startswith("count:") else number


def _duration(seconds: float) -> str:
    for size, name in ((86400, "day"), (3600, "hour"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if abs(seconds) >= size:
            return f"{_short(seconds / size)} {name}"
    return "0 s" if seconds == 0 else f"{seconds * 1e9:.0f} ns"


@dataclass(slots=True)
class Look:
    """How one query's series are drawn: the panel's defaults, and what its rules say of this query."""

    colour: str = ""
    dashed: bool = False
    fill: float = 0
    stacked: bool = False


@dataclass(slots=True)
class Canvas:
    """The picture, measured in pixels from its upper left corner."""

    figure: Figure
    height: float

    def axes(self, x: float, y: float, width: float, height: float, colour: str = PANEL) -> Axes:
        box = (x / WIDTH, 1 - (y + height) / self.height, width / WIDTH, height / self.height)
        made = self.figure.add_axes(box, facecolor=colour)
        for spine in made.spines.values():
            spine.set_visible(False)
        made.tick_params(colors=DIM, labelsize=8, length=0, pad=3)
        return made

    def text(self, x: float, y: float, text: str, size: float = 9, colour: str = TEXT, **options: Any) -> None:
        options = {"va": "center", **options}
        self.figure.text(x / WIDTH, 1 - y / self.height, text, fontsize=size, color=colour, **options)


def draw_board(board: Json, viewer: Viewer, path: Path) -> None:
    """Draw a whole dashboard."""
    height = HEAD + ROW * max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"]) + GAP
    canvas = Canvas(Figure(figsize=(WIDTH / 100, height / 100), dpi=100, facecolor=BACKGROUND), height)
    seen = {panel["id"]: answers for panel, answers in viewer.look(board)}
    canvas.text(GAP * 2, HEAD * 0.3, board["title"], 14, weight="bold")
    labels = {variable["name"]: variable["label"] for variable in board["templating"]["list"]}
    x = GAP * 2.0
    for name, value in viewer.values.items():
        canvas.text(x, HEAD * 0.72, labels[name], 9, DIM)
        canvas.text(x + 7 * len(labels[name]) + 6, HEAD * 0.72, value, 9)
        x += 7 * (len(labels[name]) + len(value)) + 40
    for panel in board["panels"]:
        place = panel["gridPos"]
        column = (WIDTH - GAP) / COLUMNS
        x, y = GAP + place["x"] * column, HEAD + place["y"] * ROW
        width, tall = place["w"] * column - GAP, place["h"] * ROW - GAP
        if panel["type"] == "row":
            canvas.text(x + 4, y + tall / 2 + 2, f"⌄  {panel['title']}", 11, weight="bold")
            continue
        canvas.axes(x, y, width, tall).set(xticks=[], yticks=[])
        canvas.text(x + 10, y + 15, panel["title"], fitting(panel["title"], width, 9.5), weight="bold")
        DRAWERS[panel["type"]](canvas, (x, y, width, tall), panel, seen[panel["id"]], viewer)
    save(canvas.figure, path)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, facecolor=BACKGROUND)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


Box = tuple[float, float, float, float]


def fitting(text: str, width: float, most: float) -> float:
    """The size in points at which a bold text fits into a panel."""
    return min(most, (width - 20) / (LETTER * len(text)))


def _colour(defaults: Json, value: float) -> str:
    """The colour of the last threshold that a value has reached."""
    found = "green"
    for step in defaults.get("thresholds", {}).get("steps", []):
        if step["value"] is None or value >= step["value"]:
            found = step["color"]
    return NAMED[found]


def draw_figure(canvas: Canvas, box: Box, panel: Json, answers: list[Answer], viewer: Viewer) -> None:
    x, y, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    shown = [(answer.name(series), series.values[-1]) for answer in answers for series in answer.series]
    words = {key: each["text"] for mapping in defaults.get("mappings", []) for key, each in mapping["options"].items()}
    if not shown:
        canvas.text(x + width / 2, y + height * 0.58, defaults.get("noValue", "No data"), 14, DIM, ha="center")
    for name, value in shown[:1]:
        text = words.get(f"{value:g}") or name or formatted(value, defaults["unit"], defaults.get("decimals"))
        colour = TEXT if panel["options"]["colorMode"] == "none" else _colour(defaults, value)
        canvas.text(x + width / 2, y + height * 0.6, text, fitting(text, width, 22), colour, ha="center", weight="bold")


def draw_listing(canvas: Canvas, box: Box, panel: Json, answers: list[Answer], viewer: Viewer) -> None:
    x, y, width, height = box
    organize = next(step["options"] for step in panel["transformations"] if step["id"] == "organize")
    rules = {
        rule["matcher"]["options"]: {each["id"]: each.get("value") for each in rule["properties"]}
        for rule in panel["fieldConfig"]["overrides"]
    }
    labels = [name for name in organize["indexByName"] if not name.startswith("Value")]
    titles = list(organize["renameByName"].values())
    rows: dict[tuple[str, ...], dict[str, float]] = {}
    for title, answer in zip(titles, answers, strict=True):
        for series in answer.series:
            rows.setdefault(tuple(series.labels.get(label, "") for label in labels), {})[title] = series.values[-1]
    if not rows:
        nothing = panel["fieldConfig"]["defaults"].get("noValue", "No data")
        canvas.text(x + width / 2, y + height / 2, nothing, 10, DIM, ha="center")
        return
    by = panel["options"]["sortBy"][0]["displayName"]
    ordered = sorted(rows.items(), key=lambda item: -item[1].get(by, -math.inf))
    size = 9 if width > WIDTH / 2 else 8
    weights = [max(len(label), *(len(key[place]) for key in rows)) for place, label in enumerate(labels)]
    weights += [max(len(title), 10) for title in titles]
    starts = [x + 12 + (width - 16) * sum(weights[:place]) / sum(weights) for place in range(len(weights))]
    line = 24.0
    for start, heading in zip(starts, labels + titles, strict=True):
        canvas.text(start, y + 40, heading, size, "#6e9fff")
    for number, (key, values) in enumerate(ordered[: int((height - 52) / line)]):
        at = y + 40 + line * (number + 1)
        canvas.axes(x + 8, at - line / 2, width - 16, 1, GRID).set(xticks=[], yticks=[])
        for start, text in zip(starts, key, strict=False):
            canvas.text(start, at, text, size)
        for start, title in zip(starts[len(labels) :], titles, strict=True):
            rule = rules.get(title, {})
            value = values.get(title)
            text = rule["noValue"] if value is None else formatted(value, rule["unit"], rule.get("decimals"))
            colour = _colour(rule, value) if value is not None and "thresholds" in rule else TEXT
            canvas.text(start, at, text, size, colour)


def _looks(panel: Json) -> Callable[[str], Look]:
    custom = panel["fieldConfig"]["defaults"]["custom"]
    rules = {rule["matcher"]["options"]: rule["properties"] for rule in panel["fieldConfig"]["overrides"]}

    def of(reference: str) -> Look:
        look = Look(fill=custom["fillOpacity"], stacked=custom["stacking"]["mode"] == "normal")
        for each in rules.get(reference, []):
            if each["id"] == "color":
                look.colour = NAMED[each["value"]["fixedColor"]]
            elif each["id"] == "custom.lineStyle":
                look.dashed = True
            elif each["id"] == "custom.fillOpacity":
                look.fill = each["value"]
            elif each["id"] == "custom.stacking":
                look.stacked = each["value"]["mode"] == "normal"
        return look

    return of


def _lines(panel: Json, answers: list[Answer]) -> Iterator[tuple[str, Look, Series]]:
    """Name, look and series of each line, with a colour of the palette where none is set."""
    of, colours = _looks(panel), iter(PALETTE * 10)
    for answer in answers:
        for series in sorted(answer.series, key=answer.name):
            look = of(answer.target["refId"])
            look.colour = look.colour or next(colours)
            yield answer.name(series), look, series


def draw_graph(canvas: Canvas, box: Box, panel: Json, answers: list[Answer], viewer: Viewer) -> None:
    x, y, width, height = box
    defaults = panel["fieldConfig"]["defaults"]
    unit = defaults["unit"]
    lines = list(_lines(panel, answers))
    if not lines:
        nothing = defaults.get("noValue", "No data")
        canvas.text(x + width / 2, y + height / 2, nothing, 10, DIM, ha="center")
        return
    room = (width - 24) / 6.6
    legend = _wrapped([(name, look) for name, look, _ in lines], room)[:3]
    below = 16 * len(legend) + 24
    left = 74 if unit in ("bytes", "binBps") or unit.startswith("count:") else 56
    axes = canvas.axes(x + left, y + 30, width - left - 14, height - 34 - below)
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    bars = defaults["custom"]["drawStyle"] == "bars"
    top = _draw_lines(axes, lines, viewer, bars)
    _scale(axes, unit, top, defaults.get("max"))
    axes.set_xlim(viewer.start, viewer.end)
    axes.xaxis.set_major_locator(MultipleLocator(60 * math.ceil((viewer.end - viewer.start) / 360)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda time, _: f"{datetime.fromtimestamp(time):%H:%M}"))
    for number, entries in enumerate(legend):
        at, down = x + 14, y + height - 16 * (len(legend) - number) + 4
        for name, look in entries:
            points = [at / WIDTH, (at + 14) / WIDTH], [1 - down / canvas.height] * 2
            style = (0.0, (2, 1)) if look.dashed else None
            canvas.figure.add_artist(Line2D(*points, color=look.colour, linewidth=2.5, linestyle=style))
            canvas.text(at + 19, down, name, 8)
            at += 6.6 * len(name) + 38


def _wrapped(entries: list[tuple[str, Look]], room: float) -> list[list[tuple[str, Look]]]:
    """Legend entries in lines of so many letters."""
    lines: list[list[tuple[str, Look]]] = [[]]
    used = 0.0
    for name, look in entries:
        name = name if len(name) < room - 6 else f"{name[: int(room) - 8]}…"
        if lines[-1] and used + len(name) + 6 > room:
            lines.append([])
            used = 0
        lines[-1].append((name, look))
        used += len(name) + 6
    return lines


def _draw_lines(axes: Axes, lines: list[tuple[str, Look, Series]], viewer: Viewer, bars: bool) -> float:
    """Draw them; returns the highest point."""
    times = sorted({time for _, _, series in lines for time in series.times})
    whole = (viewer.end - viewer.start) / viewer.points
    step = min((after - before for before, after in itertools.pairwise(times)), default=whole)
    if times:
        times = [times[0] + step * index for index in range(round((times[-1] - times[0]) / step) + 1)]
    floor = [0.0] * len(times)
    top = 0.0
    for order, (_, look, series) in enumerate(lines):
        found = {round(time): value for time, value in zip(series.times, series.values, strict=True)}
        values = [found.get(round(time), math.nan) for time in times]
        base = [0.0] * len(times)
        if look.stacked:
            base = floor
            floor = values = [
                low + (0 if math.isnan(value) else value) for low, value in zip(base, values, strict=True)
            ]
        top = max([top, *(value for value in values if math.isfinite(value))])
        if bars:
            axes.bar(times, values, width=step * 0.8, color=look.colour, zorder=3 + order)
            continue
        if look.fill:
            axes.fill_between(times, base, values, color=look.colour, alpha=look.fill / 100, linewidth=0, zorder=2)
        style = (0, (5, 4)) if look.dashed else "-"
        axes.plot(times, values, color=look.colour, linewidth=1.6, linestyle=style, zorder=3 + order)
    return top


def _scale(axes: Axes, unit: str, top: float, most: float | None) -> None:
    top = (most or top or 1) * 1.06
    base = 1024 if unit in ("bytes", "binBps") else 1000
    size = 1.0
    while top / size >= base:
        size *= base
    while unit in ("s", "percentunit") and top / size < 1e-2:
        size /= 1000
    rough = top / size / 4
    nice = 10 ** math.floor(math.log10(rough))
    step = next(nice * factor for factor in (1, 2, 2.5, 5, 10) if nice * factor >= rough)
    if base == 1024 and step > 10:
        step = 2 ** math.ceil(math.log2(rough))
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MultipleLocator(step * size))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: re.sub(r"^-?0 .*", "0", formatted(value, unit))))


DRAWERS = {"stat": draw_figure, "table": draw_listing, "timeseries": draw_graph}
