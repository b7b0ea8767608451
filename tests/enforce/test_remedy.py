"""Denials enforced: what a recipient gets of a stream, and of datagrams, in which replays stand."""

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from frames import START, Tape, invite, ipv4, sdp, tcp, udp

from monitor import passage, pipeline
from monitor.antireplay.policy import Policy, Remedy
from monitor.antireplay.ruling import Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList, Selector
from monitor.denial import Denial
from monitor.enforce.carrier import Carrier
from monitor.enforce.neutralise import neutralise
from monitor.enforce.remedy import Action, remedy
from monitor.keys.directory import Directory
from monitor.keys.request import UnwrapAnswer
from monitor.keys.ring import load
from monitor.pipeline import Pipeline, Settled
from monitor.simulate.cms import envelope
from monitor.simulate.keyring import load as load_identities
from monitor.sip.framing import Framed, StreamFramer
from monitor.store.memory import MemoryStore
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Segment
from monitor.wire.tcp import ACK, PSH, RST, SYN

BOB, ALICE, PROXY = "192.0.2.5", "192.0.2.1", "192.0.2.66"
KEYS = Path(__file__).parents[2] / "pcaps" / "keys"
SECOND = 1_000_000_000


def key(number: int) -> str:
    """The base64 text of a key of its own."""
    return f"{number:04}" + "A" * 36


