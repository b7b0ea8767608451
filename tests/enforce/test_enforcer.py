"""Verdicts given, packets rewritten, answers counted."""

from collections.abc import Callable

import pytest
from frames import Tape, invite, sdp, udp

from monitor.antireplay.policy import Policy, Remedy
from monitor.antireplay.ruling import Verdict
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.enforce.enforcer import Enforcer
from monitor.enforce.respond import SOURCE_BURST, Response
from monitor.pipeline import Settled
from monitor.store.memory import MemoryStore

BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
REQUEST = invite(sdp("A" * 40))


class Packet:
    """A packet that remembers what was done to it."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.payload = b""

    def accept(self) -> None:
        self.done.append("accepted")

    def drop(self) -> None:
        self.done.append("dropped")

    def set_payload(self, payload: bytes, /) -> None:
        self.payload = payload


def denied(remedy: Remedy, message: bytes = REQUEST) -> tuple[bytes, Settled]:
    """A replay, and what is ruled on it."""
    core = assemble(
        store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(Policy(on_deny_udp=remedy))
    )
    tape = Tape()
    core.feed(tape.frame(udp(BOB, ALICE, REQUEST)))
    packet = udp(CHARLES, ALICE, message)
    core.feed(tape.frame(packet))
    return packet, core.settle()[-1]


@pytest.mark.parametrize(
    ("remedy", "done", "rewritten"),
    [
        (Remedy.DROP, "dropped", False),
        (Remedy.RESPOND, "dropped", False),
        (Remedy.NEUTRALISE, "accepted", True),
    ],
)
def test_a_denied_packet_gets_one_verdict_and_perhaps_other_octets(
    remedy: Remedy, done: str, rewritten: bool
) -> None:
    octets, settled = denied(remedy)
    packet, enforcer = Packet(), Enforcer()
    verdict = enforcer.give(packet, octets, settled, 0)
    assert packet.done == [done]
    assert verdict is (Verdict.ACCEPT if done == "accepted" else Verdict.DENY)
    assert bool(packet.payload) is rewritten
    assert enforcer.rewritten["neutralised"] == rewritten


@pytest.mark.parametrize(
    ("send", "message", "result"),
    [
        (lambda response: True, REQUEST, "sent"),
        (lambda response: False, REQUEST, "failed"),
        (lambda response: True, REQUEST.replace(b"INVITE", b"ACK"), "unanswerable"),
    ],
)
def test_what_became_of_an_answer_is_counted(
    send: Callable[[Response], bool], message: bytes, result: str
) -> None:
    enforcer = Enforcer(send)
    octets, settled = denied(Remedy.RESPOND, message)
    packet = Packet()
    enforcer.give(packet, octets, settled, 0)
    assert packet.done == ["dropped"]
    assert +enforcer.responses == {result: 1}


def test_answers_to_one_source_are_limited_and_its_packets_are_dropped_all_the_same() -> None:
    sent: list[Response] = []

    def send(response: Response) -> bool:
        sent.append(response)
        return True

    enforcer = Enforcer(send)
    octets, settled = denied(Remedy.RESPOND)
    packets = [Packet() for _ in range(SOURCE_BURST + 5)]
    for packet in packets:
        enforcer.give(packet, octets, settled, 0)
    assert len(sent) == SOURCE_BURST
    assert enforcer.responses["limited"] == 5
    assert all(packet.done == ["dropped"] for packet in packets)
