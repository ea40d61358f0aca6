"""A page of metrics, as the client library's parsers understand it."""

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

Page = dict[str, float]
"""Series, written by `series`, and their values."""


def series(name: str, **labels: object) -> str:
    """A series as the key of a page: its labels sorted by name."""
    inner = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    return f"{name}{{{inner}}}" if inner else name


def parsed(text: str, *, openmetrics: bool = False) -> Page:
    """The samples of a page. ValueError where it isn't one, or has a series twice."""
    page: Page = {}
    for family in (parse_openmetrics if openmetrics else parse_text)(text):
        for sample in family.samples:
            key = series(sample.name, **sample.labels)
            if key in page:
                raise ValueError(f"{key} is there twice")
            page[key] = sample.value
    return page


def of(page: Page, prefix: str) -> Page:
    """The part of a page whose series begin so."""
    return {key: value for key, value in page.items() if key.startswith(prefix)}
