"""The netfilter queue's shell without a kernel behind it, with both readers; tests/live has the kernel."""

import errno
import socket
import struct
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from queue_messages import packet_message

from monitor.capture import library_reader, nfqueue
from monitor.capture.netlink import layout_of
from monitor.capture.nfqueue import Queue, ReaderName, Statistics, read_statistics
from monitor.capture.packet import QueueError, wire_length
from monitor.wire.link import RAW

IPV4 = bytes((0x45, 0)) + (28).to_bytes(2) + bytes(16) + b"12345678"
IPV6 = bytes((0x60, 0, 0, 0)) + (8).to_bytes(2) + bytes(34) + b"12345678"


class Packet:
    """What the library hands over."""

    indev = 0

    def __init__(self, octets: bytes) -> None:
        layout = layout_of(octets)
        assert layout
        self._payload = octets[layout.payload]
        self._stamp = layout.stamp_of(octets) / 1_000_000_000
        self.mark = layout.mark_of(octets)
        self.verdict = ""

    def get_payload(self) -> bytes:
        if not self._payload:
            raise RuntimeError("Packet has no payload -- perhaps you're using COPY_META mode?")
        return self._payload

    def get_timestamp(self) -> float:
        return self._stamp

    def accept(self) -> None:
        self.verdict = "accept"

    def drop(self) -> None:
        self.verdict = "drop"


class Library:
    """The library: messages are handed to the callback as packets until recv says EAGAIN."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._callback: Callable[[Packet], None] = lambda packet: None
        self.packets: list[Packet] = []
        self.unbound = 0

    def bind(self, number: int, callback: Callable[[Packet], None], mode: int) -> None:
        self._callback = callback

    def get_fd(self) -> int:
        return self._source.fileno()

    def run_socket(self, source: library_reader._Messages) -> None:
        while True:
            try:
                packet = Packet(source.recv(4096))
            except BlockingIOError:
                return
            self.packets.append(packet)
            self._callback(packet)

    def unbind(self) -> None:
        self.unbound += 1


class Kernel:
    """The other end of a queue's socket; it takes any configuration."""

    def __init__(self, reader: ReaderName, patch: pytest.MonkeyPatch) -> None:
        self.reader = reader
        self.ours, self._end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.library = Library(self.ours)
        patch.setattr(library_reader, "NetfilterQueue", lambda: self.library)
        patch.setattr(nfqueue, "bound", lambda number: self.ours)
        patch.setattr(nfqueue, "_SO_RCVBUFFORCE", socket.SO_RCVBUF)
        self.patch = patch
        patch.setattr(Queue, "_configure", lambda self, attributes: None)

    def queue(self, number: int = 1, frames: Iterator[int] | None = None) -> Queue:
        return Queue(number, reader=self.reader, frames=frames)

    def deliver(self, *messages: bytes) -> None:
        for octets in messages:
            self._end.send(octets)

    def close(self) -> None:
        self.ours.close()
        self._end.close()


