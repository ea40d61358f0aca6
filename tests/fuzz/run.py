"""Fuzz one group for so many minutes, guided by coverage: `python tests/fuzz/run.py GROUP MINUTES`.

It starts from the kernels' captured files and the corpus, to which it adds nothing: what it finds on the way stays in
build/fuzz. An input that the code fails on is written there as crash-…, and ends the run with an error.

`python tests/fuzz/run.py GROUP --keep` adds to the corpus the shortest inputs found that step from line to line as no
input of the corpus does, a few dozen at the most.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

CHECKOUT = Path(__file__).parents[2]
FIXTURES = CHECKOUT / "tests/fixtures"
CORPUS = Path(__file__).parent / "corpus"
LONGEST = 6000
"""Bytes of an input. A whole vmstat is more, and shows nothing that its half doesn't."""

LONGEST_KEPT = 300
"""Bytes of an input that is kept in the corpus."""

MOST_KEPT = 40
"""Inputs in the corpus of a group."""

WORDS = (
    "processes cgroups max_groups collectors name comm exe argv0 cmdline user cgroup exclude labels smaps oom_score "
    "per_process by_cgroup max_processes path preset labels_from max_cgroups kubernetes docker systemd {comm} {exe} "
    "tls_server_config cert_file key_file client_auth_type min_version TLS12 basic_auth_users http_server_config "
    "headers rate_limit interval burst $2y$10$ "
    "(?P<x> !!str !!binary !!map &a *a << : [ ] { } , - # | > ' % @ ** [!a] \\\\x00 kB Node some full total= btime max"
)


def seeds(name: str) -> Path:
    """A directory of the inputs that a group begins with."""
    from fuzz.targets import GROUPS

    folder = CHECKOUT / "build/fuzz" / name / "seeds"
    folder.mkdir(parents=True, exist_ok=True)
    group = GROUPS[name]
    texts = [(CHECKOUT / file).read_bytes() for file in group.files]
    for place, (_, patterns) in enumerate(group.parsers):
        for pattern in patterns:
            found = {path.read_bytes()[:LONGEST] for path in FIXTURES.glob(f"*/{pattern}")}
            texts += [bytes([place]) + text for text in sorted(found)[:6]]
    for number, text in enumerate(texts):
        (folder / str(number)).write_bytes(text)
    return folder


def steps(run: Callable[[bytes], None], data: bytes) -> set[tuple[str, int, int]]:
    """The steps from line to line that an input takes through the exporter's code."""
    taken: set[tuple[str, int, int]] = set()
    last = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal last
        file = frame.f_code.co_filename
        if "/exporter/" not in file:
            return None
        taken.add((file, last, frame.f_lineno))
        last = frame.f_lineno
        return trace

    sys.settrace(trace)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return taken


def keep(name: str, run: Callable[[bytes], None]) -> None:
    """Add to a group's corpus."""
    found = sorted((CHECKOUT / "build/fuzz" / name / "found").iterdir(), key=lambda path: path.stat().st_size)
    known: set[tuple[str, int, int]] = set()
    for path in sorted((CORPUS / name).iterdir()):
        known |= steps(run, path.read_bytes())
    for path in found:
        if path.stat().st_size > LONGEST_KEPT or len(list((CORPUS / name).iterdir())) >= MOST_KEPT:
            break
        data = path.read_bytes()
        taken = steps(run, data)
        if taken - known:
            known |= taken
            (CORPUS / name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)


def main() -> None:
    name = sys.argv[1]
    sys.path.insert(0, str(CHECKOUT / "tests"))
    found = CHECKOUT / "build/fuzz" / name / "found"
    for folder in found, CORPUS / name:
        folder.mkdir(parents=True, exist_ok=True)
    if "--keep" in sys.argv:
        from fuzz.targets import GROUPS

        keep(name, GROUPS[name].run)
        return
    import atheris

    with atheris.instrument_imports(include=["exporter", "fuzz.targets", "yaml"]):
        from fuzz.targets import GROUPS
    atheris.enabled_hooks.add("RegEx")
    words = CHECKOUT / "build/fuzz/words"
    words.write_text("".join(f'"{word}"\n' for word in WORDS.replace('"', "").split()))
    seconds = round(float(sys.argv[2]) * 60)
    flags = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=10", f"-dict={words}", "-verbosity=0"]
    flags += [f"-artifact_prefix={found.parent}/", "-print_final_stats=1"]
    folders = [found, CORPUS / name, seeds(name)]
    atheris.Setup([sys.argv[0], *flags, *map(str, folders)], GROUPS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
