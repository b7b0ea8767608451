"""The netfilter queue itself: whole packets, late verdicts, statistics, trouble."""

import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from calls import unread
from namespaces import Host, Network, wait_until

from monitor.antireplay.ruling import Verdict
from monitor.capture import netlink
from monitor.capture.nfqueue import Queue, ReaderName, Statistics, read_statistics
from monitor.capture.packet import Arrival, QueueError
from monitor.enforce.verdict import enforce
from monitor.wire.link import RAW

pytestmark = pytest.mark.live
NUMBER = 7
PORT = 5060


@contextmanager
def queued(host: Host, reader: ReaderName = "netlink", **options: int | bool) -> Iterator[Queue]:
    """A queue bound in ``host``, with the rule that fills it."""
    host.queue(NUMBER, "-p", "udp", "--dport", str(PORT))
    host.queue(NUMBER, "-p", "tcp", "--dport", str(PORT))
    with host.entered():
        queue = Queue(NUMBER, reader=reader, **options)  # type: ignore[arg-type]
    try:
        yield queue
    finally:
        queue.close()


@pytest.fixture(params=["netlink", "library"])
def reader(request: pytest.FixtureRequest) -> ReaderName:
    """Both readers, one after the other."""
    chosen: ReaderName = request.param
    return chosen


def statistics(host: Host) -> Statistics | None:
    """The account of the host's queue."""
    with host.entered():
        return read_statistics(NUMBER)


def collect(queue: Queue, done: Callable[[list[Arrival]], bool]) -> list[Arrival]:
    """What arrives until ``done`` is content with it."""
    arrivals: list[Arrival] = []

    def more() -> bool:
        arrivals.extend(queue.receive(time.time_ns(), 64))
        return done(arrivals)

    wait_until(more, "packets")
    return arrivals


@pytest.mark.parametrize("ipv6", [False, True], ids=["ipv4", "ipv6"])
def test_a_fragmented_datagram_of_60_kb_arrives_whole(
    network: Network, reader: ReaderName, ipv6: bool
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    payload = os.urandom(60_000)
    with (
        queued(alice, reader) as queue,
        alice.socket(port=PORT, ipv6=ipv6) as receiver,
        bob.socket(ipv6=ipv6) as sender,
    ):
        before = time.time_ns()
        sender.sendto(payload, receiver.getsockname())
        with alice.entered():
            ((frame, packet),) = collect(queue, bool)
        assert frame.data.endswith(payload)
        assert frame.length == len(frame.data) == (40 if ipv6 else 20) + 8 + len(payload)
        assert frame.link == RAW
        assert frame.interface == "eth0"
        assert before - 1_000_000 <= frame.time <= time.time_ns()
        enforce(packet, Verdict.ACCEPT)
        assert receiver.recv(65536) == payload


def test_a_packet_beyond_the_attribute_is_told_to_be_longer(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, reader) as queue, alice.socket(port=PORT) as receiver, bob.socket() as sender:
        sender.sendto(bytes(65507), receiver.getsockname())
        ((frame, packet),) = collect(queue, bool)
        assert (len(frame.data), frame.length) == (65531, 65535)
        packet.accept()
        assert len(receiver.recv(65536)) == 65507


def test_tcp_segments_pass_and_are_cut_before_they_are_queued(network: Network) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    payload = os.urandom(50_000)
    with queued(alice) as queue, alice.socket(socket.SOCK_STREAM, port=PORT) as listener:
        listener.listen()
        with bob.socket(socket.SOCK_STREAM) as sender:
            sender.setblocking(False)
            assert sender.connect_ex(listener.getsockname()) != 0
            sizes: list[int] = []

            def pump() -> int:
                for frame, packet in queue.receive(time.time_ns(), 64):
                    sizes.append(frame.length)
                    packet.accept()
                return len(sizes)

            # As often as it takes: a SYN that waits for long is sent again.
            wait_until(lambda: (pump(), select.select([listener], [], [], 0)[0])[1], "the handshake")
            connection, _ = listener.accept()
            with connection:
                connection.setblocking(False)
                sender.setblocking(True)
                sender.sendall(payload)
                received = bytearray()

                def whole() -> bool:
                    pump()
                    with suppress(BlockingIOError):
                        received.extend(connection.recv(65536))
                    return len(received) >= len(payload)

                wait_until(whole, "the stream")
            assert received == payload
            assert max(sizes) <= 1500


def test_verdicts_may_be_late_and_in_any_order_and_a_denied_packet_never_arrives(
    network: Network, reader: ReaderName
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, reader) as queue, alice.socket(port=PORT) as receiver, bob.socket() as sender:
        for number in range(5):
            sender.sendto(b"%d" % number, receiver.getsockname())
        arrivals = collect(queue, lambda found: len(found) == 5)
        assert [frame.number for frame, _ in arrivals] == [1, 2, 3, 4, 5]
        assert (found := statistics(alice))
        assert found.length == 5
        for index in (4, 2, 0, 1, 3):
            enforce(arrivals[index][1], Verdict.DENY if index == 2 else Verdict.ACCEPT)
        assert [receiver.recv(100) for _ in range(4)] == [b"4", b"0", b"1", b"3"]
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(100)
        assert (found := statistics(alice))
        assert found.length == 0


def test_a_batch_is_bounded(network: Network) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice) as queue, bob.socket() as sender:
        for _ in range(10):
            sender.sendto(b"x", (alice.address, PORT))
        wait_until(lambda: (found := statistics(alice)) and found.length == 10, "ten packets")
        assert [len(queue.receive(0, 4)) for _ in range(4)] == [4, 4, 2, 0]