def fresh(number: int, size: int = 0) -> bytes:
    """A call's INVITE, with a key that nobody has used."""
    return invite(
        sdp(key(number)) + b"a=x\r\n" * (size // 5), f"call-{number}", tag=f"tag-{number}",
        branch=f"z9hG4bK-{number}",
    )  # fmt: skip


def replay(number: int, serial: int = 0, size: int = 0) -> bytes:
    """The same key in another call."""
    return invite(
        sdp(key(number)) + b"a=x\r\n" * (size // 5), f"replay-{number}-{serial}", tag="mallory",
        branch=f"z9hG4bK-r{number}-{serial}",
    )  # fmt: skip


def core(
    remedy: Remedy = Remedy.NEUTRALISE, directory: Directory | None = None, **policy: object
) -> Pipeline:
    on_deny = {"on_deny_tcp": remedy, "on_deny_udp": remedy}
    return assemble(
        store=MemoryStore(),
        secret=REPLAY_SECRET,
        policies=PolicyList(Policy(**on_deny, **policy)),  # type: ignore[arg-type]
        directory=directory,
    )


def calls(*numbers: int, on: Pipeline) -> None:
    """Have these keys used, each in a call of its own."""
    tape = Tape()
    for number in numbers:
        on.feed(tape.frame(udp(BOB, ALICE, fresh(number))))
    assert all(each.verdict is Verdict.ACCEPT for each in on.settle())


@dataclass
class Wire:
    """A connection from the proxy to Alice, with the monitor between."""

    core: Pipeline
    tape: Tape = field(default_factory=Tape)
    first: int = 1000
    waiting: dict[int, bytes] = field(default_factory=dict)
    """Packets that the monitor holds, by frame."""
    octets: dict[int, int] = field(default_factory=dict)
    """What Alice has, by offset: what came first stays."""
    actions: list[str] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)
    """Offsets of resets that she got."""

    closed: bool = False
    """Whether a reset has closed her end."""

    def __post_init__(self) -> None:
        self.core.feed(self.tape.frame(tcp(PROXY, ALICE, self.first - 1, b"", SYN)))

    def send(self, offset: int, payload: bytes, after: float = 0.0) -> None:
        """Send one segment, which is ruled on before the next."""
        self.feed(offset, payload, after)
        self.settle()

    def feed(self, offset: int, payload: bytes, after: float = 0.0) -> None:
        """Send one segment that the next may catch up with."""
        packet = tcp(PROXY, ALICE, self.first + offset, payload)
        frame = self.tape.frame(packet, after)
        verdict = self.core.feed(frame)
        if verdict is None:
            self.waiting[frame.number] = packet
        else:
            self._arrive(packet, Action("accepted" if verdict is Verdict.ACCEPT else "dropped"))

    def settle(self) -> None:
        """Commit, and let go what is decided."""
        for each in self.core.settle():
            packet = self.waiting.pop(each.frame, None)
            if packet is not None:
                self._arrive(packet, remedy(packet, each))

    def expire(self, seconds: float) -> None:
        """Let time pass without packets."""
        self.core.expire(START + round((self.tape.seconds + seconds) * SECOND))
        self.settle()

    def _arrive(self, packet: bytes, action: Action) -> None:
        self.actions.append(action.how)
        if action.how == "dropped":
            return
        segment = Decoder().decode(self.tape.frames[0]._replace(data=action.packet or packet))
        assert isinstance(segment, Segment)
        at = segment.sequence - self.first
        if segment.flags & RST:
            self.resets.append(at)
            self.closed |= at == len(self.received)
        for place, octet in enumerate(segment.payload, at):
            if not self.closed:
                self.octets.setdefault(place, octet)

    @property
    def received(self) -> bytes:
        """What Alice has without a hole."""
        end = next(place for place in range(len(self.octets) + 1) if place not in self.octets)
        return bytes(self.octets[place] for place in range(end))


def harmless(message: bytes) -> bytes:
    made = neutralise(message)
    assert made is not None
    return made


def disordered(chance: random.Random, remedy: Remedy) -> tuple[Wire, bytes, bytes, bool]:
    """Calls and replays sent in segments of any length, some of them twice, some in another order.

    :returns: the connection, what was sent, what should arrive, and whether the order was another.
    """
    wire = Wire(core(remedy))
    calls(1, 2, on=wire.core)
    sent, expected = b"", b""
    for number in range(3, 12):
        replayed, size = chance.random() < 0.4, chance.choice((0, 2000))
        message = replay(chance.choice((1, 2)), number, size) if replayed else fresh(number, size)
        sent += message
        expected += harmless(message) if replayed else message
    size, at = chance.choice((50, 300, 1448)), 0
    pieces, disorder = [], False
    while at < len(sent):
        length = chance.randint(1, size)
        pieces.append((at, sent[at : at + length]))
        at += length
    while pieces:
        swapped = len(pieces) > 1 and chance.random() < 0.1
        disorder |= swapped
        offset, octets = pieces.pop(swapped)
        for _ in range(1 + (chance.random() < 0.05)):
            wire.send(offset, octets, 0.001)
    wire.expire(2)
    return wire, sent, expected, disorder


def replays_in(octets: bytes) -> int:
    """Replays that a recipient of these octets could read."""
    found = StreamFramer().feed(octets, 0)
    assert all(isinstance(message, Framed) for message in found)
    return sum(
        b"Call-ID: replay-" in message.raw and b"inline:" in message.raw
        for message in found
        if isinstance(message, Framed)
    )


class TestNeutralisedStreams:
    def test_a_replay_between_calls_is_harmless_and_they_go_on(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        sent = [fresh(2), replay(1), fresh(3)]
        wire.send(0, b"".join(sent))
        assert wire.received == fresh(2) + harmless(replay(1)) + fresh(3)
        assert wire.actions == ["neutralised"]

    @pytest.mark.parametrize("seed", range(40))
    def test_however_it_is_cut_repeated_and_disordered(self, seed: int) -> None:
        """Nothing is lost, nothing denied gets through, and calls are as they were sent."""
        wire, sent, expected, disorder = disordered(random.Random(seed), Remedy.NEUTRALISE)
        while not wire.closed and len(wire.received) < len(sent):
            # What stood behind the end of a shortened segment, as a sender sends it again.
            before = len(wire.received)
            for _ in range(2):
                wire.send(before, sent[before : before + 1448], 1)
                wire.expire(2)
            assert wire.closed or len(wire.received) > before
        assert wire.waiting == {}
        assert replays_in(wire.received) == 0
        if wire.closed:
            # Parts of a replay were let go, or came early; so the rest of it was not let through.
            assert wire.core.counts["let-go-resent"] or wire.core.counts["let-go-long"] or disorder
        else:
            assert wire.received == expected

    def test_segments_wait_until_the_message_is_whole(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        message = replay(1)
        wire.send(0, message[:20])
        assert len(wire.received) == 20, "a start line may go on"
        wire.send(20, message[20:300])
        wire.send(300, message[300:-1])
        assert len(wire.received) == 20
        wire.send(len(message) - 1, message[-1:])
        assert wire.received == harmless(message)
        assert wire.actions == ["accepted", *["neutralised"] * 3]

    def test_a_call_waits_in_the_same_way_and_is_let_through_as_it_is(self) -> None:
        wire = Wire(core())
        message = fresh(1)
        wire.send(0, message[:300])
        assert wire.received == b""
        wire.send(300, message[300:])
        assert wire.received == message
        assert wire.actions == ["accepted"] * 2

    def test_what_is_sent_again_is_as_harmless_however_it_is_cut(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        message = replay(1)
        wire.send(0, message)
        for start, end in ((0, len(message)), (10, 200), (len(message) - 5, len(message))):
            wire.octets.clear()
            wire.send(start, message[start:end])
            assert bytes(wire.octets.values()) == harmless(message)[start:end]

    def test_a_sender_that_waits_gets_his_segments_through_and_the_replay_a_reset(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        message = replay(1)
        wire.send(0, message[:300])
        wire.send(0, message[:300], 0.2)
        assert wire.received == message[:300], "nobody waits for ever"
        wire.send(300, message[300:])
        assert wire.resets == [300]
        assert wire.received == message[:300]
        assert wire.core.counts["let-go-resent"] == 1

    def test_a_call_of_a_sender_that_waits_goes_on(self) -> None:
        wire = Wire(core())
        message = fresh(1)
        wire.send(0, message[:300])
        wire.send(0, message[:300], 0.2)
        wire.send(300, message[300:] + fresh(2))
        assert wire.received == message + fresh(2)

    def test_time_lets_go_too(self) -> None:
        wire = Wire(core())
        message = fresh(1)
        wire.send(0, message[:300])
        wire.expire(0.9)
        assert wire.received == b""
        wire.expire(1.0)
        assert wire.received == message[:300]
        assert wire.core.counts["let-go-late"] == 1

    def test_a_message_beyond_the_window_does_not_wait_and_its_replay_is_reset(self) -> None:
        wire = Wire(core())
        for message, serial in ((fresh(1, 20_000), 0), (replay(1, 0, 20_000), 1)):
            start = len(wire.received)
            for at in range(0, len(message), 1448):
                wire.send(start + at, message[at : at + 1448])
                if at + 1448 < len(message):
                    assert len(wire.received) == start + at + 1448
            assert wire.core.counts["let-go-long"] == 1 + serial
        assert wire.received[: len(fresh(1, 20_000))] == fresh(1, 20_000)
        assert len(wire.resets) == 1
        assert len(wire.received) < len(fresh(1, 20_000)) + len(replay(1, 0, 20_000))

    def test_many_small_segments_are_let_go(self) -> None:
        wire = Wire(core())
        message = fresh(1)
        for at in range(passage.HOLD_SEGMENTS + 50):
            wire.send(at, message[at : at + 1])
        assert wire.core.counts["let-go-long"] == 1
        assert len(wire.received) == passage.HOLD_SEGMENTS + 50

    def test_streams_that_wait_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "MAX_HELD", 3)
        made, tape = core(), Tape()
        for number in range(10):
            assert (
                made.feed(tape.frame(tcp(f"192.0.2.{100 + number}", ALICE, 7, fresh(number)[:300]))) is None
            )
        assert made.counts["let-go-full"] == 7
        assert len(made.settle()) == 7

    def test_a_reset_stands_where_the_recipient_does_though_segments_are_ruled_on_together(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        odd = replay(1).replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n")
        octets, whole = fresh(2) + odd, len(fresh(2))
        for start, end in ((0, whole + 100), (whole + 100, whole + 200), (whole + 200, len(octets))):
            wire.feed(start, octets[start:end])
        wire.settle()
        assert wire.received == fresh(2)
        assert wire.actions == ["shortened", "reset", "reset"]
        assert wire.resets == [whole + 100, whole]
        assert wire.closed

    def test_a_reset_stands_after_what_has_passed_of_the_replay(self) -> None:
        wire = Wire(core(Remedy.RESET))
        calls(1, on=wire.core)
        octets = fresh(2) + replay(1)
        for start, end in ((0, 500), (500, 700), (700, len(octets))):
            wire.send(start, octets[start:end])
        assert wire.closed
        assert wire.resets == [700]

    def test_a_part_that_came_early_has_passed_so_the_rest_does_not(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        message = replay(1)
        wire.send(300, message[300:])
        assert wire.actions == ["accepted"]
        wire.send(0, message[:300])
        assert wire.resets == [0]

    def test_nothing_goes_on_that_would_let_a_replay_be_read_that_has_passed(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        wire.send(len(fresh(2)), replay(1))
        wire.send(0, fresh(2))
        wire.send(0, fresh(2), 0.2)
        wire.send(0, fresh(2), 0.4)
        assert wire.actions == ["accepted", "reset", "shortened", "reset"]
        assert wire.resets == [0, 0]
        assert wire.received == b""

    def test_a_part_that_came_early_waits_with_a_message_under_way(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        message = replay(1) + fresh(2)
        for start, end in ((0, 100), (200, 300), (300, len(message))):
            wire.send(start, message[start:end])
        wire.send(100, message[100:200])
        assert wire.received == harmless(replay(1)) + fresh(2)

    def test_replays_without_end_are_no_end_of_the_connection(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        at, expected = 0, b""
        for serial in range(3 * passage.MAX_SPANS):
            message = replay(1, serial)
            wire.send(at, message)
            at, expected = at + len(message), expected + harmless(message)
        wire.send(at, fresh(2))
        assert wire.received == expected + fresh(2)
        wire.octets.clear()
        wire.send(0, replay(1, 0))
        assert set(wire.octets.values()) == {ord("x")}, "what is forgotten says nothing when it comes again"

    def test_octets_kept_of_all_streams_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "MAX_DENIED", 5)
        wire = Wire(core())
        calls(1, on=wire.core)
        at = 0
        for serial in range(20):
            wire.send(at, replay(1, serial))
            at += len(replay(1, serial))
        assert len(wire.core._denied) == 5
        wire.octets.clear()
        wire.send(0, replay(1, 0))
        assert set(wire.octets.values()) == {ord("x")}

    def test_what_others_could_read_otherwise_is_reset(self) -> None:
        wire = Wire(core())
        calls(1, on=wire.core)
        odd = replay(1).replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n")
        wire.send(0, fresh(2) + odd)
        wire.send(len(fresh(2)), odd)
        assert wire.actions == ["shortened", "reset"]
        assert wire.received == fresh(2)
        assert wire.resets == [len(fresh(2))]

    def test_garbage_that_may_bear_a_key_is_reset(self) -> None:
        wire = Wire(core())
        garbage = b"what is this\r\n" + sdp(key(1))
        wire.send(0, fresh(2))
        wire.send(len(fresh(2)), garbage)
        assert wire.resets == [len(fresh(2))]

    def test_a_message_that_waits_for_its_key_is_made_harmless_later(self) -> None:
        ring = load(KEYS)
        wire = Wire(core(directory=ring.directory))
        calls(1, on=wire.core)
        body = envelope(
            b"Content-Type: application/sdp\r\n\r\n" + sdp(key(1)),
            [load_identities(KEYS)["alice"]], random.Random(1),
        )  # fmt: skip
        message = invite(body, "call-9", "application/pkcs7-mime")
        half = len(message) // 2
        wire.send(0, message[:half])
        wire.send(half, message[half:] + fresh(2))
        wire.send(half, message[half:])
        assert wire.received == b""
        (ask,) = wire.core.asks()
        wire.core.answer(ask.number, ring.unwrap(ask.request))
        wire.settle()
        assert wire.received == harmless(message) + fresh(2)
        assert wire.waiting == {}

    def test_what_the_keyholder_refuses_is_harmless_too(self) -> None:
        ring = load(KEYS)
        wire = Wire(core(directory=ring.directory))
        body = envelope(b"\r\n", [load_identities(KEYS)["alice"]], random.Random(1))
        message = invite(body, "call-9", "application/pkcs7-mime")
        wire.send(0, message)
        (ask,) = wire.core.asks()
        wire.core.answer(ask.number, UnwrapAnswer(None, refused=True))
        wire.settle()
        assert wire.received == harmless(message)

    def test_where_the_policy_drops_nothing_waits(self) -> None:
        wire = Wire(core(Remedy.DROP))
        calls(1, on=wire.core)
        wire.send(0, replay(1)[:300])
        assert len(wire.received) == 300
        wire.send(300, replay(1)[300:] + fresh(2))
        assert wire.actions == ["accepted", "dropped"]

    def test_a_denial_that_is_dropped_takes_its_neighbours_along(self) -> None:
        """Two policies on one stream: what one of them drops must not pass with what the other changes."""
        drops, changes = Policy(name="drops"), Policy(on_deny_tcp=Remedy.NEUTRALISE)
        policies = PolicyList(changes, ((Selector(method=("UPDATE",)), drops),))
        wire = Wire(assemble(store=MemoryStore(), secret=REPLAY_SECRET, policies=policies))
        calls(1, on=wire.core)
        wire.send(0, replay(1) + replay(1, 1).replace(b"INVITE", b"UPDATE"))
        assert wire.actions == ["dropped"]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("remedy", [Remedy.DROP, Remedy.RESET])
def test_no_replay_is_ever_whole_however_it_is_cut_repeated_and_disordered(seed: int, remedy: Remedy) -> None:
    wire, sent, *_ = disordered(random.Random(seed), remedy)
    for at in range(len(wire.received), len(sent), 500):
        wire.send(at, sent[at : at + 500], 1)
        wire.send(len(wire.received), sent[len(wire.received) :][:500], 1)
    assert replays_in(wire.received) == 0


class TestResets:
    def test_the_recipients_end_is_closed_where_the_replay_would_be_whole(self) -> None:
        wire = Wire(core(Remedy.RESET))
        calls(1, on=wire.core)
        message = fresh(2) + replay(1)
        wire.send(0, message[:-10])
        for _ in range(3):
            wire.send(len(message) - 10, message[-10:])
        assert wire.resets == [len(message) - 10] * 2
        assert wire.received == message[:-10]

    def test_what_stands_before_it_goes_on(self) -> None:
        wire = Wire(core(Remedy.RESET))
        calls(1, on=wire.core)
        wire.send(0, fresh(2) + replay(1))
        assert wire.actions == ["shortened"]
        assert wire.received == fresh(2)


def settled(*denials: Denial, verdict: Verdict = Verdict.DENY, start: int = 0, floor: int = 0) -> Settled:
    return Settled(1, verdict, (), (), denials, start, floor)


class TestDatagrams:
    @staticmethod
    def denied(packet: bytes, made: Pipeline) -> Action:
        calls(1, on=made)
        tape = Tape(number=100)
        assert made.feed(tape.frame(packet)) is None
        (done,) = made.settle()
        return remedy(packet, done)

    def test_dropped(self) -> None:
        assert self.denied(udp(BOB, ALICE, replay(1)), core(Remedy.DROP)) == Action("dropped")

    def test_answered(self) -> None:
        action = self.denied(udp(BOB, ALICE, replay(1)), core(Remedy.RESPOND))
        assert action.how == "dropped"
        assert action.refuse is not None
        assert action.refuse.reason == "key-reused"
        assert action.refuse.message is not None
        assert action.refuse.message.call_id == "replay-1-0"

    def test_made_harmless(self) -> None:
        action = self.denied(udp(BOB, ALICE, replay(1)), core())
        assert action.how == "neutralised"
        carrier = Carrier.read(action.packet or b"")
        assert carrier is not None
        assert carrier.payload == harmless(replay(1))

    def test_what_others_could_read_otherwise_is_dropped(self) -> None:
        odd = replay(1).replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n")
        assert self.denied(udp(BOB, ALICE, odd), core()) == Action("dropped")

    def test_in_a_tunnel_it_is_dropped(self) -> None:
        packet = ipv4("198.51.100.1", "198.51.100.2", 4, udp(BOB, ALICE, replay(1)))
        assert self.denied(packet, core()) == Action("dropped")
        assert self.denied(packet, core(Remedy.RESPOND)).refuse is not None

    def test_what_is_no_message_is_dropped_and_not_answered(self) -> None:
        cut = udp(BOB, ALICE, fresh(2))[:-10]
        assert self.denied(cut, core()) == Action("dropped")
        assert self.denied(cut, core(Remedy.RESPOND)).refuse is None


def test_a_packet_that_was_not_denied_goes_on_as_it_is() -> None:
    packet = tcp(BOB, ALICE, 1, b"INVITE")
    assert remedy(packet, settled(verdict=Verdict.ACCEPT)) == Action("accepted")


def test_octets_of_what_is_forgotten_are_overwritten() -> None:
    packet = tcp(BOB, ALICE, 1, b"INVITE")
    action = remedy(packet, settled(verdict=Verdict.ACCEPT, start=100, floor=103))
    carrier = Carrier.read(action.packet or b"")
    assert carrier is not None
    assert carrier.payload == b"xxxITE"
    assert struct.unpack_from("!B", carrier.transport, 13) == (PSH | ACK,)
