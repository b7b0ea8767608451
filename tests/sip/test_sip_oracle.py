"""Real calls: every SIP datagram that tshark finds reads clean, with the values that tshark reads."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from frames import udp
from sip_samples import Reports

from monitor.capture.pcap import PcapWriter
from monitor.sip import mime, sdp
from monitor.sip.framing import Framed, StreamFramer, looks_like_sip
from monitor.sip.message import parse
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import RAW

CORPORA = Path(os.environ.get("SIP_CORPORA", "/nonexistent"))
pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not CORPORA.is_dir(), reason="SIP_CORPORA does not name a folder"),
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]
FIELDS = ["sip.Call-ID", "sip.CSeq.seq", "sip.CSeq.method", "sip.from.tag", "sip.to.tag", "sip.Status-Code"]

ODD = Counter({"pcapplusplus-sip_reqs.pcap": 2, "suricata-compact-form.pcap": 1, "suricata-sdp.pcap": 2})
"""Messages cut off in the header section, and display names whose quote never ends."""


def tshark(path: Path, condition: str, *fields: str) -> list[list[str]]:
    """The fields of each frame that meets the condition; later versions of tshark double a backslash."""
    command = ["tshark", "-n", "-r", str(path), "-Y", condition, "-T", "fields", "-E", "occurrence=f"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, check=False, text=True, errors="replace")
    return [line.replace("\\\\", "\\").split("\t") for line in done.stdout.splitlines()]


def test_real_calls() -> None:
    seen = keyless = 0
    odd: Counter[str] = Counter()
    for path in sorted((CORPORA / "pcap").iterdir()):
        for call_id, number, method, from_tag, to_tag, status, payload in tshark(
            path, "sip.Call-ID && udp && !icmp", *FIELDS, "udp.payload"
        ):
            raw = bytes.fromhex(payload)
            assert looks_like_sip(raw), path.name
            message = parse(raw)
            assert message.call_id == call_id
            assert (message.cseq, message.from_tag or "") == (int(number), from_tag)
            assert (message.to_tag or "") == to_tag
            if status:
                assert (message.status, message.method) == (int(status), method)
            odd[path.name] += bool(message.troubles)
            reports = Reports()
            body = mime.body(message, reports)
            keyless += body is not None and not sdp.keys(body.content, reports)
            assert reports == [], path.name
            seen += 1
    assert +odd == ODD
    assert seen > 100
    assert keyless > 20


def test_nothing_else_looks_like_sip() -> None:
    others = 0
    for path in sorted((CORPORA / "pcap").iterdir()):
        for (payload,) in tshark(path, "udp && !sip && !icmp && udp.payload", "udp.payload"):
            assert not looks_like_sip(bytes.fromhex(payload)), (path.name, payload)
            others += 1
    assert others > 100


def test_a_call_over_tcp() -> None:
    framers: dict[str, StreamFramer] = {}
    found = []
    path = CORPORA / "pcap/suricata-tcp.pcap"
    for stream, port, sequence, payload in tshark(
        path, "tcp.payload", "tcp.stream", "tcp.srcport", "tcp.seq", "tcp.payload"
    ):
        framer = framers.setdefault(f"{stream}/{port}", StreamFramer())
        found += framer.feed(bytes.fromhex(payload), int(sequence))
    messages = [parse(one.raw, stream=True) for one in found if isinstance(one, Framed)]
    assert len(messages) == len(found) > 0
    assert [message.troubles for message in messages] == [()] * len(messages)


UNLIKE = {"wsinv.dat", "018_ok.sip", "033_ok.sip", "326_ok.sip"}
"""Blanks and folds around the names and values of parameters, which tshark does not undo."""


def test_published_messages(tmp_path: Path) -> None:
    """The torture messages that are to be read: what they say, says tshark too."""
    patterns = ("rfc4475/*.dat", "rfc5118/[!R]*", "jain-sip/*_ok.sip")
    files = [file for pattern in patterns for file in sorted((CORPORA / "torture").glob(pattern))]
    messages = [file.read_bytes().lstrip() for file in files]
    path = tmp_path / "published.pcap"
    with PcapWriter(path, RAW) as writer:
        for number, raw in enumerate(messages):
            packet = udp("192.0.2.5", "192.0.2.1", raw)
            writer.write(Frame(number, number * NANOSECONDS, RAW, packet, len(packet)))
    seen, unlike = 0, set()
    for frame, call_id, sequence, _, from_tag, to_tag, status in tshark(path, "sip", "frame.number", *FIELDS):
        message = parse(messages[int(frame) - 1])
        ours = (message.call_id, str(message.cseq), message.from_tag or "", message.to_tag or "")
        if (*ours, str(message.status or "")) != (call_id, sequence, from_tag, to_tag, status):
            unlike.add(files[int(frame) - 1].name)
        seen += 1
    assert unlike == UNLIKE
    assert seen > 380
