"""The netfilter queue's shell without a kernel behind it; tests/live has the kernel."""

import errno
import socket
import struct
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from monitor.capture import nfqueue
from monitor.capture.nfqueue import Queue, QueueError, Statistics, is_whole, read_statistics, wire_length
from monitor.wire.link import RAW

IPV4 = bytes((0x45, 0)) + (28).to_bytes(2) + bytes(16) + b"12345678"
IPV6 = bytes((0x60, 0, 0, 0)) + (8).to_bytes(2) + bytes(34) + b"12345678"


class Packet:
    """What the library hands over."""

    mark = 7
    indev = 0
    dropped = False

    def __init__(self, payload: bytes | None, stamp: float = 0.0) -> None:
        self._payload = payload
        self._stamp = stamp

    def get_payload(self) -> bytes:
        if self._payload is None:
            raise RuntimeError("Packet has no payload -- perhaps you're using COPY_META mode?")
        return self._payload

    def get_timestamp(self) -> float:
        return self._stamp

    def drop(self) -> None:
        self.dropped = True


class Library:
    """The library's queue: messages are handed to the callback as packets until recv says EAGAIN."""

    def __init__(self) -> None:
        self.ours, self.kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.callback: Callable[[Packet], None] = lambda packet: None
        self.packets: dict[bytes, Packet] = {}
        self.unbound = 0

    def get_fd(self) -> int:
        return self.ours.fileno()

    def run_socket(self, source: nfqueue._Reader) -> None:
        while True:
            try:
                message = source.recv(4096)
            except OSError as error:
                if error.errno == errno.EAGAIN:
                    return
                raise
            content = message[16:]
            self.callback(self.packets.get(content) or Packet(content))

    def deliver(self, content: bytes) -> None:
        """Send a netlink message with ``content`` behind its header."""
        self.kernel.send(struct.pack("=IHHII", 16 + len(content), 0x300, 0, 0, 0) + content)

    def unbind(self) -> None:
        self.unbound += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    """A library whose kernel takes any configuration."""
    made = Library()

    def bind(number: int, take: Callable[[Packet], None]) -> Library:
        made.callback = take
        return made

    monkeypatch.setattr(nfqueue, "_bind", bind)
    monkeypatch.setattr(nfqueue, "_SO_RCVBUFFORCE", socket.SO_RCVBUF)
    monkeypatch.setattr(Queue, "_configure", lambda self, attributes: None)
    return made


@pytest.mark.parametrize(
    ("packet", "length"),
    [
        (IPV4, 28),
        (IPV4[:24], 28),
        (IPV4 + b"padding", 35),
        (IPV6, 48),
        (IPV6[:44], 48),
        (b"", 0),
        (b"\x45", 1),
        (bytes(20), 20),
    ],
)
def test_the_length_is_what_the_packet_says_but_not_less_than_is_there(packet: bytes, length: int) -> None:
    assert wire_length(packet) == length


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


def test_malformed_netlink_is_passed_over_and_counted(library: Library) -> None:
    queue = Queue(1)
    library.kernel.send(b"nonsense")
    library.deliver(IPV4)
    library.kernel.send(struct.pack("=IHHII", 99, 0x300, 0, 0, 0) + IPV4)
    library.deliver(IPV6)
    arrivals = queue.receive(42, 10)
    assert [frame.data for frame, _ in arrivals] == [IPV4, IPV6]
    assert queue.malformed == 2
    queue.close()


def test_a_frame_has_the_kernels_time_or_else_the_batchs(library: Library) -> None:
    queue = Queue(1)
    now = 1_700_000_001_000_000_042
    library.packets = {b"stamped": Packet(IPV4, 1_700_000_000.123456), b"set": Packet(IPV4, 1_700_003_600.1)}
    for octets in (b"stamped", IPV6, b"set"):
        library.deliver(octets)
    (first, _), (second, _), (third, _) = queue.receive(now, 10)
    assert (first.time, first.mark, first.link, first.data) == (1_700_000_000_123_456_000, 7, RAW, IPV4)
    assert (second.time, second.length) == (now, 48)
    assert third.time == now, "the clock was set between the two"
    queue.close()


def test_queues_may_share_their_frame_numbers(library: Library) -> None:
    queue = Queue(1, frames=count(10))
    for _ in range(2):
        library.deliver(IPV4)
    assert [frame.number for frame, _ in queue.receive(0, 10)] == [10, 11]
    queue.close()


def test_a_packet_longer_than_the_librarys_buffer_is_read_whole(library: Library) -> None:
    queue = Queue(1)
    library.kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
    library.deliver(bytes(60_000))
    ((frame, _),) = queue.receive(0, 10)
    assert len(frame.data) == 60_000
    queue.close()


def test_a_packet_that_cannot_be_taken_is_dropped_and_nothing_is_raised(library: Library) -> None:
    queue = Queue(1)
    empty = Packet(None)
    library.packets = {b"empty": empty}
    library.deliver(b"empty")
    library.deliver(IPV4)
    assert len(queue.receive(0, 10)) == 1
    assert empty.dropped
    queue.close()


def test_an_overflow_is_counted_and_a_broken_socket_is_told(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(1)
    errors = [OSError(errno.ENOBUFS, "No buffer space available"), BlockingIOError(errno.EAGAIN, "dry")]

    class Source:
        def recv_into(self, buffer: memoryview, size: int, flags: int) -> int:
            raise errors.pop(0)

    monkeypatch.setattr(queue._reader, "_receive", Source().recv_into)
    assert queue.receive(0, 10) == []
    assert queue.overruns == 1
    errors.append(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(QueueError, match="queue 1 cannot be read: Bad file descriptor"):
        queue.receive(0, 10)
    queue.close()


def test_a_configuration_that_the_kernel_refuses_is_told_and_the_queue_unbound(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Queue, attributes: bytes) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(Queue, "_configure", refuse)
    with pytest.raises(QueueError, match="queue 1 cannot be configured: Operation not supported"):
        Queue(1)
    assert library.unbound == 1


def test_the_kernels_account_is_found_by_queue_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = tmp_path / "nfnetlink_queue"
    account.write_text(
        "    3   9041     0 2 65531     0     0        0  1\n"
        "   12   9042     5 2 65531     6     7       99  1\n"
    )
    monkeypatch.setattr(nfqueue, "STATISTICS", account)
    assert read_statistics(12) == Statistics(5, 6, 7)
    assert read_statistics(1) is None
    monkeypatch.setattr(nfqueue, "STATISTICS", tmp_path / "missing")
    assert read_statistics(12) is None
