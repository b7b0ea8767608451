"""Messages of netfilter queues, against octets of the kernel's and of our own hand."""

import errno
import struct
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from queue_messages import SAMPLE, attribute, message, packet_message

from monitor.capture import netlink
from monitor.capture.netlink import ACCEPT, DROP, FAIL_OPEN, Layout, NetlinkError, is_whole, layout_of

IDENTIFIER = attribute(1, struct.pack(">IHB", 1, 0x0800, 1))
PAYLOAD = attribute(10, b"four")


def layout(octets: bytes) -> Layout:
    """The layout of a packet."""
    found = layout_of(octets)
    assert found
    return found


def test_a_verdict_names_the_queue_the_kind_and_the_packet_last() -> None:
    octets = netlink.verdict(7, ACCEPT, b"\0\0\x12\x34")
    assert octets[16:] == bytes.fromhex("00000007" + struct.pack("=HH", 12, 2).hex() + "0000000100001234")
    assert struct.unpack_from("=IHHII", octets) == (32, 0x301, 1, 0, 0)
    assert netlink.verdict(7, DROP, b"\0\0\x12\x34")[24:] == bytes.fromhex("0000000000001234")


def test_a_verdict_has_the_other_octets_padded() -> None:
    octets = netlink.verdict(7, ACCEPT, bytes(4), b"12345")
    assert (
        octets[20:] == struct.pack("=HH", 9, 10) + b"12345\0\0\0" + netlink.verdict(7, ACCEPT, bytes(4))[20:]
    )
    assert int.from_bytes(octets[:4], sys.byteorder) == len(octets)


def test_a_configuration_asks_for_its_acknowledgment() -> None:
    octets = netlink.configuration(0x1234, 99, netlink.copying(netlink.COPY_PACKET))
    assert struct.unpack_from("=IHHII", octets) == (32, 0x302, 5, 99, 0)
    assert octets[16:] == b"\0\0\x12\x34" + struct.pack("=HH", 9, 2) + b"\0\0\xff\xfb\x02\0\0\0"
    assert netlink.bind() == struct.pack("=HH", 8, 1) + b"\x01\0\0\0"
    limits = netlink.limits(16384, FAIL_OPEN)
    assert limits == attribute(3, b"\0\0\x40\0") + attribute(4, b"\0\0\0\x05") + attribute(5, b"\0\0\0\x01")


def test_an_acknowledgment_is_told_from_a_refusal_and_from_a_packet() -> None:
    header = struct.pack("=IHHII", 36, 2, 0, 99, 0)
    assert netlink.acknowledgment(header + struct.pack("=i16x", 0)) == (99, 0)
    assert netlink.acknowledgment(header + struct.pack("=i16x", -errno.EPERM)) == (99, errno.EPERM)
    assert netlink.acknowledgment(SAMPLE) is None
    assert netlink.acknowledgment(header) is None


@pytest.mark.skipif(sys.byteorder == "big", reason="the sample is of a little-endian kernel")
def test_a_packet_of_the_kernel_is_read() -> None:
    found = layout(SAMPLE)
    assert SAMPLE[found.identifier] == b"\0\0\0\x01"
    assert SAMPLE[found.payload].startswith(b"\x45\0\0\x1f")
    assert SAMPLE[found.payload].endswith(b"123")
    assert (found.mark_of(SAMPLE), found.interface_of(SAMPLE)) == (0x1234, 2)
    assert found.stamp_of(SAMPLE) == 1_795_432_627_368_271_000
    assert found.fits(SAMPLE)


def test_a_layout_stands_for_all_packets_with_the_same_attributes() -> None:
    small = packet_message(1, b"small", mark=1, interface=2, stamp=(3, 4))
    large = packet_message(0xFFFFFFFF, bytes(60_001), mark=0x80000000, interface=3, stamp=(5, 6))
    found = layout(small)
    assert found.fits(large)
    assert large[found.identifier] == b"\xff" * 4
    assert large[found.payload] == bytes(60_001)
    assert (found.mark_of(large), found.interface_of(large), found.stamp_of(large)) == (
        1 << 31,
        3,
        5_000_006_000,
    )


def test_what_the_kernel_does_not_say_is_zero() -> None:
    plain = packet_message(1, b"plain")
    found = layout(plain)
    assert (found.mark_of(plain), found.interface_of(plain), found.stamp_of(plain)) == (0, 0, 0)
    assert not found.fits(packet_message(1, b"plain", mark=1))
    assert not layout(packet_message(1, b"plain", mark=1)).fits(plain)


