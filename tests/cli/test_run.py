"""The daemon's start, as far as it goes without a queue."""

import argparse
import datetime
import os
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import Mock

import pytest

from monitor import rehearsal
from monitor.__main__ import main
from monitor.assembly import YEAR
from monitor.capture.packet import QueueError
from monitor.cli import run
from monitor.keys.directory import Directory
from monitor.keys.ring import load as load_keys
from monitor.store.memory import MemoryStore
from monitor.wire.frame import NANOSECONDS

KEYS = Path(__file__).parents[2] / "pcaps" / "keys"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that works, all of it in one folder."""
    path = tmp_path / "monitor.toml"
    path.write_text(
        f'[store]\nurl = "memory:"\n[secret]\nfile = "{tmp_path}/secret"\n[metrics]\nlisten = "off"\n'
        f'[control]\nsocket = "off"\n[events]\nfile = "{tmp_path}/events.jsonl"\n'
    )
    return path


@pytest.fixture(autouse=True)
def _no_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, **options: object) -> None:
        raise QueueError(f"queue {number} is taken by another process")

    monkeypatch.setattr(rehearsal, "Queue", refuse)


def test_a_queue_that_cannot_be_had_is_one_line_and_status_2(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--config", str(config), "--queue", "4"]) == 2
    assert capsys.readouterr().err == "replay-monitor: queue 4 is taken by another process\n"


def test_its_own_directory_is_made_and_no_other(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    config.write_text(config.read_text().replace(f"{tmp_path}/secret", f"{state}/secret"))
    assert main(["run", "--config", str(config)]) == 2
    assert "make its directory" in capsys.readouterr().err
    monkeypatch.setattr(run, "STATE", state)
    assert main(["run", "--config", str(config)]) == 2
    assert "is taken by another process" in capsys.readouterr().err
    assert state.stat().st_mode & 0o777 == 0o700


def test_all_that_is_wrong_with_a_configuration_is_told(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("[queue]\nlength = 0\n[keys]\nworkers = 0\n")
    assert main(["run", "--config", str(config)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("memory:", "sqlite:////nowhere/at/all.db", "/nowhere/at/all.db"),
        ("events.jsonl", "none/events.jsonl", "mend [events] file"),
        ("/secret", "/none/secret", "none/secret"),
    ],
)
def test_what_cannot_be_opened_is_told_in_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    config.write_text(config.read_text().replace(old, new))
    assert main(["run", "--config", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("replay-monitor: ")
    assert said in line


@pytest.mark.parametrize("damage", ["overwritten", "cut", "emptied", "another"])
def test_a_damaged_store_is_refused_and_never_begun_anew(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    store = tmp_path / "associations.db"
    config.write_text(config.read_text().replace("memory:", f"sqlite://{store}"))
    assert main(["run", "--config", str(config)]) == 2
    assert "queue 0" in capsys.readouterr().err
    octets = bytearray(store.read_bytes())
    match damage:
        case "overwritten":
            octets[4096:] = b"\xa5" * (len(octets) - 4096)
        case "cut":
            del octets[4096:]
        case "emptied":
            octets.clear()
        case _:
            octets = bytearray(b"a text that somebody put here by mistake\n" * 300)
    store.write_bytes(octets)
    assert main(["run", "--config", str(config)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"replay-monitor: {store}: is ")
    assert ("restore a copy" in line) or ("name another file" in line)
    assert store.read_bytes() == octets


def test_keys_that_are_not_there_are_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", str(config), "--keys", "/nowhere/at/all"]) == 2
    assert "/nowhere/at/all" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["-1", "65536", "x", ""])
def test_a_queue_number_must_be_one(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", f"--queue={number}"])
    assert ended.value.code == 2
    assert "is no queue number" in capsys.readouterr().err


def test_a_recording_is_for_its_owner_only(config: Path, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        main(["run", "--config", str(config), "--record", str(tmp_path / "seen.pcap")])
        with ExitStack() as stack:
            assert run._recorder(tmp_path / "seen.pcap", stack) is not None
    finally:
        os.umask(old)
    assert (tmp_path / "seen.pcap").stat().st_mode & 0o777 == 0o600


def test_the_log_does_not_tell_a_stores_password(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(config.read_text().replace("memory:", "redis://me:sesame@192.0.2.9/1"))
    monkeypatch.setattr(run, "open_store", lambda url, **options: MemoryStore())
    monkeypatch.setattr(run, "_queues", lambda *options: [])
    monkeypatch.setattr(run, "Service", Mock())
    monkeypatch.setattr("signal.signal", Mock())
    assert main(["run", "--config", str(config)]) == 0
    said = capsys.readouterr().err
    assert "associations in redis://192.0.2.9/1," in said
    assert "sesame" not in said


def test_associations_outlast_the_newest_certificate_of_a_held_key() -> None:
    directory = load_keys(KEYS).directory
    end = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC).timestamp()
    eve = round(end - 3600) * NANOSECONDS
    assert run._until_expiry(directory, eve - YEAR) == YEAR + 3600 * NANOSECONDS
    assert run._until_expiry(directory, eve) == YEAR, "a key outlives its certificate"
    assert run._until_expiry(directory, eve + YEAR) == YEAR, "none is valid any more"
    assert run._until_expiry(Directory(), eve) == YEAR
    assert run._until_expiry(directory, 0) == run.LONGEST_RETENTION


def test_the_help_tells_of_the_rules_and_the_signals() -> None:
    parser = argparse.ArgumentParser()
    run.arguments(parser)
    text = parser.format_help()
    assert "rules apply" in text
    assert "SIGHUP" in text
