"""Traffic to measure with: the same octets in each run, made without any packet library."""

import base64
import hashlib
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from monitor.capture.pcap import PcapWriter
from monitor.simulate import cms
from monitor.simulate.keyring import Identity
from monitor.wire.frame import NANOSECONDS, Frame
from monitor.wire.link import ETHERNET

START = 1_700_000_000 * NANOSECONDS
SPACING = 20_000
"""Nanoseconds between two packets of a capture."""
STAMP = b"0" * 20
"""Stands in ``X-Sent`` until the message is sent: then the time in nanoseconds."""
_ETHERNET = bytes.fromhex("020000000001 020000000002 0800")


def sdp(number: int, host: str) -> bytes:
    """A session description with one SDES key of its own."""
    key = base64.b64encode(hashlib.sha256(b"key %d" % number).digest()[:30]).decode()
    return (
        f"v=0\r\no=caller {number} 1 IN IP4 {host}\r\ns=call\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
        f"m=audio {10000 + number % 20000 * 2} RTP/SAVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\n"
        "a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{key}\r\na=ptime:20\r\na=sendrecv\r\n"
    ).encode()


def invite(number: int, host: str, body: bytes, headers: str = "Content-Type: application/sdp\r\n") -> bytes:
    """The INVITE that opens call ``number``, from ``host``."""
    return (
        f"INVITE sip:callee@example.org SIP/2.0\r\n"
        f"Via: SIP/2.0/UDP {host}:5060;rport;branch=z9hG4bK{number:012x}\r\nMax-Forwards: 70\r\n"
        f'From: "Caller" <sip:caller{number % 1000}@example.org>;tag={number:08x}\r\n'
        f"To: <sip:callee@example.org>\r\nCall-ID: {number:016x}@{host}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:caller{number % 1000}@{host}:5060>\r\n"
        "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, PRACK\r\nSupported: replaces, timer\r\n"
        f"User-Agent: Caller 1.0\r\nX-Sent: {STAMP.decode()}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def sealed_invite(number: int, host: str, recipient: Identity, envelope: bytes | None = None) -> bytes:
    """The same with its session description in an S/MIME envelope (RSA, AES-128-CBC)."""
    headers = (
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m\r\n"
        "Content-Transfer-Encoding: binary\r\n"
    )
    return invite(number, host, envelope or seal(number, host, recipient), headers)


def seal(number: int, host: str, recipient: Identity) -> bytes:
    """The envelope of call ``number``."""
    entity = b"Content-Type: application/sdp\r\n\r\n" + sdp(number, host)
    return cms.envelope(entity, [recipient], random.Random(number))


def rtp(number: int) -> bytes:
    """An RTP-like datagram's payload: 20 ms of G.711."""
    return struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160 & 0xFFFFFFFF, 0x5EED) + bytes(160)


def mix(packets: int, first: int = 0) -> Iterator[Frame]:
    """A capture in which each tenth packet is an INVITE with an SDES key, the others RTP-like."""
    for number in range(packets):
        if number % 10:
            packet = _ipv4(f"10.1.{number >> 8 & 0xFF}.{number & 0xFF}", 20000, 30000, rtp(number))
        else:
            call = first + number // 10
            host = f"10.2.{call >> 8 & 0xFF}.{call & 0xFF}"
            packet = _ipv4(host, 5060, 5060, invite(call, host, sdp(call, host)))
        yield Frame(number + 1, START + number * SPACING, ETHERNET, packet, len(packet))


def write_mix(path: Path, packets: int, first: int = 0) -> None:
    """Write ``mix`` to a file."""
    with PcapWriter(path, ETHERNET) as writer:
        for frame in mix(packets, first):
            writer.write(frame)


def write_sealed(path: Path, calls: int, recipient: Identity) -> None:
    """Write a capture of INVITEs in S/MIME envelopes."""
    with PcapWriter(path, ETHERNET) as writer:
        for call in range(calls):
            host = f"10.9.{call >> 8 & 0xFF}.{call & 0xFF}"
            packet = _ipv4(host, 5060, 5060, sealed_invite(call, host, recipient))
            writer.write(Frame(call + 1, START + call * SPACING, ETHERNET, packet, len(packet)))


def _ipv4(source: str, source_port: int, port: int, payload: bytes) -> bytes:
    """An Ethernet frame; its checksums are left zero, as after checksum offload."""
    addresses = bytes(map(int, source.split("."))) + b"\x0a\x03\x00\x01"
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), 1, 0, 64, 17, 0) + addresses
    return _ETHERNET + head + struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
