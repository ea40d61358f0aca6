"""Running the exporter as an ordinary user, with mounts that nobody else sees."""

import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from support.exporter import COMMAND
from support.needs import missing

NOBODY = 65534
CHECKOUT = Path(__file__).parent.parent.parent
KEEP = "/mnt"  # covered for this command alone, so that nothing is left behind


def closed(path: Path) -> Path | None:
    """The uppermost folder on the way to a path that an ordinary user can't enter."""
    return next((each for each in [*reversed(path.parents), path] if not each.stat().st_mode & 0o001), None)


def opened(paths: Iterable[Path]) -> Iterator[str]:
    """Shell commands that let an ordinary user come to these paths.

    In the place of a folder that only root can enter they mount an empty one that all can, and in it those paths.
    """
    behind: dict[Path, list[Path]] = {}
    for path in paths:
        if folder := closed(path):
            behind.setdefault(folder, []).append(path)
    yield f"mount -t tmpfs tmpfs {KEEP}"
    for folder, hidden in behind.items():
        for path in hidden:
            yield shlex.join(["mkdir", "-p", f"{KEEP}{path}"])
            yield shlex.join(["mount", "--rbind", str(path), f"{KEEP}{path}"])
        yield shlex.join(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(folder)])
        for path in hidden:
            yield shlex.join(["mkdir", "-p", str(path)])
            yield shlex.join(["mount", "--rbind", f"{KEEP}{path}", str(path)])


def command(
    directory: Path,
    *,
    user: int = NOBODY,
    hidepid_at: Path | None = None,
    program: Sequence[str | Path] = (COMMAND,),
    through: Sequence[str | Path] = (),
) -> list[str]:
    """The exporter's command for a user and a configuration in a directory; with a procfs of hidepid=2 where asked.

    `through` is a command that becomes the user, in the place of setpriv alone.
    """
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0:
        missing("the right to make a mount namespace")
    # Another user can't write where what it covers is counted, and coverage says so in the output.
    lines = ["set -eu", "umask 022", "unset COVERAGE_PROCESS_CONFIG"]
    if user != 0:
        lines += opened({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), CHECKOUT, directory.resolve()})
    if hidepid_at:
        lines.append(shlex.join(["mount", "-t", "proc", "-o", "hidepid=2", "proc", str(hidepid_at)]))
    through = through or ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--")
    lines.append(f'exec {shlex.join(map(str, through))} "$0" "$@"')
    return ["unshare", "--mount", "sh", "-c", "\n".join(lines), *map(str, program)]
