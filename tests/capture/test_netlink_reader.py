"""Packets and verdicts of our own reader, as octets on a socket whose other end is not the kernel."""

import errno
import socket
import struct
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_messages import attribute, message, packet_message, rulings

from monitor.capture import netlink_reader
from monitor.capture.netlink import ACCEPT, DROP, NetlinkError, layout_of
from monitor.capture.netlink_reader import NetlinkReader
from monitor.capture.packet import QueueError, none_passes

NOW = 1_700_000_000_500_000_000


class Kernel:
    """The reader with the other end of its socket."""

    def __init__(self) -> None:
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.reader = NetlinkReader(7, ours, count(1))

    def datagrams(self) -> list[bytes]:
        """What was sent since."""
        found = []
        while True:
            try:
                found.append(self.end.recv(1 << 17))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self.reader.close()
        self.end.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def media(octets: bytes) -> bool:
    """What passes here."""
    return octets.startswith(b"media")


def test_what_passes_is_ruled_on_by_one_datagram_that_names_each(kernel: Kernel) -> None:
    numbers = (5, 6, 0xFFFFFFFF, 0, 1)
    messages = [packet_message(number, b"media %d" % number) for number in numbers]
    messages.insert(2, packet_message(7, b"INVITE"))
    ((frame, _),) = kernel.reader.take(messages, NOW, media)
    (datagram,) = kernel.datagrams()
    assert rulings(datagram) == [(number, ACCEPT) for number in numbers], "and nothing on what is held"
    assert (frame.number, frame.data) == (3, b"INVITE")
    assert kernel.reader.passed == 5


def test_where_nothing_passes_nothing_is_sent(kernel: Kernel) -> None:
    kernel.reader.take([packet_message(1, b"INVITE")], NOW, media)
    assert kernel.reader.take([], NOW, media) == []
    assert kernel.datagrams() == []


def test_each_held_packet_has_its_own_verdict_in_any_order(kernel: Kernel) -> None:
    messages = [packet_message(number, b"INVITE") for number in range(1, 5)]
    first, second, third, fourth = (packet for _, packet in kernel.reader.take(messages, NOW, none_passes))
    third.drop()
    first.accept()
    fourth.set_payload(b"changed")
    fourth.accept()
    second.set_payload(b"never seen")
    second.drop()
    one, two, changed, four = kernel.datagrams()
    assert rulings(one + two + four) == [(3, DROP), (1, ACCEPT), (2, DROP)]
    assert changed[20:] == attribute(10, b"changed") + attribute(2, struct.pack(">II", ACCEPT, 4))


def test_a_frame_has_what_the_kernel_says_and_its_time_if_it_can_be(kernel: Kernel) -> None:
    messages = [
        packet_message(1, b"INVITE", mark=9, stamp=(1_700_000_000, 123_456)),
        packet_message(2, b"INVITE"),
        packet_message(3, b"INVITE", stamp=(1_700_003_600, 0)),
    ]
    first, second, third = (frame for frame, _ in kernel.reader.take(messages, NOW, none_passes))
    assert (first.time, first.mark, first.interface) == (1_700_000_000_123_456_000, 9, "")
    assert (second.time, second.mark) == (NOW, 0)
    assert third.time == NOW, "the clock was set between the two"


def test_the_oldest_that_passed_tells_the_time(kernel: Kernel) -> None:
    stamps = ((1_700_000_000, 1), (1_700_000_000, 2))
    kernel.reader.take([packet_message(1, b"media", stamp=stamp) for stamp in stamps], NOW, media)
    assert kernel.reader.passed_since == 1_700_000_000_000_001_000


def test_the_name_of_the_interface_is_that_of_its_index(kernel: Kernel) -> None:
    index, name = socket.if_nameindex()[0]
    ((frame, _),) = kernel.reader.take([packet_message(1, b"x", interface=index)], NOW, none_passes)
    assert frame.interface == name


def test_a_packet_that_cannot_be_looked_at_is_dropped_and_nothing_is_raised(kernel: Kernel) -> None:
    def fails(octets: bytes) -> bool:
        if octets == b"bad":
            raise ValueError
        return True

    kernel.reader.take([packet_message(n, octets) for n, octets in ((1, b"bad"), (2, b"good"))], NOW, fails)
    assert rulings(b"".join(kernel.datagrams())) == [(1, DROP), (2, ACCEPT)]


def test_errors_of_earlier_verdicts_are_passed_over_and_malformed_messages_counted(kernel: Kernel) -> None:
    refusal = struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -errno.ENOENT)
    good = packet_message(1, b"INVITE")
    arrivals = kernel.reader.take([refusal, good[:-1], good, b"", refusal, message(b"")], NOW, none_passes)
    assert [frame.data for frame, _ in arrivals] == [b"INVITE"]
    assert kernel.reader.malformed == 3
    assert kernel.datagrams() == []


def test_layouts_are_remembered_up_to_a_bound(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netlink_reader, "LAYOUTS", 2)
    for mark, stamp in ((0, None), (1, None), (1, (1, 2)), (0, (1, 2)), (0, None)):
        ((frame, _),) = kernel.reader.take([packet_message(1, b"x", mark=mark, stamp=stamp)], 0, none_passes)
        assert (frame.mark, frame.data) == (mark, b"x")
        assert len(kernel.reader._layouts) <= 2


def test_a_verdict_that_cannot_be_given_is_told(kernel: Kernel) -> None:
    ((_, packet),) = kernel.reader.take([packet_message(1, b"INVITE")], NOW, media)
    kernel.reader.close()
    with pytest.raises(QueueError, match="queue 7 takes no verdict: Bad file descriptor"):
        packet.accept()


PIECES = st.one_of(
    st.binary(max_size=60),
    st.builds(message, st.binary(max_size=60)),
    st.builds(packet_message, st.integers(0, 0xFFFFFFFF), st.sampled_from((b"media", b"INVITE"))),
)


@given(st.lists(st.tuples(PIECES, st.integers(0, 8))))
def test_whatever_is_read_those_pass_that_a_walk_over_each_message_finds(
    pieces: list[tuple[bytes, int]],
) -> None:
    messages = [octets[: len(octets) - cut] if cut > 4 else octets for octets, cut in pieces]
    expected, malformed = [], 0
    for each in messages:
        try:
            layout = layout_of(each)
        except NetlinkError:
            malformed += 1
        else:
            if layout and media(each[layout.payload]):
                expected.append((int.from_bytes(each[layout.identifier]), ACCEPT))
    kernel = Kernel()
    try:
        kernel.reader.take(messages, NOW, media)
        assert rulings(b"".join(kernel.datagrams())) == expected
    finally:
        kernel.close()
    assert (kernel.reader.passed, kernel.reader.malformed) == (len(expected), malformed)
