"""The command, given all that others published: it ends, and denies what the matrix explains."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from corpora import MOST
from frames import invite, udp
from probe import ALICE, BOB, framed
from smime_material import corpus

from monitor.__main__ import main
from monitor.capture.pcap import PcapWriter
from monitor.wire.link import RAW


def replay(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, list[dict[str, Any]]]:
    """The exit status of ``replay --json``, and the lines."""
    status = main(["replay", "--json", *map(str, paths)])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_real_calls_one_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    status, lines = replay(capsys, *sorted(corpus("pcap").iterdir()))
    assert status == 0
    assert lines[-1]["denied"] == 0
    assert lines[-1]["messages"] == 282
    assert {line["exception"] for line in lines if line["type"] == "exception"} == {"malformed"}


def test_every_file_in_a_datagram(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each file as a message, and as a body of every kind, one after the other in one capture."""
    files = [file for file in sorted(corpus().rglob("*")) if file.is_file() and "pcap" not in file.parts]
    contents = [octets for file in files for octets in [file.read_bytes()] if len(octets) < MOST]
    kinds = ("application/sdp", "application/pkcs7-mime", "message/sip", "multipart/mixed;boundary=x", "a/b")
    packets = [udp(BOB, ALICE, octets) for octets in contents]
    packets += [
        udp(BOB, ALICE, invite(octets, f"{number}", kind))
        for number, octets in enumerate(contents)
        for kind in kinds
    ]
    path = tmp_path / "published.pcap"
    with PcapWriter(path, RAW) as writer:
        for frame in framed(packets):
            writer.write(frame)
    status, lines = replay(capsys, path)
    assert status == 1
    assert lines[-1]["frames"] == len(packets)
    denied = Counter(line["exception"] for line in lines if line.get("outcome") == "deny")
    assert denied.keys() == {"ambiguous", "bad-signature"}, denied


def test_no_file_is_a_capture_by_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(corpus("torture/rfc4475").iterdir())[:10]:
        assert replay(capsys, file) == (2, [])
