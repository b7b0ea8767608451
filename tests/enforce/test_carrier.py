"""Packets rebuilt around another payload."""

import struct

import pytest
from frames import ipv4, tcp, udp

from monitor.enforce.carrier import Carrier
from monitor.wire.address import pack
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Segment
from monitor.wire.frame import Frame
from monitor.wire.link import RAW
from monitor.wire.tcp import ACK, FIN, PSH, RST

FIN_PSH_ACK = FIN | PSH | ACK


def over_ipv6(packet: bytes) -> bytes:
    """The same transport packet over IPv6."""
    head = struct.pack("!IHBB", 6 << 28, len(packet) - 20, packet[9], 64)
    return head + pack("2001:db8::5") + pack("2001:db8::1") + packet[20:]


def sums_up(packet: bytes) -> bool:
    """Whether the checksums of a packet are those that its recipient works out (RFC 1071)."""
    if packet[0] >> 4 == 4:
        at, addresses = 20, packet[12:20]
        if int.from_bytes(packet[:20]) % 0xFFFF or int.from_bytes(packet[2:4]) != len(packet):
            return False
        protocol = packet[9]
    else:
        at, addresses, protocol = 40, packet[8:40], packet[6]
        if int.from_bytes(packet[4:6]) != len(packet) - 40:
            return False
    transport = packet[at:]
    pseudo = addresses + struct.pack("!II", len(transport), protocol)
    if protocol == 17 and int.from_bytes(transport[4:6]) != len(transport):
        return False
    return int.from_bytes(pseudo + transport + bytes(len(transport) % 2)) % 0xFFFF == 0


def decoded(packet: bytes) -> Datagram | Segment:
    unit = Decoder().decode(Frame(1, 0, RAW, packet, len(packet)))
    assert unit is not None
    return unit


PACKETS = [udp("192.0.2.5", "192.0.2.1", b"before"), tcp("192.0.2.5", "192.0.2.1", 7, b"before", FIN_PSH_ACK)]
PACKETS += [over_ipv6(packet) for packet in PACKETS]
NAMES = ["udp", "tcp", "udp6", "tcp6"]


@pytest.mark.parametrize("packet", PACKETS, ids=NAMES)
@pytest.mark.parametrize("payload", [b"after!", b"odd", b"", b"\0" * 6, b"\xff" * 6])
def test_another_payload_comes_with_right_lengths_and_checksums(packet: bytes, payload: bytes) -> None:
    carrier = Carrier.read(packet)
    assert carrier is not None
    made = carrier.carrying(payload)
    assert sums_up(made)
    before, after = decoded(packet), decoded(made)
    assert after.payload == payload
    assert after.flow == before.flow
    if isinstance(after, Segment) and isinstance(before, Segment):
        assert (after.sequence, after.acknowledgment) == (before.sequence, before.acknowledgment)
        assert after.flags == (FIN_PSH_ACK if len(payload) == 6 else PSH | ACK), "cut short it ends nothing"


def test_options_stay_where_octets_are_replaced() -> None:
    plain = tcp("192.0.2.5", "192.0.2.1", 7, b"before")
    options = bytes.fromhex("0101080a0000000100000002")
    transport = bytearray(plain[20:40])
    transport[12] = 0x80
    made = Carrier.read(ipv4("192.0.2.5", "192.0.2.1", 6, bytes(transport) + options + b"before"))
    assert made is not None
    assert made.payload == b"before"
    assert made.carrying(b"behind")[40:52] == options
    assert sums_up(made.carrying(b"behind"))
    assert len(made.reset()) == 40


@pytest.mark.parametrize("packet", [PACKETS[1], PACKETS[3]], ids=["tcp", "tcp6"])
def test_a_reset_stands_where_the_segment_stood(packet: bytes) -> None:
    carrier = Carrier.read(packet)
    assert carrier is not None
    made = carrier.reset()
    assert sums_up(made)
    reset = decoded(made)
    assert isinstance(reset, Segment)
    assert (reset.sequence, reset.flags, reset.payload) == (7, RST | ACK, b"")


FRAGMENT = bytearray(PACKETS[0])
FRAGMENT[6] = 0x20


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        PACKETS[0][:-1],
        bytes(FRAGMENT),
        ipv4("192.0.2.5", "192.0.2.1", 4, PACKETS[0]),
        ipv4("192.0.2.5", "192.0.2.1", 6, b"\0" * 12),
        ipv4("192.0.2.5", "192.0.2.1", 17, struct.pack("!HHHH", 1, 2, 30, 0)),
        ipv4("192.0.2.5", "192.0.2.1", 6, bytes(12) + b"\xf0" + bytes(7)),
        over_ipv6(ipv4("192.0.2.5", "192.0.2.1", 60, b"\x11\0\0\0\0\0\0\0" + PACKETS[0][20:])),
    ],
    ids=["none", "cut", "short", "fragment", "tunnel", "tcp-cut", "udp-length", "tcp-offset", "extension"],
)
def test_what_cannot_be_rebuilt_for_sure_is_not(packet: bytes) -> None:
    assert Carrier.read(packet) is None
