"""Frames as capture files, in octets that depend on nothing but the frames."""

import struct
from collections.abc import Iterable
from typing import BinaryIO, Literal

from monitor.wire.frame import Frame

Format = Literal["pcap", "pcapng"]
SNAPSHOT = 262_144
"""The snapshot length written into the headers; nothing is cut to it."""


def write(frames: Iterable[Frame], file: BinaryIO, form: Format = "pcap") -> None:
    """Write the frames, which share one link type, with times in microseconds."""
    frames = list(frames)
    link = frames[0].link if frames else 1
    file.write(_pcap_header(link) if form == "pcap" else _pcapng_header(link))
    record = _pcap_record if form == "pcap" else _pcapng_block
    for frame in frames:
        file.write(record(frame))


def _pcap_header(link: int) -> bytes:
    return struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, SNAPSHOT, link)


def _pcap_record(frame: Frame) -> bytes:
    seconds, rest = divmod(frame.time, 1_000_000_000)
    return struct.pack("<IIII", seconds, rest // 1000, len(frame.data), frame.length) + frame.data


def _pcapng_header(link: int) -> bytes:
    section = _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    return section + _block(1, struct.pack("<HHI", link, 0, SNAPSHOT))


def _pcapng_block(frame: Frame) -> bytes:
    """An Enhanced Packet Block."""
    time = frame.time // 1000
    head = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(frame.data), frame.length)
    return _block(6, head + frame.data)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length
