"""Events for machines and for people."""

import errno
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from monitor.antireplay.ruling import Reason
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe import events
from monitor.observe.events import BACKLOG, LINES_PER_SECOND, EventFile, Teller
from monitor.record import ExceptionRecord, Record, RulingRecord
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

FLOW = Flow(bytes((192, 0, 2, 1)), 5060, bytes((192, 0, 2, 2)), 5060, "udp")


def ruling(reason: Reason, *alerts: str, call_id: str = "call") -> RulingRecord:
    return RulingRecord(
        7, 1_700_000_000_250_000_000, FLOW, FLOW.source, "INVITE sip:a SIP/2.0", "INVITE", None, call_id, 1,
        reason.verdict, reason, "smime-sdes", "default", ("3f9a1c2e",), ("master-key",), alerts,
    )  # fmt: skip


def exception(outcome: Outcome, detail: str = "no CSeq") -> ExceptionRecord:
    return ExceptionRecord(8, 1000, FLOW, FLOW.source, ExceptionName.MALFORMED, outcome, detail)


def test_events_are_the_documents_of_the_records_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    records: list[Record] = [ruling(Reason.KEY_REUSED), exception(Outcome.ALERT)]
    file = EventFile(str(path))
    file.write(records[:1])
    file.write(records[1:])
    file.close()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        record.document() for record in records
    ]
    assert path.stat().st_mode & 0o777 & ~0o640 == 0


def test_what_a_killed_daemon_left_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for _ in range(2):
        file = EventFile(str(path))
        file.write([exception(Outcome.ALERT)])
        file.close()
        with path.open("ab") as torn:
            torn.write(b'{"type": "rul')
    assert [line[-1:] for line in path.read_text().splitlines()] == ["}", "l", "}", "l"]


def test_octets_that_are_no_text_still_give_json(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(str(path))
    file.write([ruling(Reason.FIRST_USE, call_id="\udcff\n\x00é")])
    file.close()
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["call_id"] == "\udcff\n\x00é"


def test_after_a_rotation_events_go_to_the_fresh_file(tmp_path: Path) -> None:
    path, rotated = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    file = EventFile(str(path))
    file.write([exception(Outcome.ALERT)])
    path.rename(rotated)
    file.write([exception(Outcome.ALERT)])
    file.reopen()
    file.write([exception(Outcome.ALERT)])
    file.close()
    assert rotated.read_text().count("\n") == 2
    assert path.read_text().count("\n") == 1


def test_where_no_fresh_file_can_be_had_the_old_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    file = EventFile(str(folder / "events.jsonl"))
    folder.rename(tmp_path / "gone")
    file.reopen()
    file.write([exception(Outcome.ALERT)])
    file.close()
    assert (tmp_path / "gone" / "events.jsonl").read_text().count("\n") == 1
    assert "old file" in caplog.text


def test_what_cannot_be_written_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    file = EventFile("/dev/full")
    file.write([exception(Outcome.ALERT)] * 3)
    file.write([exception(Outcome.ALERT)])
    assert file.lost == 4
    assert len(caplog.records) == 1


def test_what_a_write_leaves_over_goes_with_the_next(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(str(path))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, octets: write(descriptor, octets[:40]))
        file.write([exception(Outcome.ALERT, "before")])
    file.write()
    file.write([exception(Outcome.ALERT, "afterwards")])
    file.close()
    assert file.lost == 0
    details = [json.loads(line)["detail"] for line in path.read_text().splitlines()]
    assert details == ["before", "afterwards"]


def test_an_event_cut_short_is_counted_and_spoils_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(str(path))
    write = os.write

    def fail(descriptor: int, octets: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, octets: write(descriptor, octets[:40]))
        file.write([exception(Outcome.ALERT)])
        patch.setattr(os, "write", fail)
        file.write([exception(Outcome.ALERT)])
    file.write([exception(Outcome.ALERT, "afterwards")])
    file.close()
    assert file.lost == 2
    assert json.loads(path.read_text().splitlines()[1])["detail"] == "afterwards"


@contextmanager
def output() -> Iterator[int]:
    """The other end of a pipe that is standard output."""
    receiver, sender = os.pipe()
    os.set_blocking(receiver, False)
    with os.fdopen(sender, "w") as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        yield receiver
    os.close(receiver)


def read(receiver: int) -> bytes:
    """All that is in a pipe."""
    octets = b""
    with suppress(BlockingIOError):
        while part := os.read(receiver, 1 << 20):
            octets += part
    return octets


def test_a_reader_who_comes_late_gets_every_event() -> None:
    wanted = BACKLOG // 2 // 200
    octets = b""
    with output() as receiver:
        file = EventFile("-")
        for number in range(wanted):
            file.write([exception(Outcome.ALERT, str(number))])
        while part := read(receiver):
            octets += part
            file.write()
    details = [json.loads(line)["detail"] for line in octets.splitlines()]
    assert details == list(map(str, range(wanted)))
    assert file.lost == 0


def test_a_reader_who_never_comes_costs_events_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "CLOSING", 0)
    with output() as receiver:
        file = EventFile("-")
        for number in range(200):
            file.write([exception(Outcome.ALERT, f"{number} " + "x" * 20_000)])
        assert file.lost > 0
        file.close()
        assert file.lost == 200 - read(receiver).count(b"\n")


def test_standard_output_can_take_the_events(capfd: pytest.CaptureFixture[str]) -> None:
    file = EventFile("-")
    file.write([exception(Outcome.ALERT)])
    file.reopen()
    file.close()
    assert json.loads(capfd.readouterr().out)["exception"] == "malformed"


@pytest.mark.parametrize(
    ("record", "level", "text"),
    [
        (
            ruling(Reason.KEY_REUSED),
            logging.WARNING,
            "denied INVITE sip:a SIP/2.0 from 192.0.2.1: key-reused",
        ),
        (ruling(Reason.MOVED, "moved"), logging.INFO, "alerts moved"),
        (exception(Outcome.DENY), logging.WARNING, "denied packet from 192.0.2.1: malformed (no CSeq)"),
        (exception(Outcome.ALERT), logging.INFO, "accepted packet from 192.0.2.1: malformed"),
        (exception(Outcome.DENY, "\x1b[31mred\n"), logging.WARNING, "(?[31mred?)"),
    ],
)
def test_people_are_told_of_denials_and_alerts(
    record: RulingRecord | ExceptionRecord, level: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    Teller().tell(record, 0)
    (entry,) = caplog.records
    assert entry.levelno == level
    assert text in entry.getMessage()


@pytest.mark.parametrize("record", [ruling(Reason.FIRST_USE), exception(Outcome.ACCEPT)])
def test_people_are_not_told_of_what_is_in_order(
    record: RulingRecord | ExceptionRecord, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    Teller().tell(record, 0)
    assert not caplog.records


def test_a_flood_is_told_as_a_number(caplog: pytest.LogCaptureFixture) -> None:
    teller = Teller()
    for _ in range(LINES_PER_SECOND + 30):
        teller.tell(ruling(Reason.KEY_REUSED), 0)
    assert len(caplog.records) == LINES_PER_SECOND
    teller.tell(ruling(Reason.KEY_REUSED), NANOSECONDS)
    assert caplog.records[LINES_PER_SECOND].getMessage() == "and 30 more within a second"
    assert len(caplog.records) == LINES_PER_SECOND + 2
