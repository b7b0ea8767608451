"""The captures in ``pcaps/``: what ``simulate`` writes, and ruled on as their README tells."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.simulate import captures, keyring
from monitor.simulate.stage import Setting

PCAPS = Path(__file__).parents[2] / "pcaps"


def test_they_are_made_again_byte_for_byte(tmp_path: Path) -> None:
    assert main(["simulate", "--pcaps", str(tmp_path), "--keys", str(PCAPS / "keys")]) == 0
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {path.name: path.read_bytes() for path in PCAPS.iterdir() if path.is_file()}
    assert made.keys() == kept.keys()
    for name, octets in kept.items():
        assert made[name] == octets, name


def test_they_are_small() -> None:
    assert sum(path.stat().st_size for path in PCAPS.rglob("*") if path.is_file()) < 1_000_000


def test_replay_says_what_their_scenarios_expect(capsys: pytest.CaptureFixture[str]) -> None:
    expected, first = [], 0
    for _, scenarios in captures.collection(Setting(keyring.load(PCAPS / "keys"))):
        for scenario in scenarios:
            expected += [(first + one.frame, str(one.verdict), str(one.reason)) for one in scenario.expected]
            first += len(scenario.frames)
    files = [str(PCAPS / capture.file) for capture in captures.COLLECTION]
    keys = ["--keys", str(PCAPS / "keys"), "--trust", str(PCAPS / "keys" / "ca.pem")]
    assert main(["replay", "--json", "--config", str(PCAPS / "proxy.toml"), *keys, *files]) == 1
    *records, summary = map(json.loads, capsys.readouterr().out.splitlines())
    rulings = [record for record in records if record["type"] == "ruling"]
    assert [(one["frame"], one["verdict"], one["reason"]) for one in rulings] == expected
    assert summary["frames"] == first
    raised = {record["exception"] for record in records if record["type"] == "exception"}
    assert raised == {"undecryptable"}


def test_the_daemon_imports_nothing_of_this() -> None:
    script = (
        "import sys, monitor.cli.run, monitor.cli.replay;"
        "print([name for name in sys.modules if name.startswith(('scapy', 'monitor.simulate'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PCAPS.parent
    )
    assert done.stdout.strip() == "[]"
