"""Numbers as a person reads them."""

from __future__ import annotations

import math

from exporter.catalog.declare import Number

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def size(value: Number | None) -> str:
    """Bytes with a binary prefix: 83.9 MiB. Unlimited is the kernel's word, max; what isn't known is -."""
    if value is None:
        return "-"
    if value == math.inf:
        return "max"
    for unit, name in ((1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        # What would round to 1024 of a unit is shown as one of the next.
        if abs(value) >= unit - unit / 2048:
            return f"{value / unit:.1f} {name}"
    return f"{value:.0f} B"


def shown(value: Number | str | None, unit: str) -> str:
    """A value with its unit."""
    if value is None or isinstance(value, str):
        return "-" if value is None else value
    if unit in ("bytes", "bytes/s"):
        return size(value) + unit.removeprefix("bytes")
    if unit == "ratio":
        return f"{100 * value:.3g} %"
    if unit == "seconds":
        return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.1f} ms"
    number = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
    return f"{number}/s" if unit == "1/s" else number
