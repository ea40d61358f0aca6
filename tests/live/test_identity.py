"""Who the processes of this machine are, beside what psutil says of them."""

import psutil
import pytest

from exporter.errors import Refused
from exporter.watch.identity import Identity
from exporter.watch.namespace import Namespace

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("root")]

Who = tuple[str, list[str], str]
"""The program, the words of its arguments, the user. psutil takes a title for several arguments, we for one."""


def psutil_says(pid: int) -> Who:
    process = psutil.Process(pid)
    return process.exe(), " ".join(process.cmdline()).split(), process.username()


def test_every_process_is_who_psutil_says() -> None:
    namespace = Namespace("/proc", None)
    told: dict[int, Who] = {}
    found: dict[int, Who] = {}
    for pid in psutil.pids():
        who = Identity("/proc", pid, b"", False, namespace)
        try:
            before = psutil_says(pid)
            ours = who.exe, " ".join(who.argv).split(), "".join(who.user[:1])
            after = psutil_says(pid)
        except (psutil.Error, Refused):
            continue
        if before == after:  # it made no exec meanwhile
            told[pid], found[pid] = after, ours
    assert psutil.Process().pid in found
    assert found == told