@pytest.fixture(params=["netlink", "library"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel(request.param, monkeypatch)
    yield made
    made.close()


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


def test_malformed_netlink_is_passed_over_and_counted(kernel: Kernel) -> None:
    queue = kernel.queue()
    cut = packet_message(2, IPV4)[:-1]
    kernel.deliver(b"nonsense", packet_message(1, IPV4), cut, packet_message(3, IPV6))
    arrivals = queue.receive(42, 10)
    assert [frame.data for frame, _ in arrivals] == [IPV4, IPV6]
    assert queue.malformed == 2
    queue.close()


def test_a_frame_has_the_kernels_time_or_else_the_batchs(kernel: Kernel) -> None:
    queue = kernel.queue()
    now = 1_700_000_001_000_000_042
    kernel.deliver(
        packet_message(1, IPV4, mark=7, stamp=(1_700_000_000, 123_456)),
        packet_message(2, IPV6),
        packet_message(3, IPV4, stamp=(1_700_003_600, 100_000)),
    )
    (first, _), (second, _), (third, _) = queue.receive(now, 10)
    assert (first.time, first.mark, first.link, first.data) == (1_700_000_000_123_456_000, 7, RAW, IPV4)
    assert (second.time, second.length) == (now, 48)
    assert third.time == now, "the clock was set between the two"
    queue.close()


def test_what_passes_is_counted_with_the_time_of_the_oldest_and_uses_up_its_number(kernel: Kernel) -> None:
    queue = kernel.queue()
    for batch in range(2):
        stamps = [(1_700_000_000 + batch, microseconds) for microseconds in (1, 2, 3)]
        packets = zip((IPV6, IPV4, IPV6), stamps, strict=True)
        kernel.deliver(*(packet_message(1, octets, stamp=stamp) for octets, stamp in packets))
        ((frame, _),) = queue.receive(1_700_000_000_000_000_000, 10, lambda octets: octets == IPV6)
        assert frame.number == 2 + 3 * batch
        assert queue.passed == 2 + 2 * batch
        assert queue.passed_since == (1_700_000_000 + batch) * 1_000_000_000 + 1000
    assert queue.receive(0, 10) == []
    assert queue.passed_since == 0
    queue.close()


def test_queues_may_share_their_frame_numbers(kernel: Kernel) -> None:
    queue = kernel.queue(frames=count(10))
    kernel.deliver(packet_message(1, IPV4), packet_message(2, IPV4))
    assert [frame.number for frame, _ in queue.receive(0, 10)] == [10, 11]
    queue.close()


def test_a_batch_has_a_bound(kernel: Kernel) -> None:
    queue = kernel.queue()
    kernel.deliver(*(packet_message(number, IPV4) for number in range(150)))
    assert [len(queue.receive(0, limit)) for limit in (1, 100, 100, 100)] == [1, 100, 49, 0]
    queue.close()


def test_a_packet_longer_than_the_librarys_buffer_is_read_whole(kernel: Kernel) -> None:
    queue = kernel.queue()
    kernel.deliver(packet_message(1, bytes(60_000)))
    ((frame, _),) = queue.receive(0, 10)
    assert len(frame.data) == 60_000
    queue.close()


def test_a_packet_that_the_library_cannot_give_is_dropped_and_nothing_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel = Kernel("library", monkeypatch)
    queue = kernel.queue()
    kernel.deliver(packet_message(1, b""), packet_message(2, IPV4))
    assert len(queue.receive(0, 10)) == 1
    assert [packet.verdict for packet in kernel.library.packets] == ["drop", ""]
    queue.close()
    kernel.close()


def test_an_overflow_is_counted_and_a_broken_socket_is_told(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = kernel.queue()
    kernel.deliver(packet_message(1, IPV4))
    read, errors = queue._receiver.receive, [OSError(errno.ENOBUFS, "No buffer space available")]

    def receive(limit: int) -> list[bytes]:
        if errors:
            raise errors.pop()
        return read(limit)

    monkeypatch.setattr(queue._receiver, "receive", receive)
    assert len(queue.receive(0, 10)) == 1
    assert queue.overruns == 1
    errors.append(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(QueueError, match="queue 1 cannot be read: Bad file descriptor"):
        queue.receive(0, 10)
    queue.close()


def test_a_configuration_that_the_kernel_refuses_is_told_and_the_queue_let_go(kernel: Kernel) -> None:
    def refuse(self: Queue, attributes: bytes) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    kernel.patch.setattr(Queue, "_configure", refuse)
    with pytest.raises(QueueError, match="queue 1 cannot be configured: Operation not supported"):
        kernel.queue()
    assert kernel.library.unbound == 1 or kernel.ours.fileno() == -1


class Answering(socket.socket):
    """A socket whose kernel answers each configuration before ``send`` returns, as the real one does."""

    answers: list[Callable[[int], list[bytes]]]
    end: socket.socket

    def send(self, octets: bytes, flags: int = 0) -> int:  # type: ignore[override]
        (sequence,) = struct.unpack_from("=I", octets, 8)
        for each in self.answers.pop(0)(sequence):
            self.end.send(each)
        return len(octets)


def answer(sequence: int, error: int = 0) -> bytes:
    return struct.pack("=IHHIIi16x", 36, 2, 0, sequence, 0, -error)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Queue, Answering]]:
    """A queue that was configured, and its socket, for what comes after."""
    ours, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    source = Answering(fileno=ours.detach())
    source.end = end
    source.answers = [lambda sequence: [answer(sequence)]] * 2
    monkeypatch.setattr(nfqueue, "bound", lambda number: source)
    monkeypatch.setattr(nfqueue, "_SO_RCVBUFFORCE", socket.SO_RCVBUF)
    yield Queue(1), source
    source.close()
    end.close()


def test_packets_that_were_read_before_an_answer_are_kept(asked: tuple[Queue, Answering]) -> None:
    queue, source = asked
    first, second, third = (packet_message(number, b"%d" % number) for number in (1, 2, 3))
    refused_verdict = answer(0, errno.ENOENT)
    source.answers = [lambda sequence: [first, refused_verdict, answer(sequence), second]]
    queue.pause()
    source.end.send(third)
    found = [frame.data for _ in range(2) for frame, _ in queue.receive(0, 10)]
    assert found == [b"1", b"2", b"3"]


def test_an_answer_that_found_no_room_is_asked_for_again(asked: tuple[Queue, Answering]) -> None:
    queue, source = asked
    waiting = packet_message(1, b"x")
    source.answers = [lambda sequence: [waiting], lambda sequence: [answer(sequence)]]
    queue.pause()
    assert len(queue.receive(0, 10)) == 1
    source.answers = [lambda sequence: []] * 3
    with pytest.raises(QueueError, match="queue 1 cannot be paused: No buffer space available"):
        queue.pause()


def test_a_refusal_is_told(asked: tuple[Queue, Answering]) -> None:
    queue, source = asked
    source.answers = [lambda sequence: [answer(sequence, errno.ENODEV)]]
    with pytest.raises(QueueError, match="queue 1 cannot be paused: No such device"):
        queue.pause()


@pytest.mark.parametrize(
    ("capable", "account", "told"),
    [
        (False, "", "no permission to open a netfilter queue: CAP_NET_ADMIN is needed"),
        (True, None, r"this kernel has no netfilter queues \(nfnetlink_queue\)"),
        (True, "    1   9041     0 2 65531     0     0        0  1\n", "queue 1 is taken by another process"),
        (True, "", "queue 1 cannot be bound: Invalid argument"),
    ],
)
@pytest.mark.parametrize("reader", ["netlink", "library"])
def test_why_a_queue_cannot_be_had_is_told(
    reader: ReaderName,
    capable: bool,
    account: str | None,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(nfqueue, "bound", refuse)
    monkeypatch.setattr(library_reader, "NetfilterQueue", refuse)
    monkeypatch.setattr(nfqueue, "_may_administer", lambda: capable)
    monkeypatch.setattr(nfqueue, "STATISTICS", tmp_path / "nfnetlink_queue")
    if account is not None:
        (tmp_path / "nfnetlink_queue").write_text(account)
    with pytest.raises(QueueError, match=told):
        Queue(1, reader=reader)


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
