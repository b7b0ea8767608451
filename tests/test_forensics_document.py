"""What docs/forensics.md says is so: its commands run, and print what it shows."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs/forensics.md").read_text()
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) for line in block.splitlines()
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What of a clone the commands use, with the program on the path."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "pcaps").symlink_to(ROOT / "pcaps")
    program = folder / "bin" / "replay-monitor"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m monitor "$@"\n')
    program.chmod(0o755)
    return folder


def run(command: str, clone: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{clone / 'bin'}:{os.environ['PATH']}"}
    environment.pop("COLUMNS", None)
    return subprocess.run(command, shell=True, cwd=clone, env=environment, capture_output=True, text=True)


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 7


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs(command: str, clone: Path) -> None:
    if command.startswith("tshark") and shutil.which("tshark") is None:
        pytest.skip("needs tshark")
    done = run(command, clone)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    for page in re.findall(r"--report (\S+)", command):
        assert (clone / page).read_text().startswith("<!DOCTYPE html>")


def test_the_first_prints_what_is_shown(clone: Path) -> None:
    shown = re.findall(r"```text\n(.*?)```", DOCUMENT, re.DOTALL)[0]
    done = run(COMMANDS[0], clone)
    assert done.returncode == 1
    printed = done.stdout.rpartition("\n\n")[0]
    assert [line.rstrip() for line in printed.splitlines()] == shown.splitlines()


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", DOCUMENT)
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
