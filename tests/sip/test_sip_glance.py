"""The fast path says "no SIP" only where the decoder and the framer would."""

import struct

from frames import ipv4, udp
from hypothesis import given
from hypothesis import strategies as st

from monitor.sip.framing import looks_like_sip
from monitor.sip.glance import plainly_not_sip
from monitor.wire.address import pack
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, WireError
from monitor.wire.frame import Frame
from monitor.wire.link import ETHERNET, RAW, SLL

RTP = b"\x80\x00" + bytes(170)
SIP = b"OPTIONS sip:a@example.org SIP/2.0\r\n\r\n"


def frame(data: bytes, link: int = RAW) -> Frame:
    return Frame(1, 0, link, data, len(data))


def ethernet(packet: bytes, ethertype: int = 0x0800) -> bytes:
    return bytes(12) + ethertype.to_bytes(2) + packet


def ipv6(payload: bytes) -> bytes:
    header = struct.pack("!IHBB", 0x60000000, 8 + len(payload), 17, 64) + pack("2001:db8::1") * 2
    return header + struct.pack("!HHHH", 4000, 5000, 8 + len(payload), 0) + payload


def could_be_sip(it: Frame) -> bool:
    """What the slow path finds."""
    try:
        unit = Decoder().decode(it)
    except WireError:
        return True
    if unit is None:
        return False
    if not isinstance(unit, Datagram):
        return True
    return any(looks_like_sip(each) for each in (unit.payload, unit.alternative or b""))


def test_media_is_passed_by_on_each_way_it_comes() -> None:
    packet = udp("192.0.2.5", "192.0.2.1", RTP)
    assert plainly_not_sip(frame(packet))
    assert plainly_not_sip(frame(ethernet(packet), ETHERNET))
    assert plainly_not_sip(frame(ipv6(RTP)))
    assert plainly_not_sip(frame(ethernet(ipv6(RTP), 0x86DD), ETHERNET))


def test_whatever_needs_a_closer_look_gets_it() -> None:
    gtp = struct.pack("!HHHH", 4000, 2152, 8 + len(RTP), 0) + RTP
    fragment = bytearray(udp("192.0.2.5", "192.0.2.1", RTP))
    fragment[6] = 0x20
    for packet in (
        udp("192.0.2.5", "192.0.2.1", SIP),
        udp("192.0.2.5", "192.0.2.1", b"\r\n\r\n" + SIP),
        ipv4("192.0.2.5", "192.0.2.1", 17, gtp),
        ipv4("192.0.2.5", "192.0.2.1", 6, bytes(20) + RTP),
        bytes(fragment),
        ipv6(SIP),
        b"",
    ):
        assert not plainly_not_sip(frame(packet))
        assert not plainly_not_sip(frame(ethernet(packet), ETHERNET))
    assert not plainly_not_sip(frame(bytes(14) + b"\x08\x00" + udp("192.0.2.5", "192.0.2.1", RTP), SLL))


@given(
    st.sampled_from([RAW, ETHERNET]),
    st.sampled_from([RTP, SIP, b"\x00" + SIP, b"\r\n" + SIP]),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4),
)
def test_it_agrees_with_the_slow_path(
    link: int, payload: bytes, six: bool, changes: list[tuple[int, int]]
) -> None:
    packet = ipv6(payload) if six else udp("192.0.2.5", "192.0.2.1", payload)
    data = bytearray(ethernet(packet, 0x86DD if six else 0x0800) if link == ETHERNET else packet)
    for place, octet in changes:
        if place < len(data):
            data[place] = octet
    it = frame(bytes(data), link)
    if plainly_not_sip(it):
        assert not could_be_sip(it)
