"""Many processes that do nothing, under one name.

As a program it takes how many and the name, says when they are there, and ends with all of them at the end of its
input.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def crowd(count: int, name: str) -> Iterator[None]:
    """So many processes of this name, while the context lasts."""
    command = [sys.executable, "-I", "-S", __file__, str(count), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ok\n"
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            while there(process.pid):
                time.sleep(0.01)


def there(group: int) -> bool:
    """Whether a process group has a member."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    count, name = int(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in range(count):
        if os.fork() == 0:
            with open("/proc/self/comm", "w") as comm:
                comm.write(name)
            signal.pause()
    print("ok", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