def test_a_full_queue_drops_and_counts(network: Network) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, length=3) as queue, bob.socket() as sender:
        for _ in range(10):
            sender.sendto(b"x", (alice.address, PORT))
        wait_until(lambda: (found := statistics(alice)) and found.dropped == 7, "seven drops")
        assert len(queue.receive(0, 64)) == 3


def test_a_full_queue_passes_packets_when_failing_open(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with (
        queued(alice, reader, length=1, fail_open=True) as queue,
        alice.socket(port=PORT) as receiver,
        bob.socket() as sender,
    ):
        for number in range(3):
            sender.sendto(b"%d" % number, receiver.getsockname())
        assert [receiver.recv(100) for _ in range(2)] == [b"1", b"2"]
        ((frame, _),) = collect(queue, bool)
        assert frame.data.endswith(b"0")


def test_an_overflow_of_the_receive_buffer_is_survived_and_counted(
    network: Network, reader: ReaderName
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with (
        queued(alice, reader, buffer=1) as queue,
        alice.socket(port=PORT) as receiver,
        bob.socket() as sender,
    ):
        for _ in range(50):
            sender.sendto(bytes(1000), receiver.getsockname())
        wait_until(
            lambda: (found := statistics(alice)) and found.length + found.user_dropped == 50, "all packets"
        )
        while queue.receive(0, 64):
            pass
        assert queue.overruns > 0
        sender.sendto(b"afterwards", receiver.getsockname())
        (*_, (frame, packet)) = collect(queue, bool)
        assert frame.data.endswith(b"afterwards")
        packet.accept()
        assert receiver.recv(100) == b"afterwards"


def test_a_paused_queue_still_gives_verdicts_and_takes_nothing_in(
    network: Network, reader: ReaderName
) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, reader) as queue, alice.socket(port=PORT) as receiver, bob.socket() as sender:
        sender.sendto(b"before", receiver.getsockname())
        wait_until(lambda: (found := statistics(alice)) and found.length == 1, "a packet")
        queue.pause()
        sender.sendto(b"after", receiver.getsockname())
        ((_, packet),) = collect(queue, bool)
        packet.accept()
        assert receiver.recv(100) == b"before"
        assert queue.receive(0, 64) == []


def test_what_passes_lets_nothing_go_that_is_held_among_it(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    sent = [b"%s %d" % (b"media" if number % 10 else b"INVITE", number) for number in range(200)]
    held = [octets for octets in sent if octets.startswith(b"INVITE")]
    with queued(alice, reader) as queue, alice.socket(port=PORT) as receiver, bob.socket() as sender:
        for octets in sent:
            sender.sendto(octets, receiver.getsockname())
        wait_until(lambda: (found := statistics(alice)) and found.length == len(sent), "all packets")
        arrivals: list[Arrival] = []
        while more := queue.receive(time.time_ns(), 64, lambda octets: octets[28:].startswith(b"media")):
            arrivals += more
        assert unread(receiver) == [octets for octets in sent if octets not in held], "in their order"
        assert [frame.data[28:] for frame, _ in arrivals] == held
        assert [frame.number for frame, _ in arrivals] == list(range(1, 201, 10))
        assert (found := statistics(alice))
        assert found.length == len(held)
        for index, (_, packet) in reversed(list(enumerate(arrivals))):
            enforce(packet, Verdict.DENY if index % 2 else Verdict.ACCEPT)
        assert unread(receiver) == held[-2::-2]
        assert (found := statistics(alice))
        assert found.length == 0


def test_a_packet_has_its_mark_and_the_time_of_its_arrival(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    for mark, length in (("0x1234", 31), ("0xfedcba98", 32)):
        rule = ("PREROUTING", "-m", "length", "--length", str(length), "-j", "MARK", "--set-mark", mark)
        alice.run("iptables", "-w", "-t", "mangle", "-A", *rule)
    with queued(alice, reader) as queue, bob.socket() as sender:

        def stamped() -> bool:
            sender.sendto(b"x", (alice.address, PORT))
            other = time.time_ns() + 1_000_000_000
            return any(frame.time != other for frame, _ in queue.receive(other, 64))

        wait_until(stamped, "packets with a time")
        waiting = statistics(alice)
        assert waiting
        before = time.time_ns()
        for octets in (b"123", b"1234", b"12345"):
            sender.sendto(octets, (alice.address, PORT))
        wait_until(lambda: (found := statistics(alice)) and found.length == waiting.length + 3, "the packets")
        after = time.time_ns()
        with alice.entered():
            frames = [frame for frame, _ in queue.receive(after + 1_000_000_000, 64)]
        assert [(frame.mark, frame.length) for frame in frames] == [(0x1234, 31), (0xFEDCBA98, 32), (0, 33)]
        times = [frame.time for frame in frames]
        assert times == sorted(times)
        assert before - 1000 <= times[0] <= times[-1] <= after
        assert {frame.interface for frame in frames} == {"eth0"}


def test_a_packet_goes_on_with_other_octets(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, reader) as queue, alice.socket(port=PORT) as receiver, bob.socket() as sender:
        sender.sendto(b"a" * 5001, receiver.getsockname())
        ((frame, packet),) = collect(queue, bool)
        # No checksum (RFC 768).
        packet.set_payload(frame.data[:26] + b"\0\0" + b"b" * 5001)
        packet.accept()
        assert receiver.recv(65536) == b"b" * 5001


def test_a_queue_whose_receive_buffer_is_full_can_be_paused(network: Network, reader: ReaderName) -> None:
    alice, bob = network.host("alice"), network.host("bob")
    with queued(alice, reader, buffer=1) as queue, bob.socket() as sender:
        for _ in range(50):
            sender.sendto(bytes(1000), (alice.address, PORT))
        wait_until(lambda: (found := statistics(alice)) and found.user_dropped > 0, "an overflow")
        queue.pause()
        assert queue.receive(0, 64)
        sender.sendto(b"after", (alice.address, PORT))
        assert queue.receive(0, 64) == []


def test_no_process_but_the_kernel_is_listened_to(network: Network) -> None:
    alice = network.host("alice")
    with queued(alice) as queue, alice.entered():
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER) as other:
            port, _ = queue._socket.getsockname()
            with pytest.raises(ConnectionRefusedError):
                other.sendto(netlink.configuration(NUMBER, 1, b""), (port, 0))
        assert queue.receive(0, 64) == []


def test_a_queue_has_one_owner(network: Network, reader: ReaderName) -> None:
    alice = network.host("alice")
    with queued(alice, reader), alice.entered(), pytest.raises(QueueError, match="taken by another process"):
        Queue(NUMBER, reader=reader)


def test_closing_twice_is_harmless(network: Network, reader: ReaderName) -> None:
    alice = network.host("alice")
    with queued(alice, reader) as queue:
        queue.close()
        assert statistics(alice) is None
