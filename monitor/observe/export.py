"""One entry of the evidence log as files that other programs read: openssl, Wireshark, any editor."""

import json
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from monitor.capture.pcap import PcapWriter
from monitor.keys.certificate import UNREADABLE
from monitor.observe import entry
from monitor.observe.entry import Entry
from monitor.sip import message as sip
from monitor.sip import mime
from monitor.sip.error import SipError
from monitor.sip.mime import Entity
from monitor.toolbox.peel import CMS_TYPES, SIGNATURE_TYPES
from monitor.wire import address
from monitor.wire.flow import Flow
from monitor.wire.frame import Frame
from monitor.wire.link import RAW

MAX_NESTING = 8
"""Multiparts in multiparts that are looked into for CMS."""
SEGMENT = 60_000
"""Octets of the message in one rebuilt TCP segment."""
_PROTOCOLS = {"tcp": 6, "udp": 17}


def export(found: Entry, folder: Path, key: Ed25519PublicKey) -> list[Path]:
    """Write the files of an entry; the paths, in the order of the table of ``docs/evidence.md``.

    :raises OSError: one cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = {name: value for name, value in found.document.items() if name != "message"}
    files: dict[str, bytes] = {
        "message.sip": found.message,
        "ruling.json": json.dumps(document, indent=2).encode() + b"\n",
        "entry.json": found.octets,
        "signed.txt": entry.signed_text(found.head.hash),
        "signature.bin": found.head.signature,
        "evidence.pub": key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        **dict(_cms_files(found.message, found.document["transport"] == "tcp")),
    }
    try:
        certificate = x509.load_der_x509_certificate(found.certificate)
        files["signer.pem"] = certificate.public_bytes(serialization.Encoding.PEM)
    except UNREADABLE:
        pass
    paths = []
    for name, octets in files.items():
        path = folder / name
        path.write_bytes(octets)
        paths.append(path)
    capture = folder / "message.pcap"
    _write_capture(capture, found.document, found.message)
    return [paths[0], capture, *paths[1:]]


def _cms_files(raw: bytes, stream: bool) -> Iterator[tuple[str, bytes]]:
    """The CMS blobs of a message, with what a detached signature covers."""
    try:
        entity = mime.body(sip.parse(raw, stream=stream), _ignore)
        parts = list(_smime(entity, 0)) if entity is not None else []
    except SipError:
        return
    numbers: Counter[str] = Counter()
    for suffix, octets in parts:
        numbers[suffix] += 1
        number = f"-{numbers[suffix]}" if numbers[suffix] > 1 else ""
        yield f"smime{number}.{suffix}", octets


def _smime(entity: Entity, depth: int) -> Iterator[tuple[str, bytes]]:
    if entity.media_type in CMS_TYPES:
        yield "p7m", entity.content
    elif entity.media_type in SIGNATURE_TYPES:
        yield "p7s", entity.content
    elif entity.media_type.startswith("multipart/") and depth < MAX_NESTING:
        parts = mime.parts(entity, _ignore)
        if entity.media_type == "multipart/signed" and parts:
            yield "signed", parts[0].raw
        for part in parts:
            yield from _smime(part, depth + 1)


def _ignore(*_: object) -> None:
    """What is odd has been told of when the message was ruled on."""


def _write_capture(path: Path, document: dict[str, Any], message: bytes) -> None:
    flow = Flow(
        address.pack(document["source"]),
        document["source_port"],
        address.pack(document["destination"]),
        document["destination_port"],
        document["transport"],
    )
    with PcapWriter(path, RAW) as writer:
        for number, packet in enumerate(packets(flow, message), 1):
            writer.write(Frame(number, document["time"], RAW, packet, len(packet)))


def packets(flow: Flow, message: bytes) -> Iterator[bytes]:
    """IP packets that carry a message over a flow: one datagram, or as many TCP segments as it takes.

    They stand in for those that were seen: TTL, identification, sequence numbers and fragments are not kept.
    """
    ports = struct.pack("!HH", flow.source_port, flow.destination_port)
    if flow.transport == "udp":
        yield _ip(flow, ports + struct.pack("!HH", 8 + len(message) & 0xFFFF, 0) + message, checksum=6)
        return
    for at in range(0, len(message), SEGMENT):
        fixed = struct.pack("!IIBBHHH", 1 + at, 1, 5 << 4, 0x18, 0xFFFF, 0, 0)  # PSH, ACK
        yield _ip(flow, ports + fixed + message[at : at + SEGMENT], checksum=16)


def _ip(flow: Flow, payload: bytes, *, checksum: int) -> bytes:
    """An IP packet; the transport's checksum, which stands at ``checksum``, is put in."""
    protocol, ends = _PROTOCOLS[flow.transport], flow.source + flow.destination
    pseudo = ends + struct.pack("!II", len(payload), protocol)
    summed = _checksum(pseudo + payload) or 0xFFFF
    payload = payload[:checksum] + summed.to_bytes(2, "big") + payload[checksum + 2 :]
    if len(flow.source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + ends + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0) + ends
    return header[:10] + _checksum(header).to_bytes(2, "big") + header[12:] + payload


def _checksum(octets: bytes) -> int:
    """RFC 1071."""
    octets += b"\0" * (len(octets) % 2)
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
