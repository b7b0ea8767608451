"""Who is blocked, and who is not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from frames import udp

from monitor.antireplay.ruling import Reason
from monitor.enforce.blocker import ADD_INTERVAL, BACKLOG, MAX_ADDED, MAX_SOURCES, Blocker, Terms
from monitor.enforce.programs import NetfilterError
from monitor.enforce.source import Source, Spared
from monitor.exceptions import ExceptionName, Outcome
from monitor.record import ExceptionRecord, RulingRecord
from monitor.wire.address import pack
from monitor.wire.flow import Flow, Transport
from monitor.wire.frame import NANOSECONDS

BOB, ALICE, MALLORY = pack("192.0.2.5"), pack("192.0.2.1"), pack("192.0.2.66")
HIS, OTHERS = Source.read("192.0.2.66"), Source.read("192.0.2.5")
SECOND = NANOSECONDS
TERMS = Terms(denials=3, within=60 * SECOND, duration=600 * SECOND, udp=True, ipv6_prefix=64)


def denial(
    source: bytes = MALLORY,
    time: int = 0,
    transport: Transport = "udp",
    reason: Reason = Reason.KEY_REUSED,
    enforced: bool = True,
) -> RulingRecord:
    flow = Flow(source, 5060, ALICE, 5060, transport)
    return RulingRecord(
        1, time, flow, BOB, "INVITE sip:a SIP/2.0", "INVITE", None, "call", 1, reason.verdict, reason,
        "sdes", "default", (), (), (), enforced,
    )  # fmt: skip


@dataclass
class Kernel:
    """A block set that remembers what was added, or refuses."""

    added: list[tuple[list[Source], int]] = field(default_factory=list)
    broken: bool = False

    def add(self, sources: Sequence[Source], seconds: int) -> None:
        if self.broken:
            raise NetfilterError("there is no block set")
        self.added.append((list(sources), seconds))

    def blocker(self, terms: Terms = TERMS, spared: Sequence[bytes] = (), proven: bool = True) -> Blocker:
        return Blocker(terms, self.add, Spared(relays=spared), lambda flow: proven)


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_a_source_is_blocked_by_the_denial_that_is_one_too_many(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    blocker.see([denial()] * 2, SECOND)
    assert kernel.added == []
    blocker.see([denial()], SECOND)
    assert kernel.added == [([HIS], 600)]
    assert blocker.counts["blocked"] == 1


def test_it_is_the_packets_source_and_not_who_a_relay_says_it_is(kernel: Kernel) -> None:
    kernel.blocker().see([denial()] * 3, SECOND)
    assert kernel.added == [([HIS], 600)], "the record's own source is Bob's"


def test_denials_must_be_within_the_time(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    for time in (0, 31, 62, 93):
        blocker.see([denial(time=time * SECOND)], time * SECOND)
    assert kernel.added == []
    blocker.see([denial(time=94 * SECOND)], 94 * SECOND)
    assert len(kernel.added) == 1


def test_who_was_let_through_again_is_counted_anew(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    for time in range(1, 7):
        blocker.see([denial(time=time * SECOND)], time * SECOND)
    assert len(kernel.added) == 2


@pytest.mark.parametrize(
    "record",
    [
        denial(reason=Reason.REFRESH),
        denial(enforced=False),
        ExceptionRecord(
            1, 0, denial().flow, MALLORY, ExceptionName.OVERLOAD, Outcome.DENY, "too many", "call", ""
        ),
    ],
    ids=["accepted", "observed", "exception"],
)
def test_what_is_no_enforced_denial_of_a_replay_does_not_count(
    kernel: Kernel, record: RulingRecord | ExceptionRecord
) -> None:
    kernel.blocker().see([record] * 10, SECOND)
    assert kernel.added == []


def test_the_spared_are_never_blocked(kernel: Kernel) -> None:
    blocker = kernel.blocker(spared=[MALLORY])
    blocker.see([denial()] * 10, SECOND)
    assert kernel.added == []
    assert blocker.counts["spared"] == 10


def test_over_udp_nothing_counts_unless_it_is_asked_for(kernel: Kernel) -> None:
    blocker = kernel.blocker(Terms(3, 60 * SECOND, 600 * SECOND, udp=False, ipv6_prefix=64))
    blocker.see([denial()] * 10, SECOND)
    assert kernel.added == []
    assert blocker.counts["unproven"] == 10
    blocker.see([denial(transport="tcp")] * 3, SECOND)
    assert kernel.added == [([HIS], 600)]


def test_over_tcp_a_source_must_be_proven(kernel: Kernel) -> None:
    blocker = kernel.blocker(proven=False)
    blocker.see([denial(transport="tcp")] * 10, SECOND)
    assert kernel.added == []


def test_the_kernel_is_asked_now_and_then(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    blocker.see([denial()] * 3, SECOND)
    blocker.see([denial(BOB)] * 3, SECOND + 1)
    assert len(kernel.added) == 1
    blocker.see((), SECOND + ADD_INTERVAL)
    assert kernel.added[1:] == [([OTHERS], 600)]


def test_what_is_counted_and_what_is_added_is_bounded(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    sources = [number.to_bytes(4) for number in range(2 * MAX_SOURCES)]
    for source in sources:
        blocker.see([denial(source)], 0)
    assert len(blocker._denials) == MAX_SOURCES
    blocker.see([denial(source) for source in sources[: 2 * MAX_ADDED] for _ in range(3)], SECOND)
    assert len(kernel.added[0][0]) == MAX_ADDED


def test_a_set_that_is_not_there_is_told_of_once(kernel: Kernel, caplog: pytest.LogCaptureFixture) -> None:
    blocker = kernel.blocker()
    kernel.broken = True
    for time in (1, 2):
        blocker.see([denial()] * 3, time * SECOND)
    assert blocker.counts["failed"] == 2
    assert caplog.text.count("there is no block set") == 1
    assert not blocker.drops(udp("192.0.2.66", "192.0.2.1", b""))


def test_what_a_blocked_source_had_queued_is_not_judged_any_more(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    packet, other = udp("192.0.2.66", "192.0.2.1", b"INVITE"), udp("192.0.2.5", "192.0.2.66", b"INVITE")
    assert not blocker.drops(packet)
    blocker.see([denial()] * 3, SECOND)
    assert blocker.drops(packet)
    assert not blocker.drops(other)
    assert not blocker.drops(b"")
    assert blocker.counts["unjudged"] == 1
    blocker.see((), SECOND + BACKLOG)
    assert not blocker.drops(packet)


def ipv6(source: str) -> bytes:
    """A packet from this address."""
    return b"\x60" + bytes(7) + pack(source) + bytes(16)


def test_addresses_of_one_ipv6_network_are_counted_and_blocked_as_one(kernel: Kernel) -> None:
    blocker = kernel.blocker()
    for last in range(1, 4):
        blocker.see([denial(pack(f"2001:db8::{last}"))], SECOND)
    assert kernel.added == [([Source.read("2001:db8::/64")], 600)]
    assert blocker.drops(ipv6("2001:db8::ffff:0:0:4"))
    assert not blocker.drops(ipv6("2001:db8:0:1::1"))
    assert not blocker.drops(b"\x60" + bytes(23) + pack("2001:db8::1"))
    assert not blocker.drops(ipv6("2001:db8::1")[:39])


def test_how_much_of_an_ipv6_address_counts_can_be_chosen(kernel: Kernel) -> None:
    alone = kernel.blocker(replace(TERMS, ipv6_prefix=128))
    alone.see([denial(pack(f"2001:db8::{last}")) for last in range(1, 4)], SECOND)
    assert kernel.added == []
    wide = kernel.blocker(replace(TERMS, ipv6_prefix=56))
    wide.see([denial(pack(f"2001:db8:0:{part}::1")) for part in range(1, 4)], SECOND)
    assert kernel.added == [([Source.read("2001:db8::/56")], 600)]
    assert wide.drops(ipv6("2001:db8:0:ff::1"))


def test_beside_a_relay_an_address_is_blocked_for_itself(kernel: Kernel) -> None:
    relay = pack("2001:db8::10")
    blocker = kernel.blocker(spared=[relay])
    blocker.see([denial(pack(f"2001:db8::{last}")) for last in range(1, 4)], SECOND)
    assert kernel.added == []
    blocker.see([denial(relay)] * 3, 2 * SECOND)
    blocker.see([denial(pack("2001:db8::1"))] * 2, 2 * SECOND)
    assert kernel.added == [([Source.read("2001:db8::1")], 600)]
    assert blocker.drops(ipv6("2001:db8::1"))
    assert not blocker.drops(ipv6("2001:db8::10"))
