"""The databases of ``docs/databases.md``: owner and mode of each that the daemon makes, at any umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.config.secret import secret_check, site_secret
from monitor.control.access import Access
from monitor.control.server import ControlServer
from monitor.observe.events import EventFile
from monitor.observe.evidence import EvidenceLog, signing_key
from monitor.store.location import open_store

DOCUMENT = Path(__file__).parents[1] / "docs" / "databases.md"


@pytest.fixture(autouse=True)
def lax() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    """By name, of what there is in a directory; all must be of who made it."""
    found = {path.name: path.lstat() for path in folder.iterdir()}
    assert {status.st_uid for status in found.values()} == {os.geteuid()}
    return {name: stat.S_IMODE(status.st_mode) for name, status in found.items()}


def test_the_site_secret_and_the_evidence_key(tmp_path: Path) -> None:
    site_secret(tmp_path / "secret")
    signing_key(tmp_path / "evidence.key")
    assert modes(tmp_path) == {"secret": 0o600, "evidence.key": 0o600}


def test_associations(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/associations.db", secret_check=secret_check(b"x" * 32))
    assert set(modes(tmp_path).values()) == {0o600}
    store.close()


def test_events(tmp_path: Path) -> None:
    EventFile(str(tmp_path / "events.jsonl")).close()
    assert modes(tmp_path) == {"events.jsonl": 0o640}


def test_evidence(tmp_path: Path) -> None:
    key = signing_key(tmp_path / "evidence.key")
    EvidenceLog(tmp_path / "evidence", key, limit=1 << 20).close()
    assert modes(tmp_path)["evidence"] == 0o700


def test_the_control_socket_lets_everybody_connect_and_is_the_only_way_in(tmp_path: Path) -> None:
    """Who may ask is told by the kernel, not by the socket's mode."""
    server = ControlServer(tmp_path / "run" / "control", Access.to(), {})
    try:
        assert modes(tmp_path / "run") == {"control": 0o666}
        assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755
    finally:
        server.close()


def test_the_document_tells_of_each() -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| **")]
    told = {row.split("**")[1]: row for row in rows}
    for name, place, mode in (
        ("Site secret", "/var/lib/replay-monitor/secret", "0600"),
        ("Evidence key", "/var/lib/replay-monitor/evidence.key", "0600"),
        ("Associations", "/var/lib/replay-monitor/associations.db", "0600"),
        ("Alerts", "[events] file", "0640"),
        ("Evidence", "[evidence] directory", "0700"),
        ("Control socket", "/run/replay-monitor/control", "0666"),
    ):
        assert place in told[name]
        assert mode in told[name]
