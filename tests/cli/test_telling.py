"""What people see of a run over captures, whatever the width of their terminal."""

import re
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.cli.telling import Tabular

PCAPS = Path(__file__).parents[2] / "pcaps"


def told(
    capture: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    main(["replay", "--keys", str(PCAPS / "keys"), str(PCAPS / capture)])
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("columns", [80, 100, 120, 160])
@pytest.mark.parametrize("capture", ["4-replay-attack.pcap", "8-ipv6.pcapng", "9-media.pcap"])
def test_nothing_that_names_a_ruling_is_cut(
    capture: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(capture, columns, monkeypatch, capsys)
    assert max(map(len, lines)) <= columns
    rows = [line for line in lines if re.match(r" *\d+  \d", line)]
    assert len(rows) >= 6
    for row in rows:
        assert re.search(r"  (accept|deny) [a-z-]+( \([a-z-]+\))? +[0-9a-f]{8}( |$)", row), row
        assert re.match(r" *\d+  (\d{10}\.\d{6}|\d\d:\d\d:\d\d\.\d{3})  [0-9a-f.:]+  ", row), row


def test_further_fingerprints_are_counted_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any("35e44917 +1" in line for line in told("4-replay-attack.pcap", 80, monkeypatch, capsys))
    wide = told("4-replay-attack.pcap", 120, monkeypatch, capsys)
    assert any("35e44917 bf972275" in line for line in wide)


def test_streams_stand_below_one_another_where_there_is_no_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told("9-media.pcap", 80, monkeypatch, capsys)
    at = lines.index("keystream-reused (12 alike), 100 packets, SPI 32250c80, SSRC ebe0dea3")
    assert lines[at + 2] == "  again 192.0.2.1 → 192.0.2.2, frames 218–416"


def test_what_is_left_out_is_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Tabular, "MOST", 2)
    lines = told("9-media.pcap", 120, monkeypatch, capsys)
    assert "… and 3 more, none of them denied; --json tells all" in lines
    assert "… and 1 more pairs of streams; --json tells all" in lines
    assert sum("  deny " in line for line in lines) == 4
