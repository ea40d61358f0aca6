"""Every kernel file that a scrape reads, damaged in every way: what it says is lost, and nothing else is.

Which files there are isn't written here: a scrape of the captured kernels is asked.
"""

import errno
import logging
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults.faulty import GROUP, KEPT, KERNELS, Bench, FaultyOs, collector_of, fell
from support.needs import full
from support.page import Page

NEGATIVE = ("vmem_host_swap_device_priority", "vmem_process_oom_score_adj", "vmem_pid_oom_score_adj")
"""What the kernel itself gives as negative numbers."""

CUTS = 12
"""Places at which a file is cut short; every byte in the full run."""


def damages(text: bytes) -> Iterator[tuple[str, bytes]]:
    """What may become of a file."""
    chance = random.Random(len(text))
    lines = text.splitlines(keepends=True)
    words = text.split(b" ")
    places = range(len(text)) if full() else sorted(chance.sample(range(len(text)), min(len(text), CUTS)))
    yield from ((f"cut at {place}", text[:place]) for place in places)
    yield "random bytes", chance.randbytes(len(text) or 100)
    yield "zero bytes", bytes(len(text))
    yield "negative", re.sub(rb"\b[0-9]+\b", rb"-\g<0>", text)
    yield "beyond 64 bits", re.sub(rb"\b[0-9]+\b", b"9" * 23, text)
    yield "the largest of 64 bits", re.sub(rb"\b[0-9]+\b", b"%d" % (2**64 - 1), text)
    yield "beyond what int() takes", re.sub(rb"\b[0-9]+\b", b"9" * 5000, text, count=3)
    yield "lines missing", b"".join(lines[::2])
    yield "lines in another order", b"".join(reversed(lines))
    yield "lines repeated", b"".join(line * 2 for line in lines)
    yield "fields missing", b" ".join(words[::2])
    yield "fields added", b"".join(line.rstrip(b"\n") + b" 7 x\n" for line in lines) + b"New: 7 kB\nnew 7\n"
    yield "fields repeated", b" ".join(word + b" " + word for word in words)
    yield "longer than the cap", (text or b"1\n") * ((1 << 20) // max(len(text), 2) + 5)
    yield "no UTF-8", b"\xff\xfe\n" + text.replace(b"0", b"\xe9")


def wrong_numbers(page: Page) -> list[str]:
    return [
        f"{key} {value}"
        for key, value in page.items()
        if math.isnan(value)
        or (value < 0 and not key.startswith(NEGATIVE))
        or (math.isinf(value) and not re.match(r"vmem_cgroup_", key))
    ]


@pytest.mark.parametrize("name", ["host", "cgroup", "process"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_damaged_file_costs_what_it_says_and_nothing_else(
    kernel: str, name: str, faulty_os: FaultyOs, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(kernel, faulty_os, name)
    bench.page()
    whole = bench.page()
    kinds = {kind: paths for kind, paths in bench.kernel.files().items() if collector_of(kind) == name}
    assert len(kinds) > {"host": 15, "cgroup": 10, "process": 8}[name]
    caplog.set_level(logging.ERROR)
    tried = 0
    for kind, paths in kinds.items():
        if not (there := [path for path in paths if Path(path).exists()]):
            continue
        path = there[len(there) // 2]
        before = bench.page()
        # What a process's file says may put it into another group: without the process all that it may change goes.
        gone = re.sub(r"(/proc/[0-9]+/).*", r"\1stat", path)
        without = bench.page({gone: OSError(errno.ESRCH if gone != path else errno.EIO, "")})
        lost = {key for key in whole if whole[key] != without.get(key)}
        groups = {found[0] for key in lost if (found := GROUP.search(key)) and name == "process"}
        others = {key for key in whole.keys() - lost if not KEPT.match(key)}
        others = {key for key in others if not ((found := GROUP.search(key)) and found[0] in groups)}
        for damage, text in damages(Path(path).read_bytes()):
            what = f"{kind}, {damage}"
            page = bench.page({path: text})
            assert {key: page.get(key) for key in others} == {key: whole[key] for key in others}, what
            assert wrong_numbers(page) == [], what
            assert fell(page, before) == [], what
            before = before | page
            tried += 1
        mended = bench.page()
        assert fell(mended, before) == [], kind
        assert mended.keys() >= whole.keys(), kind  # the group that a process was in stays, empty
        assert {key for key in whole if mended[key] != whole[key] and not KEPT.match(key)} == set(), kind
    assert caplog.messages == []
    assert tried > len(kinds) * 10
