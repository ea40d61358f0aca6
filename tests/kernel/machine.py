"""Another kernel on this machine: Debian's cloud kernel, emulated, with a small Python and the exporter inside.

    python3 tests/kernel/machine.py capture DIRECTORY     stores that kernel's files as a fixture

Needs no privilege: apt-get downloads the package, dpkg -x unpacks it, and qemu emulates the processor. What takes
long to make is kept in .cache/kernel, under names that hold the versions of what it was made from.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
CACHE = CHECKOUT / ".cache" / "kernel"

META_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("virtio_pci", "virtio_blk")
APPLETS = ("sh", "mount", "ip", "insmod", "mkswap", "swapon", "stty", "poweroff")
TOOLS = ("apt-get", "apt-cache", "dpkg", "ldd", "cpio", "busybox", "qemu-system-x86_64")
UNUSED = ("test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "config-*")
UNUSED_FILES = ("*.opt-?.pyc", "*.a", "site-packages", "dist-packages")

SWAP, RESULT = 256 << 20, 16 << 20  # bytes of the two disks
TIME_LIMIT = 200  # seconds for all that the emulated machine does; some 30 are usual


class LaboratoryError(Exception):
    """The emulated machine could not be built or did not do what it was started for."""


def missing_tools() -> list[str]:
    """The programs that the laboratory needs and this machine lacks."""
    return [tool for tool in TOOLS if not shutil.which(tool)]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The output of a program. LaboratoryError with its last words if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LaboratoryError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


@contextmanager
def made_whole(target: Path) -> Iterator[Path]:
    """A scratch path that becomes this one of the cache when all went well."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="making-") as scratch:
        yield Path(scratch) / target.name
        (Path(scratch) / target.name).rename(target)


def kernel() -> Path:
    """The unpacked kernel package, in a directory named as its file: name_version_architecture."""
    depends = run("apt-cache", "depends", META_PACKAGE)
    package = next(word for word in depends.split() if word.startswith("linux-image-") and word != META_PACKAGE)
    version = re.search(r"^Version: (?:\d+:)?(.+)$", run("apt-cache", "show", "--no-all-versions", package), re.M)
    if not version:
        raise LaboratoryError(f"apt-cache knows no version of {package}")
    unpacked = CACHE / f"{package}_{version[1]}"
    if not unpacked.exists():
        with made_whole(unpacked) as scratch, tempfile.TemporaryDirectory() as download:
            run("apt-get", "download", package, cwd=Path(download))
            run("dpkg", "-x", next(Path(download).glob("*.deb")), scratch)
    return unpacked


def distributions(name: str) -> dict[str, importlib.metadata.Distribution]:
    """An installed distribution and all that it requires, each by its name."""
    found: dict[str, importlib.metadata.Distribution] = {}
    wanted = [name]
    while wanted:
        requirement, _, marker = wanted.pop().partition(";")
        name = re.split(r"[^\w.-]", requirement.strip())[0].lower()
        if name in found or "extra" in marker:
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            if not marker:
                raise LaboratoryError(f"{name} is not installed in {sys.prefix}") from None
        else:
            wanted += found[name].requires or []
    return found


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def archive(directory: Path, target: Path) -> None:
    """Pack a directory as an initramfs; not compressed, since to unpack that under emulation takes longer."""
    names = "".join(f"{path.relative_to(directory)}\n" for path in sorted(directory.rglob("*")))
    with target.open("wb") as output:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"],
            cwd=directory, input=names.encode(), stdout=output, check=True,
        )  # fmt: skip


def put_python(root: Path, packages: dict[str, importlib.metadata.Distribution]) -> None:
    """The interpreter that runs this, its library, the packages, and the shared objects that all of them need."""
    stdlib = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    library = root / "usr" / "lib" / stdlib.name
    shutil.copytree(stdlib, library, ignore=shutil.ignore_patterns(*UNUSED, *UNUSED_FILES))
    interpreter = root / "usr" / "bin" / "python3"
    copy(Path(sys.executable).resolve(), interpreter)
    for package in packages.values():
        for file in package.files or []:
            if ".." not in file.parts:
                copy(Path(str(package.locate_file(file))), root / "site" / file)
    objects = [interpreter, *library.rglob("*.so"), *(root / "site").rglob("*.so")]
    environment = {**os.environ, "LD_LIBRARY_PATH": str(Path(sys.base_prefix) / "lib")}
    listing = subprocess.run(["ldd", *objects], env=environment, capture_output=True, text=True, check=True).stdout
    found = {Path(path) for path in re.findall(r"(?:=>)?\s(/[^:\s]+) \(0x", listing)}
    # glibc loads it when a thread ends by pthread_exit, which ldd can't know.
    found |= {path.with_name("libgcc_s.so.1") for path in found if path.name == "libc.so.6"}
    for shared in found:
        loader = shared.name.startswith("ld-linux")
        copy(shared, root / ("lib64" if loader else "usr/lib") / shared.name)


