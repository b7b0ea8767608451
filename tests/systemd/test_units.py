"""The units in systemd's own eyes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"
MOST_EXPOSURE = 1.5

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze (package systemd)"),
]


def analyze(*arguments: str) -> str:
    """Standard output and error of systemd-analyze, which must succeed."""
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units with a command that is there: verify looks for it."""
    for unit in UNITS.glob("*.service"):
        text = unit.read_text().replace("/usr/bin/replay-monitor", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def test_verify_finds_nothing(installed: Path) -> None:
    units = sorted(map(str, installed.glob("*.service")))
    assert len(units) == 3
    assert analyze("verify", "--man=no", *units) == ""


def test_the_daemon_is_little_exposed() -> None:
    told = analyze("security", "--offline=true", "--no-pager", str(UNITS / "replay-monitor.service"))
    level = re.search(r"Overall exposure level for replay-monitor.service: ([0-9.]+)", told)
    assert level, told
    assert float(level[1]) <= MOST_EXPOSURE


def test_the_daemon_has_one_capability_and_is_not_root() -> None:
    settings = dict(
        line.split("=", 1)
        for line in (UNITS / "replay-monitor.service").read_text().splitlines()
        if "=" in line and not line.startswith("#")
    )
    assert settings["AmbientCapabilities"] == settings["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    assert settings["User"] == "replay-monitor"
    assert settings["NoNewPrivileges"] == "yes"


def test_the_unit_for_each_queue_differs_in_names_only() -> None:
    one, each = ((UNITS / f"replay-monitor{at}.service").read_text().splitlines() for at in ("", "@"))
    differing = [
        line.replace("queue-%i.toml --queue %i", "replay-monitor.toml")
        .replace("queue-%i.toml", "replay-monitor.toml")
        .replace("/%i", "")
        .replace(", queue %i", "")
        for line in each[each.index("[Unit]") :]
    ]
    assert differing == one


def test_systemd_makes_the_user() -> None:
    if not shutil.which("systemd-sysusers"):
        pytest.skip("needs systemd-sysusers (package systemd)")
    file = UNITS / "replay-monitor.sysusers"
    done = subprocess.run(["systemd-sysusers", "--dry-run", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"Creating user 'replay-monitor'|Would create user replay-monitor", done.stderr + done.stdout
    )