def test_octets_of_the_packet_are_never_taken_for_attributes() -> None:
    marked = layout(packet_message(1, bytes(8), mark=1))
    # Where the marked one has its last attribute, this one has octets of a sender's choice.
    forged = bytearray(packet_message(1, bytes(16)))
    at = marked.payload.start - 4
    forged[at : at + 4] = struct.pack("=HH", len(forged) - at, 10)
    assert not marked.fits(bytes(forged))
    assert layout(bytes(forged)).payload.start == at - 4


def test_what_is_no_packet_has_no_layout() -> None:
    assert layout_of(struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -errno.ENOENT)) is None


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"nonsense",
        SAMPLE[:-1],
        SAMPLE + b"\0",
        struct.pack("=IHHII", 16, 0x300, 0, 0, 0),
        message(b""),
        message(PAYLOAD),
        message(IDENTIFIER),
        message(IDENTIFIER + PAYLOAD + attribute(3, bytes(4))),
        message(IDENTIFIER + struct.pack("=HH", 3, 3) + PAYLOAD),
        message(IDENTIFIER + struct.pack("=HH", 0, 3) + PAYLOAD),
        message(IDENTIFIER + struct.pack("=HH", 0xFFFF, 10) + b"four"),
        message(IDENTIFIER + struct.pack("=HH", 7, 10) + b"four"),
        message(attribute(1, b"\0\0") + PAYLOAD),
        message(IDENTIFIER + attribute(3, b"\0\0\0") + PAYLOAD),
        message(IDENTIFIER + attribute(4, bytes(8)) + PAYLOAD),
    ],
)
def test_lengths_that_do_not_agree_are_malformed(octets: bytes) -> None:
    with pytest.raises(NetlinkError):
        layout_of(octets)


MESSAGES = st.builds(
    packet_message,
    st.integers(0, 0xFFFFFFFF),
    st.binary(max_size=40),
    mark=st.sampled_from((0, 7)),
    interface=st.sampled_from((0, 2)),
    stamp=st.sampled_from((None, (1, 2))),
)


@given(MESSAGES, MESSAGES, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4))
def test_the_one_comparison_says_what_the_walk_does(
    known: bytes, other: bytes, changes: list[tuple[int, int]]
) -> None:
    octets = bytearray(other)
    for at, octet in changes:
        octets[at % len(octets)] = octet
    other = bytes(octets)
    fits = layout(known).fits(other)
    try:
        assert fits == (layout_of(other) == layout(known))
    except NetlinkError:
        assert not fits


@given(st.binary(max_size=120))
@example(message(IDENTIFIER + b"\x04\0"))
def test_any_octets_are_a_packet_or_none_or_malformed(octets: bytes) -> None:
    for each in (octets, message(octets), message(IDENTIFIER + octets)):
        try:
            found = layout_of(each)
        except NetlinkError:
            continue
        if found is not None:
            assert found.fits(each)
            assert len(each[found.identifier]) == 4
            found.mark_of(each), found.interface_of(each), found.stamp_of(each)


@pytest.mark.parametrize(
    ("octets", "whole"),
    [
        (struct.pack("=IHHII", 20, 0, 0, 0, 0) + b"1234", True),
        (struct.pack("=IHHII", 18, 0, 0, 0, 0) + b"12", True),
        (struct.pack("=IHHII", 18, 0, 0, 0, 0) + b"1200" + struct.pack("=IHHII", 16, 0, 0, 0, 0), True),
        (struct.pack("=IHHII", 21, 0, 0, 0, 0) + b"1234", False),
        (struct.pack("=IHHII", 20, 0, 0, 0, 0) + b"123", False),
        (struct.pack("=IHHII", 16, 0, 0, 0, 0) + b"1234", False),
        (struct.pack("=IHHII", 0, 0, 0, 0, 0), False),
        (struct.pack("=IHHII", 15, 0, 0, 0, 0), False),
        (struct.pack("=IHHII", 0xFFFFFFFF, 0, 0, 0, 0), False),
        (b"\x10\0\0\0", False),
        (b"", False),
    ],
)
def test_netlink_messages_take_up_all_that_was_read(octets: bytes, whole: bool) -> None:
    assert is_whole(octets) is whole
