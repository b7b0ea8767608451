"""Standard output that is full, closed, or of no more interest to who reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.__main__ import main

CAPTURE = str(Path(__file__).parents[2] / "pcaps" / "4-replay-attack.pcap")
COMMAND = (sys.executable, "-m", "monitor")


@pytest.mark.parametrize(
    "arguments", [("replay", "--json", CAPTURE), ("replay", CAPTURE), ("completion", "bash")]
)
def test_a_full_disk_is_told_in_one_line(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run((*COMMAND, *arguments), stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "replay-monitor: standard output: No space left on device\n"


@pytest.mark.parametrize(("path", "status"), [(CAPTURE, 1), ("/dev/null", 2)])
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_leaves_the_exit_status(closed: str, path: str, status: int) -> None:
    command = ("sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, "replay", "--json", path)
    assert subprocess.run(command, capture_output=True).returncode == status


def test_nobody_reads_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        done = subprocess.run(
            (*COMMAND, "replay", "--json", CAPTURE), stdout=pipe, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_what_standard_output_cannot_spell_is_written_out(encoding: str) -> None:
    done = subprocess.run(
        (*COMMAND, "check-config", b"nowhere/\xc3\xa9\xff.toml"),
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": encoding},
    )
    letter = "é" if encoding.startswith("utf-8") else r"\xe9"
    said = f"nowhere/{letter}\\udcff.toml: cannot be read: No such file or directory\n"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (2, said, b"")


def test_an_interrupt_while_a_command_is_loaded_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("importlib.import_module", interrupted)
    assert main(["replay", CAPTURE]) == 130
