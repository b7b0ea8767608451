"""Frames and messages for tests, made by hand so that every octet is seen."""

import struct
from dataclasses import dataclass, field

from monitor.wire.address import pack
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import RAW

START = 1_700_000_000 * NANOSECONDS


def ipv4(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """A whole IPv4 packet; its checksum is left zero, as after checksum offload."""
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0)
    return header + pack(source) + pack(destination) + payload


def udp(source: str, destination: str, payload: bytes) -> bytes:
    """A SIP datagram between the ports 5060."""
    header = struct.pack("!HHHH", 5060, 5060, 8 + len(payload), 0)
    return ipv4(source, destination, 17, header + payload)


def tcp(source: str, destination: str, sequence: int, payload: bytes, flags: int = 0x18) -> bytes:
    """A TCP segment from port 40000 to port 5060."""
    header = struct.pack("!HHIIBBHHH", 40000, 5060, sequence & 0xFFFFFFFF, 0, 0x50, flags, 65535, 0, 0)
    return ipv4(source, destination, 6, header + payload)


def fragments(packet: bytes, size: int, identification: int = 7) -> list[bytes]:
    """An IP packet without options or extension headers, as fragments of ``size`` octets of payload."""
    size = max(size & ~7, 8)
    head_length = 20 if packet[0] >> 4 == 4 else 40
    head, payload = packet[:head_length], packet[head_length:]
    return [
        _fragment(head, at, payload[at : at + size], at + size < len(payload), identification)
        for at in range(0, len(payload), size)
    ]


def _fragment(head: bytes, at: int, part: bytes, more: bool, identification: int) -> bytes:
    if len(head) == 20:
        place = struct.pack("!HHH", 20 + len(part), identification, at // 8 | more << 13)
        return _summed(head[:2] + place + head[8:]) + part
    place = struct.pack("!BBHI", head[6], 0, at | more, identification)
    return head[:4] + struct.pack("!HB", 8 + len(part), 44) + head[7:] + place + part


def _summed(head: bytes) -> bytes:
    """An IPv4 header with its checksum, without which hosts take no fragment."""
    head = head[:10] + b"\0\0" + head[12:]
    return head[:10] + struct.pack("!H", 0xFFFF - int.from_bytes(head) % 0xFFFF) + head[12:]


def sdp(key: str, port: int = 4000, host: str = "192.0.2.5") -> bytes:
    """A session description with one SDES key (its base64 text)."""
    return (
        f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {port} RTP/SAVP 0\r\n"
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\n"
    ).encode()


def invite(
    body: bytes,
    call: str = "call-1",
    content_type: str = "application/sdp",
    *,
    method: str = "INVITE",
    cseq: int = 1,
    tag: str = "bob",
    branch: str = "z9hG4bK-1",
    headers: str = "",
) -> bytes:
    """A request from Bob to Alice with a body."""
    kind = f"Content-Type: {content_type}\r\n" if body else ""
    return (
        f"{method} sip:alice@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.5;branch={branch}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:bob@example.org>;tag={tag}\r\nTo: <sip:alice@example.org>\r\n"
        f"Call-ID: {call}\r\nCSeq: {cseq} {method}\r\nContact: <sip:bob@192.0.2.5>\r\n{headers}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@dataclass
class Tape:
    """Numbers and times frames as a capture would."""

    number: int = 0
    seconds: float = 0.0
    frames: list[Frame] = field(default_factory=list)

    def frame(self, packet: bytes, after: float = 0.0) -> Frame:
        """The next frame, ``after`` seconds after the last one."""
        self.number += 1
        self.seconds += after
        time = START + round(self.seconds * NANOSECONDS)
        frame = Frame(self.number, time, RAW, packet, len(packet))
        self.frames.append(frame)
        return frame
