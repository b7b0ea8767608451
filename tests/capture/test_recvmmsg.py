"""Many datagrams by one call."""

import errno
import socket
from collections.abc import Iterator

import pytest

from monitor.capture.recvmmsg import MANY, SLOT, Receiver

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two connected sockets, the second with room for large datagrams."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with ours, theirs:
        yield ours, theirs


def test_what_waits_is_read_in_order_up_to_the_limit(pair: Pair) -> None:
    ours, theirs = pair
    receiver = Receiver(ours)
    sent = [b"%d" % number * number for number in range(1, 7)]
    for octets in sent:
        theirs.send(octets)
    assert receiver.receive(4) == sent[:4]
    assert receiver.receive(4) == sent[4:]
    assert receiver.receive(4) == []


def test_no_more_are_read_at_a_time_than_there_is_room_for(pair: Pair) -> None:
    ours, theirs = pair
    receiver = Receiver(ours)
    for _ in range(MANY + 1):
        theirs.send(b"x")
    assert [len(receiver.receive(1000)) for _ in range(3)] == [MANY, 1, 0]


def test_the_largest_are_read_whole_and_what_is_longer_is_cut(pair: Pair) -> None:
    ours, theirs = pair
    receiver = Receiver(ours)
    for octets in (b"a" * SLOT, b"b" * (SLOT + 1), b"c"):
        theirs.send(octets)
    assert receiver.receive(3) == [b"a" * SLOT, b"b" * SLOT, b"c"]


def test_the_sockets_error_is_raised(pair: Pair) -> None:
    ours, _ = pair
    receiver = Receiver(ours)
    ours.close()
    with pytest.raises(OSError, match="Bad file descriptor") as raised:
        receiver.receive(1)
    assert raised.value.errno == errno.EBADF
