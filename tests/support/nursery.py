"""Processes that are born, work a little and die, so many a second, under a few names and in the cgroups of a folder.

As a program it takes the rate, the longest life in seconds, and maybe the folder of a cgroup; it says how many there
have been when a line comes in, and ends, with all of them, at the end of its input.
"""

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

COMMS = tuple(f"born-{letter}" for letter in "abcdefgh")


class Nursery:
    """The program, from the side of the test."""

    def __init__(self, rate: float, longest: float, folder: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(rate), str(longest), *([str(folder)] if folder else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def born(self) -> int:
        """How many processes there have been."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> int:
        """Kill all that live. Gives how many there have been."""
        born = self.born
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        return born


def live(chance: random.Random, longest: float, folder: str | None) -> None:
    if folder:
        inner = [entry.path for entry in os.scandir(folder) if entry.is_dir()]
        try:
            with open(f"{chance.choice([folder, *inner])}/cgroup.procs", "w") as procs:
                procs.write("0")
        except OSError:
            pass  # it has been removed meanwhile
    with open("/proc/self/comm", "w") as comm:
        comm.write(chance.choice(COMMS))
    held = bytearray(chance.randrange(1 << 20))
    time.sleep(chance.uniform(0, longest))
    held[-1:] = b"x"


def main() -> None:
    rate, longest, folder = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3] if sys.argv[3:] else None
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    chance, born, start = random.Random(1), 0, time.monotonic()
    while True:
        wait = max(start + born / rate - time.monotonic(), 0)
        if select.select([0], [], [], wait)[0]:
            if not os.read(0, 100):
                return
            print(born, flush=True)
            continue
        seed = chance.random()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            live(random.Random(seed), longest, folder)
            os._exit(0)
        born += 1


if __name__ == "__main__":
    main()
