"""A query taken apart."""

from collections.abc import Iterator

import promql_parser


def parts(node: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """An expression and all that it is made of."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector"):
        if (below := getattr(node, name, None)) is not None:
            yield from parts(below)
    for argument in getattr(node, "args", None) or ():
        yield from parts(argument)


def selectors(query: str) -> list[promql_parser.VectorSelector]:
    """The selectors of a query. ValueError where it isn't PromQL."""
    return [part for part in parts(promql_parser.parse(query)) if isinstance(part, promql_parser.VectorSelector)]


def metric(selector: promql_parser.VectorSelector) -> str:
    """The metric of a selector, which must name one."""
    assert selector.name, selector.prettify()
    return str(selector.name)
