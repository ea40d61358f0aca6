"""The files that were captured from kernels, as bytes."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unit.tree import FIXTURES, KERNELS

Parser = Callable[[bytes, str], Any]


def captured(patterns: list[str]) -> Iterator[Path]:
    for kernel in KERNELS:
        for pattern in patterns:
            yield from sorted((FIXTURES / kernel).glob(pattern))


def process(kernel: str, pid: int, file: str) -> bytes:
    return (FIXTURES / kernel / "proc" / str(pid) / file).read_bytes()
