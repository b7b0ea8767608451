"""A machine of another kernel for tests: qemu emulates it, on any processor and without help of this kernel.

It boots the tree of ``scripts/make-tree``, and systemd in it, under the kernel of ``scripts/make-kernel``, in
memory. What it boots for are tests of this checkout, which run in it as they would here; then it is over.
"""

import os
import platform
import shlex
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

from daemon import ROOT
from machine import CACHE, PREFIX, TREE, release
from wheel import build_wheel

KERNEL = CACHE / f"kernel-{release()}"
CHECKOUT = Path("root/checkout")
SLOWNESS = 8
"""How much more time than on hardware anything is given to happen."""
TIMEOUT = 1500
"""Seconds until it is over in any case."""

_PARTS = ("docs", "monitor", "pcaps", "rules", "systemd", "tests", "pyproject.toml")
_UNUSED = ("./usr/share/doc", "./usr/share/locale", "./var/cache")
_UNIT = """\
[Unit]
After=multi-user.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
WorkingDirectory=/{checkout}
Environment=SLOWNESS={slowness} PYTHONPATH=/root/packages LANG=C.UTF-8
Environment=MADE_FOR_TESTS=1 WHEEL=/root/{wheel}
Environment=PATH={prefix}:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
Environment=PYTEST_ADDOPTS="-p no:cacheprovider --junit-xml=/root/report.xml"
ExecStart=-{prefix}/python -m pytest {tests}
ExecStart=cp /root/report.xml /dev/ttyS1
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
"""


def unavailable() -> str | None:
    """Why no machine can be emulated here, None where one can."""
    if platform.machine() != "x86_64":
        return "needs a machine of x86_64"
    absent = [str(path) for path in (TREE, KERNEL) if not path.is_dir()]
    if absent:
        return f"needs {' and '.join(absent)} (make test-qemu makes them)"
    missing = [name for name in ("qemu-system-x86_64", "cpio") if shutil.which(name) is None]
    return f"needs {', '.join(missing)}" if missing else None


def run_tests(folder: Path, *tests: str) -> str:
    """Boot, run these tests (arguments of pytest), and end: the report as JUnit has it.

    ``folder`` keeps what the machine says on its console.
    """
    extra = folder / "extra"
    _checkout(extra / CHECKOUT)
    for name in ("pytest", "pluggy", "iniconfig", "packaging"):
        _package(name, extra / "root/packages")
    wheel = build_wheel(folder)
    shutil.copy(wheel, extra / "root")
    _units(extra / "etc/systemd/system", wheel.name, shlex.join(tests))
    image = folder / "image"
    with image.open("wb") as file:
        _archive(TREE, file.fileno(), _UNUSED)
        _archive(KERNEL / "modules", file.fileno())
        _archive(extra, file.fileno())
    console, report = folder / "console", folder / "report.xml"
    try:
        subprocess.run(
            [
                *("qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max"),
                *("-smp", str(min(4, os.cpu_count() or 1)), "-m", "3G"),
                *("-nodefaults", "-no-reboot", "-display", "none"),
                *("-kernel", str(KERNEL / "vmlinuz"), "-initrd", str(image)),
                *("-append", "console=ttyS0 rdinit=/lib/systemd/systemd panic=-1 mitigations=off"),
                *("-serial", f"file:{console}", "-serial", f"file:{report}"),
            ],
            check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pass
    finally:
        image.unlink()
    told = report.read_text() if report.exists() else ""
    if "</testsuites>" not in told:
        raise AssertionError(f"the machine gave no report: {console.read_text(errors='replace')[-3000:]}")
    return told


def _checkout(place: Path) -> None:
    for part in _PARTS:
        source, target = ROOT / part, place / part
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _package(name: str, place: Path) -> None:
    """Lend it a package of pure Python that is installed here."""
    for file in distribution(name).files or ():
        if file.suffix == ".py" or file.parts[0].endswith(".dist-info"):
            target = place / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)


def _units(place: Path, wheel: str, tests: str) -> None:
    wants = place / "multi-user.target.wants"
    wants.mkdir(parents=True)
    unit = _UNIT.format(checkout=CHECKOUT, slowness=SLOWNESS, prefix=PREFIX, wheel=wheel, tests=tests)
    (place / "tests.service").write_text(unit)
    (wants / "tests.service").symlink_to("../tests.service")
    # Nobody logs in, and without udev the terminal would be waited for.
    for getty in ("serial-getty@ttyS0.service", "console-getty.service"):
        (place / getty).symlink_to("/dev/null")


def _archive(directory: Path, output: int, leave_out: tuple[str, ...] = ()) -> None:
    """Write a directory as a part of an initial file system: they may follow one another."""
    pruned = [word for path in leave_out for word in ("-path", path, "-prune", "-o")]
    with subprocess.Popen(
        ["find", ".", "-xdev", *pruned, "-print0"], cwd=directory, stdout=subprocess.PIPE
    ) as found:
        subprocess.run(
            ["cpio", "--quiet", "--null", "--create", "--format=newc", "--owner=+0:+0"],
            cwd=directory, stdin=found.stdout, stdout=output, check=True,
        )  # fmt: skip
