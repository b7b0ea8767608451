"""The same captures through our streams and through tshark's."""

import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from monitor.capture.pcap import PcapWriter, open_capture
from monitor.wire import link
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Flow, Segment
from monitor.wire.frame import Frame
from monitor.wire.tcp import ACK, FIN, SYN, Streams

CORPORA = os.environ.get("SIP_CORPORA")

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed"),
]


def ours(path: Path) -> dict[Flow, bytes]:
    """The octets of each direction."""
    reader, streams, octets = Decoder(), Streams(), dict[Flow, bytes]()
    for frame in open_capture(str(path)):
        unit = reader.decode(frame)
        delivery = streams.feed(unit, frame.time) if isinstance(unit, Segment) else None
        while delivery:
            assert delivery.trouble is None
            if delivery.data:
                flow = delivery.stream.flow
                octets[flow] = octets.get(flow, b"") + delivery.data
            delivery = delivery.also
    return octets


def theirs(path: Path) -> list[bytes]:
    """The octets of both directions of the first connection: tshark indents those of the second."""
    command = ["tshark", "-r", str(path), "-q", "-z", "follow,tcp,raw,0"]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    sides = [b"", b""]
    for line in output.splitlines():
        try:
            sides[line.startswith("\t")] += bytes.fromhex(line.strip())
        except ValueError:
            continue
    return sides


@pytest.mark.skipif(not CORPORA, reason="SIP_CORPORA is not set")
def test_a_real_call_over_tcp() -> None:
    path = Path(CORPORA or "", "pcap", "suricata-tcp.pcap")
    octets = ours(path)
    assert len(octets) == 2
    assert sorted(octets.values()) == sorted(theirs(path))


@pytest.mark.parametrize("seed", range(4))
def test_segments_out_of_order_and_repeated(tmp_path: Path, seed: int) -> None:
    source = random.Random(seed)
    data = source.randbytes(5000)
    initial = source.choice([1000, 0xFFFFF000])
    parts: list[tuple[int, int]] = []
    at = 0
    while at < len(data):
        size = source.randint(1, 700)
        parts.append((at, min(at + size, len(data))))
        at += size
    segments = [(offset, data[offset:end]) for offset, end in parts]
    for index in range(0, len(segments) - 3, 3):
        window = segments[index : index + 3] + source.sample(segments[index : index + 3], 1)
        source.shuffle(window)
        segments[index : index + 3] = window
    path = tmp_path / "tcp.pcap"
    with PcapWriter(path, link.RAW) as writer:
        for number, (offset, payload, flags) in enumerate(
            [(-1, b"", SYN), *((o, p, ACK) for o, p in segments), (len(data), b"", FIN | ACK)], 1
        ):
            packet = tcp((initial + 1 + offset) % (1 << 32), payload, flags)
            writer.write(Frame(number, number * 1_000_000, link.RAW, packet, len(packet)))
    assert list(ours(path).values()) == [data]
    assert theirs(path)[0] == data


def tcp(sequence: int, payload: bytes, flags: int) -> bytes:
    segment = struct.pack("!HHIIBBHHH", 5060, 5070, sequence, 0, 0x50, flags, 65535, 0, 0) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0)
    return head + b"\xc0\0\2\1" + b"\xc0\0\2\2" + segment
