"""``replay``: what it prints, the report that it writes, and how it fails."""

import argparse
import base64
import json
import os
import random
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from frames import invite, sdp, udp
from pages import PCAPS, Reader, capture

from monitor.__main__ import main
from monitor.cli import replay
from monitor.media import examination, keychain
from monitor.media.keychain import Keychain

KEYS = ("--keys", str(PCAPS / "keys"), "--trust", str(PCAPS / "keys" / "ca.pem"))
ATTACK = str(PCAPS / "4-replay-attack.pcap")
MEDIA = str(PCAPS / "9-media.pcap")
KEY = base64.b64encode(random.Random(1).randbytes(30)).decode()


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def replayed(path: Path) -> str:
    """A capture with a call and its recording, sent by somebody else."""
    message = invite(sdp(KEY))
    return capture(path, udp("192.0.2.5", "192.0.2.1", message), udp("192.0.2.66", "192.0.2.1", message))


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *KEYS, MEDIA]) == 1
    out = capsys.readouterr().out
    rulings, media, summary = out.split("\n\n")
    assert rulings.splitlines()[0].split() == ["frame", "time", "source", "message", "ruling", "SPI"]
    assert len(rulings.splitlines()) == 9
    assert [line.split()[:2] for line in media.splitlines()[1:]] == [
        ["100", "packets-replayed"],
        ["100", "keystream-reused"],
        ["100", "keystream-reused"],
    ]
    assert summary.startswith("830 frames, 22 SIP messages, 8 judged: 4 accepted, 4 denied, 0 exceptions")


def test_rows_stay_one_line_on_a_narrow_screen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["replay", *KEYS, ATTACK]) == 1
    table = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert len(table) == 8
    assert all(len(line) <= 90 for line in table)


def test_json_and_report_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["replay", "--json", *KEYS, MEDIA]) == 1
    alone = capsys.readouterr().out
    assert main(["replay", "--json", "--report", str(page), *KEYS, MEDIA]) == 1
    captured = capsys.readouterr()
    assert captured.out == alone
    assert _trouble(captured.err) == []
    assert page.read_text().startswith("<!DOCTYPE html>\n<html lang=")


def _trouble(errors: str) -> list[str]:
    """What is said on standard error, but for the modes of the test keys in a fresh clone."""
    return [line for line in errors.splitlines() if not line.endswith("chmod 600 it")]