def put_modules(root: Path, package: Path) -> None:
    """The kernel modules, and a list of them in the order in which each finds what it depends on."""
    files = {path.stem.replace("-", "_"): path for path in package.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[str] = []

    def add(name: str) -> None:
        depends = re.search(rb"\0depends=([^\0]*)\0", files[name].read_bytes())
        for other in filter(None, depends[1].decode().split(",") if depends else []):
            add(other.replace("-", "_"))
        if name not in order:
            order.append(name)
            copy(files[name], root / "modules" / name)

    for name in MODULES:
        add(name)
    (root / "modules" / "order").write_text("".join(f"{name}\n" for name in order))


def base_image(package: Path) -> Path:
    """The part of the initramfs that changes with the kernel, the interpreter and the packages alone."""
    packages = distributions("vmem-exporter")
    made_from = [package.name, platform.python_version(), Path(__file__).read_text()]
    made_from += sorted(f"{name} {each.version}" for name, each in packages.items())
    image = CACHE / f"base-{hashlib.sha256(repr(made_from).encode()).hexdigest()[:16]}.cpio"
    if not image.exists():
        for old in CACHE.glob("base-*.cpio"):
            old.unlink()
        with made_whole(image) as scratch, tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            for empty in ("proc", "sys", "dev", "tmp", "bin"):
                (root / empty).mkdir()
            copy(Path(shutil.which("busybox") or ""), root / "bin" / "busybox")
            for applet in APPLETS:
                (root / "bin" / applet).symlink_to("busybox")
            put_modules(root, package)
            put_python(root, packages)
            archive(root, scratch)
    return image


def image(package: Path, target: Path) -> None:
    """The whole initramfs: the base, and upon it what the checkout holds now."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        no_caches = shutil.ignore_patterns("__pycache__")
        shutil.copytree(CHECKOUT / "exporter", root / "site" / "exporter", ignore=no_caches)
        shutil.copytree(HERE, root / "lab" / "tests" / "kernel", ignore=no_caches)
        copy(CHECKOUT / "tools" / "capture.py", root / "lab" / "tools" / "capture.py")
        copy(HERE / "init.sh", root / "init")
        (root / "init").chmod(0o755)
        archive(root, target)
    ours = target.read_bytes()
    target.write_bytes(base_image(package).read_bytes() + ours)


def boot(task: str, result: Path | None = None) -> list[dict[str, Any]]:
    """Start the machine for a task of guest.py: the JSON lines that it printed until it powered itself off.

    What it wrote to its second disk goes to `result`. LaboratoryError, with the end of its console, if it
    did not come to its end.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-") as directory:
        scratch = Path(directory)
        package = kernel()
        image(package, scratch / "initramfs")
        for name, size in (("swap", SWAP), ("result", RESULT)):
            with (scratch / name).open("wb") as disk:
                disk.truncate(size)
        command: list[str | Path] = ["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "1G"]
        for node in ("0", "1"):
            command += [
                "-object",
                f"memory-backend-ram,id=m{node},size=512M",
                "-numa",
                f"node,memdev=m{node},cpus={node}",
            ]
        command += ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]
        command += ["-serial", f"file:{scratch / 'console'}", "-serial", "stdio"]
        command += ["-drive", f"file={scratch / 'swap'},if=virtio,format=raw,cache=unsafe"]
        command += ["-drive", f"file={scratch / 'result'},if=virtio,format=raw,cache=unsafe"]
        command += ["-kernel", next(package.glob("boot/vmlinuz-*")), "-initrd", scratch / "initramfs"]
        command += ["-append", f"console=ttyS0 quiet panic=-1 LAB={task}"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as machine:
            watchdog = threading.Timer(TIME_LIMIT, machine.kill)
            watchdog.start()
            try:
                lines = [json.loads(line) for line in machine.stdout or [] if line.startswith("{")]
            finally:
                watchdog.cancel()
                machine.kill()
        if not lines or not lines[-1].pop("done", False):
            console = (scratch / "console").read_text(errors="replace")
            raise LaboratoryError(
                f"it said {len(lines)} lines and broke off. The end of its console:\n{console[-3000:]}"
            )
        if result:
            shutil.copyfile(scratch / "result", result)
        return lines


def capture(target: Path) -> None:
    """Replace a fixture by the files of the emulated kernel, taken while the processes of specimen.py run."""
    if target.exists() and not (target / "specimen.json").exists():
        raise LaboratoryError(f"{target} is there and not a fixture; it is left as it is")
    with tempfile.NamedTemporaryFile() as disk:
        boot("capture", Path(disk.name))
        shutil.rmtree(target, ignore_errors=True)
        with tarfile.open(disk.name) as files:
            files.extractall(target, filter="tar")


if __name__ == "__main__":
    if sys.argv[1:2] != ["capture"] or len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        capture(Path(sys.argv[2]))
    except LaboratoryError as error:
        sys.exit(f"machine.py: {error}")
