"""The daemon's log."""

import json
import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from monitor.antireplay.ruling import Reason, Verdict
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe import ecs
from monitor.observe.events import EventFile, Teller
from monitor.observe.log import configure
from monitor.record import ExceptionRecord, RulingRecord
from monitor.wire.flow import Flow

CHARLES = bytes((192, 0, 2, 66))
DENIED = RulingRecord(
    7, 1_700_000_000_250_000_000, Flow(CHARLES, 5060, bytes((192, 0, 2, 1)), 5060, "udp"), CHARLES,
    "INVITE sip:a SIP/2.0", "INVITE", None, "call\nMESSAGE=forged", 1, Verdict.DENY, Reason.KEY_REUSED,
    "sdes", "default", ("3f9a1c2e", "57d7f1c5"), ("master-key",), (),
)  # fmt: skip
EXCEPTION = ExceptionRecord(9, 1_000, None, CHARLES, ExceptionName.MALFORMED, Outcome.ALERT, "no Via")


@pytest.fixture(autouse=True)
def log() -> Iterator[logging.Logger]:
    """The log, put back as it was."""
    log = logging.getLogger("monitor")
    before = (log.handlers, log.propagate, log.level)
    yield log
    log.handlers, log.propagate = before[0], before[1]
    log.setLevel(before[2])


def test_people_get_time_and_level(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text", {})
    log.debug("unheard")
    log.warning("a %s", "line")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ WARNING a line\n", capsys.readouterr().err)


@contextmanager
def journal_stream(folder: Path) -> Iterator[dict[str, str]]:
    """The environment of a service whose standard error the journal reads, here a file."""
    before = sys.stderr
    with (folder / "stderr").open("w+") as stream:
        sys.stderr = stream
        status = os.fstat(stream.fileno())
        try:
            yield {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        finally:
            sys.stderr = before


def test_a_journal_that_only_reads_lines_gets_priorities_on_every_one(
    log: logging.Logger, tmp_path: Path
) -> None:
    with journal_stream(tmp_path) as environment:
        configure("debug", "text", environment, str(tmp_path / "none"))
        log.error("one\ntwo")
        log.debug("three")
    assert (tmp_path / "stderr").read_text() == "<3>one\n<3>two\n<7>three\n"


def test_a_stream_that_was_redirected_is_not_the_journals(log: logging.Logger, tmp_path: Path) -> None:
    with journal_stream(tmp_path):
        configure("debug", "text", {"JOURNAL_STREAM": "8:1234"}, str(tmp_path / "none"))
        log.error("one")
    assert "ERROR one" in (tmp_path / "stderr").read_text()


def fields_of(datagram: bytes) -> dict[str, str]:
    """The fields of a journal entry, read as the journal reads them."""
    fields, at = {}, 0
    while at < len(datagram):
        end = datagram.index(b"\n", at)
        name, equals, value = datagram[at:end].partition(b"=")
        at = end + 1
        if not equals:
            length = int.from_bytes(datagram[at : at + 8], "little")
            value = datagram[at + 8 : at + 8 + length]
            at += 8 + length + 1
        fields[name.decode()] = value.decode()
    return fields


def test_the_journal_gets_fields(log: logging.Logger, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        with journal_stream(tmp_path) as environment:
            configure("info", "text", environment, str(tmp_path / "journal"))
        Teller().tell(DENIED, 0)
        fields = fields_of(journal.recv(65536))
        assert fields["MESSAGE"].startswith("denied INVITE sip:a SIP/2.0 from 192.0.2.66: key-reused")
        assert fields["PRIORITY"] == "4"
        assert fields["SYSLOG_IDENTIFIER"] == "replay-monitor"
        assert fields["REPLAY_MONITOR_REASON"] == "key-reused"
        assert fields["REPLAY_MONITOR_SPI"] == "3f9a1c2e 57d7f1c5"
        assert fields["REPLAY_MONITOR_CALL_ID"] == "call\nMESSAGE=forged"
        assert all(re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", name) for name in fields)
        log.error("one\ntwo \udc80")
        assert fields_of(journal.recv(65536))["MESSAGE"] == "one\ntwo \\udc80"
    log.error("nobody listens any more")


def test_a_busy_journal_keeps_nobody_waiting(log: logging.Logger, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        journal.settimeout(5)
        with journal_stream(tmp_path) as environment:
            configure("info", "text", environment, str(tmp_path / "journal"))
        for _ in range(5000):
            log.info("x" * 100)


def test_a_siem_gets_the_names_of_the_common_schema(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "ecs", {})
    Teller().tell(DENIED, 0)
    log.error("plain")
    denied, plain = map(json.loads, capsys.readouterr().err.splitlines())
    assert next(iter(denied)) == "@timestamp"
    assert datetime.fromisoformat(denied["@timestamp"]).tzinfo is not None
    expected = {
        "log.level": "warning",
        "ecs.version": "8.11.0",
        "event.kind": "alert",
        "event.category": ["network", "intrusion_detection"],
        "event.type": ["denied"],
        "event.action": "key-reused",
        "source.ip": "192.0.2.66",
        "source.port": 5060,
        "destination.ip": "192.0.2.1",
        "network.transport": "udp",
        "network.type": "ipv4",
        "sip.call_id": DENIED.call_id,
        "sip.cseq.code": 1,
        "rule.name": "default",
        "replay_monitor.spi": ["3f9a1c2e", "57d7f1c5"],
    }
    assert {name: denied[name] for name in expected} == expected
    assert "sip.code" not in denied, "a request has no status"
    assert plain["log.level"] == "error"
    assert "event.action" not in plain


def test_events_may_have_these_names_too(tmp_path: Path) -> None:
    file = EventFile(str(tmp_path / "events"), ecs.line)
    file.write([DENIED, EXCEPTION])
    file.close()
    ruling, exception = map(json.loads, (tmp_path / "events").read_text().splitlines())
    assert ruling["@timestamp"] == "2023-11-14T22:13:20.250000Z"
    assert exception["event.action"] == "malformed"
    assert exception["event.type"] == ["allowed"]
    assert exception["event.reason"] == "no Via"
    assert "source.port" not in exception


def test_machines_get_an_object_a_line(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json", {})
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    document = json.loads(line)
    assert (document["level"], document["message"]) == ("error", "it failed")
    assert document["trace"].endswith("ValueError: wrong")