def test_a_report_takes_the_place_of_a_report(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    clean = str(PCAPS / "1-calls.pcap")
    assert main(["replay", "--report", str(page), ATTACK]) == 1
    assert main(["replay", "--report", str(page), clean]) == 0
    assert "Nothing was denied" in page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    assert stat.S_IMODE(page.stat().st_mode) == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ("missing/report.html", "No such file or directory"),
        (".", "not a file"),
        ("notes.txt", "there is another file, which is no report"),
        ("calls.pcap", "it is one of the captures"),
    ],
)
def test_where_no_report_can_be_written(
    there: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    calls = tmp_path / "calls.pcap"
    calls.write_bytes((PCAPS / "1-calls.pcap").read_bytes())
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["replay", "--report", str(tmp_path / there), str(calls)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert said in line
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failed_run_leaves_the_old_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "report.html"
    assert main(["replay", "--report", str(page), ATTACK]) == 1
    before = page.read_bytes()
    broken = tmp_path / "broken.pcap"
    broken.write_bytes(b"no capture at all, but long enough to be one")
    assert main(["replay", "--report", str(page), ATTACK, str(broken)]) == 2
    assert "not a capture" in capsys.readouterr().err
    assert page.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "broken.pcap"}


def test_standard_input_is_read_once(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    command = [sys.executable, "-m", "monitor", "replay", "--json", "--report", str(page), *KEYS, "-"]
    with Path(MEDIA).open("rb") as file:
        done = subprocess.run(command, stdin=file, capture_output=True, text=True, cwd=PCAPS.parent)
    assert done.returncode == 1
    assert _trouble(done.stderr) == [
        "replay-monitor: standard input cannot be read twice, so the media in it was not looked at"
    ]
    assert '"media"' not in done.stdout
    told = page.read_text()
    assert "standard input cannot be read twice" in told
    digest = subprocess.run(["sha256sum", MEDIA], capture_output=True, text=True, check=True).stdout[:64]
    assert digest in told


def test_no_output_has_a_key_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[bytes] = set()

    class Watched(Keychain):
        def master_key(self, octets: bytes) -> bytes:
            seen.add(octets)
            return super().master_key(octets)

    monkeypatch.setattr(replay, "Keychain", Watched)
    unended = invite(b"").rstrip(b"\r\n") + b"\r\n" + sdp(KEY)
    odd = invite(sdp(KEY), call="odd", headers=f"Subject: a=crypto:1 X inline:{KEY}\r\n", branch="z9hG4bK2")
    folded = invite(sdp(KEY), call="folded", headers=f"Subject: a=crypto:1 X inline:\r\n {KEY}\r\n")
    made = capture(
        tmp_path / "odd.pcap",
        *(udp("192.0.2.5", "192.0.2.1", message) for message in (invite(sdp(KEY)), unended, odd, folded)),
    )
    page = tmp_path / "report.html"
    files = [str(path) for path in sorted(PCAPS.glob("*.pcap*"))]
    told = ""
    for options in ((), ("--json",)):
        assert main(["replay", *options, "--report", str(page), *KEYS, *files, made]) == 1
        captured = capsys.readouterr()
        told += captured.out + captured.err + page.read_text()
    assert len(seen) > 50
    assert base64.b64decode(KEY) in seen
    for key in seen:
        text = base64.b64encode(key).decode()
        assert text[:16] not in told
        assert text[8:24] not in told
        assert key.hex()[:16] not in told


def test_how_the_run_was_made_is_told(tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(f'[keys]\ndirectory = "{PCAPS / "keys"}"\ntrust = "{PCAPS / "keys" / "ca.pem"}"\n')
    page = tmp_path / "report.html"
    assert main(["replay", "--config", str(config), "--report", str(page), ATTACK]) == 1
    told = Reader(page.read_text()).text
    assert f"policy {config} private keys 4, from {config} trusted certificates {PCAPS}/keys/ca.pem" in told
    options = argparse.Namespace(store="redis://user:secret@192.0.2.9:6379/0", config=None, keys=None)
    assert ("associations", "redis://192.0.2.9:6379/0") in replay._settings(options, 0, None)


def test_reports_of_one_capture_differ_in_nothing_but_when_they_were_made(tmp_path: Path) -> None:
    pages = [tmp_path / f"{number}.html" for number in range(2)]
    for page in pages:
        assert main(["replay", "--report", str(page), *KEYS, MEDIA]) == 1
    one, other = (page.read_text().partition("<footer>")[0] for page in pages)
    assert one == other


def test_captures_are_told_by_their_hashes(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    files = [ATTACK, str(PCAPS / "8-ipv6.pcapng"), replayed(tmp_path / "own.pcap")]
    assert main(["replay", "--report", str(page), *files]) == 1
    told = page.read_text()
    digests = subprocess.run(["sha256sum", *files], capture_output=True, text=True, check=True).stdout
    for line in digests.splitlines():
        assert line[:64] in told
    for fact in ("1 to 49", "50 to 63", "64 to 65", "Ethernet", "Linux cooked", "raw IP", "pcapng"):
        assert fact in told


def _lines(out: str) -> Sequence[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


def test_an_original_that_this_run_did_not_see(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a store that lasts, what is repeated may have come in another run."""
    store = f"sqlite://{tmp_path / 'associations.db'}"
    message = invite(sdp(KEY))
    first = capture(tmp_path / "first.pcap", udp("192.0.2.5", "192.0.2.1", message))
    second = capture(tmp_path / "second.pcap", udp("192.0.2.66", "192.0.2.1", message))
    page = tmp_path / "report.html"
    assert main(["replay", "--store", store, first]) == 0
    capsys.readouterr()
    assert main(["replay", "--json", "--store", store, "--report", str(page), second]) == 1
    assert _lines(capsys.readouterr().out)[0]["reason"] == "source-changed"
    assert "192.0.2.66 sent key material that was known before this run" in page.read_text()


def test_media_that_was_not_looked_at_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keychain, "MAX_KEYS", 1)
    monkeypatch.setattr(examination, "MAX_SOURCES", 1)
    main(["replay", *KEYS, "--json", MEDIA])
    told = capsys.readouterr().err.splitlines()
    assert "replay-monitor: the media under 4 master keys or more was not looked for" in told[0]
    assert "media packets passed over: there may be more than is told" in told[1]
