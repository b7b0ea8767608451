"""Shells complete commands, options, names and files; only who asks for that pays for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.cli.completion import SHELLS, script

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p replay-monitor | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script for bash, beside two files."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "capture.pcap").touch()
    (folder / "keys").mkdir()
    (folder / "script").write_text(script("bash"))
    return folder / "script"


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("re", {"replay"}),
        ("rep", {"replay"}),
        ("ass", {"associations"}),
        ("rules ap", {"apply"}),
        ("rules --ho", {"--hook"}),
        ("rules --family ", {"4", "6", "both"}),
        ("associations f", {"forget"}),
        ("associations list --ti", {"--tier"}),
        ("replay capt", {"capture.pcap"}),
        ("replay --keys k", {"keys"}),
        ("run --config capt", {"capture.pcap"}),
        ("simulate replay-att", {"replay-attack"}),
        ("completion ", set(SHELLS)),
    ],
)
def test_bash_completes(line: str, offered: set[str], bash: Path) -> None:
    done = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE, "bash", bash, "replay-monitor", *line.split(" ")],
        cwd=bash.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_command_prints_what_the_shell_takes(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "check-config" in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=text, text=True, check=True)


def test_other_commands_do_not_load_it() -> None:
    code = (
        "import sys; from monitor.__main__ import parser; parser(('run', 'replay', 'status', 'install'));"
        "print(*{'shtab', 'scapy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
