"""docs/walkthrough.md: its commands run in its order, in a clean copy, and print what it shows.

The whole needs root. It has a network, a file system above this one and processes of its own, which end with
it; what would ask the network (apt-get, pip) or systemd is stood in for.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from namespaces import unavailable

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "walkthrough.md").read_text()
FIRST_WITH_ROOT = "## 4."
NEEDED = ("monitor", "pcaps", "scripts", "rules", "systemd", "docs", "Makefile", "pyproject.toml", "setup.py")
MARK = "@@ block"
APART = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", "--net", "--mount"]
OWN_FILES = """
ip link set lo up
mount -t tmpfs own "$1"
mount -t tmpfs own /run
for each in etc opt usr/local var/lib var/log; do
    mkdir -p "$1/upper/$each" "$1/scratch/$each"
    mount -t overlay own -o "lowerdir=/$each,upperdir=$1/upper/$each,workdir=$1/scratch/$each" "/$each"
done
"""


def blocks(text: str) -> list[tuple[str, str]]:
    """Each block of commands, with what is shown of its output."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    shown = [*found[1:], ("", "")]
    return [
        (commands, output if kind == "text" else "")
        for (language, commands), (kind, output) in zip(found, shown, strict=True)
        if language == "sh"
    ]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What a clone has after 'make setup', which then has nothing left to do."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in (*NEEDED, "MANIFEST.in", "README.md", "LICENSE"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    venv.create(folder / ".venv", symlinks=True)
    program = folder / ".venv/bin/replay-monitor"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH="{folder}:$PYTHONPATH" exec "{sys.executable}" -m monitor "$@"\n'
    )
    program.chmod(0o755)
    (folder / ".venv/installed").touch()
    for key in folder.glob("pcaps/keys/*.pem"):
        key.chmod(0o644)  # as git leaves them
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Where pip finds all there already, and what is not to be done here is not done."""
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir()
    for name, text in {"sudo": 'exec "$@"', "apt-get": "exit 0", "systemctl": "exit 0"}.items():
        (stand_ins / name).write_text(f"#!/bin/sh\n{text}\n")
        (stand_ins / name).chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if name not in ("COLUMNS", "PYTHONPATH")},
        "PATH": f"{stand_ins}:{Path(sys.executable).parent}:/usr/local/bin:{os.environ['PATH']}",
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: no isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def walk(found: list[tuple[str, str]], clone: Path, *prefix: str, before: str = "") -> None:
    """Run blocks, one after the other in one shell, and see that each prints what is shown of it."""
    script = clone.parent / "script"
    own = clone.parent / "own"
    own.mkdir()
    commands = (f"echo '{MARK}'\n{commands}" for commands, _ in found)
    script.write_text("\n".join(["set -e", before, f"cd '{clone}'", *commands]))
    done = subprocess.run(
        [*prefix, "bash", str(script), str(own)],
        env=environment(clone.parent),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "chmod" not in done.stdout, done.stdout
    printed = done.stdout.split(MARK)[1:]
    for (_, shown), output in zip(found, printed, strict=True):
        for line in shown.splitlines():
            pattern = re.escape(" ".join(line.split())).replace("…", ".+")
            assert any(re.search(pattern, " ".join(each.split())) for each in output.splitlines()), (
                line,
                output,
            )


def test_there_is_something_to_walk_through() -> None:
    assert len(blocks(TEXT)) >= 10
    assert sum(bool(shown) for _, shown in blocks(TEXT)) >= 7


@pytest.mark.skipif(unavailable() is None, reason="the whole is run")
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_what_needs_no_root(clone: Path) -> None:
    text = TEXT.partition(FIRST_WITH_ROOT)[0]
    assert "sudo" not in "".join(commands for commands, _ in blocks(text))
    walk(blocks(text), clone)
    assert (clone / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.live
@pytest.mark.skipif(unavailable() is not None, reason=f"live tests: {unavailable()}")
@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs prometheus")
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_whole(clone: Path) -> None:
    walk(blocks(TEXT), clone, *APART, before=OWN_FILES)
