"""The text of a page: the client library's own, byte for byte, and readable by its parsers."""

import math
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as ClientFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.utils import floatToGoString

from exporter.catalog.declare import Family, Metric, Number, Pairs
from exporter.exposition import EOF, render

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\\", "\n", '"', "\\n", '\\"', "a\\", "�", "é\x85 ", "{}", 'a="b",c', "#", " ", ""]
)
LABEL_NAMES = st.from_regex("[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
NAMES = st.from_regex("[a-z][a-z0-9_]{0,12}_(?:bytes|seconds|ratio)", fullmatch=True)
NUMBERS: st.SearchStrategy[Number] = (
    st.floats()
    | st.integers(-(2**64), 2**64)
    | st.builds(lambda digits, shift: digits * 10**shift, st.integers(0, 9999), st.integers(0, 18))
    | st.sampled_from([0, -0.0, 999_999, 1_000_000, 1e6, -1e6, 10**16 - 1, 10**16, 2**53 + 1, 0.57, 1e-7, 1e22])
)
COUNTS = NUMBERS.filter(lambda number: 0 <= number < math.inf)


@st.composite
def families(draw: st.DrawFn, gauges: st.SearchStrategy[Number] = NUMBERS) -> list[tuple[Metric, dict[Pairs, Number]]]:
    """Metrics with their samples, by labels."""
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        labels = tuple(draw(st.lists(LABEL_NAMES, unique=True, max_size=3)))
        counter = draw(st.booleans())
        metric = (
            Metric(f"{name}_total", "counter", draw(TEXTS), labels)
            if counter
            else Metric(name, "gauge", draw(TEXTS), labels)
        )
        values = draw(st.lists(st.tuples(*[TEXTS] * len(labels)), unique=True, max_size=4 if labels else 1))
        pairs = [tuple(zip(labels, each, strict=True)) for each in values]
        found.append((metric, {each: draw(COUNTS if counter else gauges) for each in pairs}))
    return found


def ours(found: Iterable[tuple[Metric, dict[Pairs, Number]]], *, openmetrics: bool) -> str:
    page = []
    for metric, samples in found:
        family = Family(metric)
        for pairs, value in samples.items():
            family.add(value, *pairs)
        page.append(family)
    return render(page, openmetrics=openmetrics)


class Library:
    """The same families, for the client library to write."""

    def __init__(self, found: Iterable[tuple[Metric, dict[Pairs, Number]]]) -> None:
        self._found = found

    def collect(self) -> Iterator[ClientFamily]:
        for metric, samples in self._found:
            made = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = made(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
            for pairs, value in samples.items():
                family.add_metric([text for _, text in pairs], value)
            if samples:
                yield family

    @property
    def registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(self)
        return registry


@given(families())
def test_the_text_is_the_librarys(found: list[tuple[Metric, dict[Pairs, Number]]]) -> None:
    assert ours(found, openmetrics=False).encode() == generate_latest(Library(found).registry)


@given(families())
def test_the_openmetrics_text_is_the_librarys(found: list[tuple[Metric, dict[Pairs, Number]]]) -> None:
    text = ours(found, openmetrics=True) + EOF
    assert text.encode() == generate_openmetrics(Library(found).registry)  # type: ignore[no-untyped-call]


def read_back(page: Iterable[ClientFamily]) -> dict[tuple[str, Pairs], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in page
        for sample in family.samples
    }


@given(families())
def test_the_librarys_parsers_read_it_back(found: list[tuple[Metric, dict[Pairs, Number]]]) -> None:
    expected = {
        (metric.name, tuple(sorted(pairs))): float(value) for metric, each in found for pairs, value in each.items()
    }
    texts = [
        read_back(parse_text(ours(found, openmetrics=False))),
        read_back(parse_openmetrics(ours(found, openmetrics=True) + EOF)),
    ]
    for page in texts:
        assert page.keys() == expected.keys()
        for key, value in expected.items():
            assert page[key] == value or (math.isnan(page[key]) and math.isnan(value))


def written(value: Number) -> str:
    return render([Family(Metric("a", "gauge", "b"), [("a", value)])]).splitlines()[-1].removeprefix("a ")


@given(NUMBERS)
@example(math.inf)
@example(-math.inf)
@example(math.nan)
@example(0)
@example(-1)
@example(-1_000_000)
@example(True)
def test_a_number_is_written_as_the_library_does(value: Number) -> None:
    assert written(value) == floatToGoString(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (999_999, "999999.0"),
        (1_000_000, "1e+06"),
        (41_529_344, "4.1529344e+07"),
        (2**63, "9.223372036854776e+18"),
        (0.57, "0.57"),
        (-2, "-2.0"),
        (1795492209.18, "1.79549220918e+09"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers(value: Number, text: str) -> None:
    assert written(value) == text


def test_a_page() -> None:
    resident = Family(Metric("vmem_a_bytes", "gauge", 'RAM: "all"\nof\\it.', ("group",)))
    resident.add(4096, ("group", 'a "b"\n\\c'))
    resident.add(None, ("group", "absent"))
    faults = Family(Metric("vmem_b_total", "counter", "Faults."))
    faults.add(3)
    empty = Family(Metric("vmem_c", "gauge", "Nothing."))
    assert render([resident, faults, empty]) == (
        '# HELP vmem_a_bytes RAM: "all"\\nof\\\\it.\n'
        "# TYPE vmem_a_bytes gauge\n"
        'vmem_a_bytes{group="a \\"b\\"\\n\\\\c"} 4096.0\n'
        "# HELP vmem_b_total Faults.\n"
        "# TYPE vmem_b_total counter\n"
        "vmem_b_total 3.0\n"
    )
    assert render([resident, faults, empty], openmetrics=True) == (
        '# HELP vmem_a_bytes RAM: \\"all\\"\\nof\\\\it.\n'
        "# TYPE vmem_a_bytes gauge\n"
        'vmem_a_bytes{group="a \\"b\\"\\n\\\\c"} 4096.0\n'
        "# HELP vmem_b Faults.\n"
        "# TYPE vmem_b counter\n"
        "vmem_b_total 3.0\n"
    )
    assert render([]) == ""


def test_labels_are_sorted_by_name() -> None:
    assert Metric("m", "gauge", "h").series((("b", "1"), ("a", "2"))) == 'm{a="2",b="1"}'
    assert Metric("m", "gauge", "h").series() == "m"
