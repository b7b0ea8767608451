"""Kinds of calls: what their caller says, and each of those called.

Every key is drawn for its call, and stands in the same field wherever a party says its key again. A caller's
first INVITE is CSeq 1 and is challenged, so 2 is the one that goes through.
"""

from collections.abc import Callable
from dataclasses import dataclass

from parts import NOTHING, Callee, Caller, Part, sdp, sealed


@dataclass(frozen=True)
class Play:
    """A kind of call: what its caller says, and each of those called."""

    name: str
    caller: Part
    callees: tuple[Part, ...]


def _play(write: Callable[[Caller, Callee, Callee], None], callees: int = 1) -> Play:
    caller, callee, other = Caller(), Callee(), Callee()
    write(caller, callee, other)
    return Play(write.__name__.strip("_"), caller, (callee, other)[:callees])


def _hold(caller: Caller, callee: Callee, _: Callee) -> None:
    """Hold, resume, and hang up."""
    offers = sdp(), sdp("sendonly", 2), sdp(version=3)
    answers = sdp(), sdp("recvonly", 2), sdp(version=3)
    _talk(caller, callee, offers, answers)


def _sealed(caller: Caller, callee: Callee, _: Callee) -> None:
    """The same with every description in an envelope of its own; the key in them stays."""
    caller.sender, caller.recipient = "bob", "alice"
    bodies = sealed(0), sealed(1), sealed(2)
    _talk(caller, callee, bodies, bodies)


def _talk(caller: Caller, callee: Callee, offers: tuple[str, ...], answers: tuple[str, ...]) -> None:
    caller.invite(offers[0])
    callee.called()
    callee.answer(180)
    caller.receive(180, optional=True)
    callee.answer(200, answers[0])
    caller.answered()
    caller.request("ACK", 2)
    for number, (offer, answer) in enumerate(zip(offers[1:], answers[1:], strict=True), 3):
        caller.pause(100)
        caller.reinvite(number, offer)
        callee.receive("ACK", optional=True)
        callee.receive("INVITE")
        callee.reply(200, answer)
    caller.pause(100)
    caller.bye(9)
    callee.receive("ACK", optional=True)
    callee.receive("BYE")
    callee.reply(200)


def _early(caller: Caller, callee: Callee, _: Callee) -> None:
    """Reliable 183 with PRACK, UPDATE, then a re-INVITE and the BYE by the one called."""
    caller.invite(sdp(), "Supported: 100rel")
    callee.called()
    callee.answer(183, sdp(), "Require: 100rel", "RSeq: 1")
    caller.answered(183)
    caller.request("PRACK", 3, NOTHING, "RAck: 1 2 INVITE")
    callee.receive("PRACK")
    callee.reply(200)
    caller.receive(200)
    caller.request("UPDATE", 4, sdp(version=2))
    callee.receive("UPDATE")
    callee.reply(200, sdp(version=2))
    caller.receive(200)
    callee.reply_later(200, sdp(version=2))
    caller.receive(200)
    caller.request("ACK", 2)
    callee.receive("ACK")
    callee.request("INVITE", 1, sdp("sendonly", 3))
    caller.receive("INVITE")
    caller.reply(200, sdp("recvonly", 3))
    callee.receive(100, optional=True)
    callee.receive(200)
    callee.request("ACK", 1)
    caller.receive("ACK")
    callee.pause(100)
    callee.request("BYE", 2)
    caller.receive("BYE")
    caller.reply(200)
    callee.receive(200)


def _late(caller: Caller, callee: Callee, _: Callee) -> None:
    """The offer comes in the 200, its answer in the ACK."""
    caller.invite()
    callee.called()
    callee.answer(200, sdp())
    caller.answered()
    caller.request("ACK", 2, sdp())
    callee.receive("ACK")
    callee.pause(100)
    callee.request("BYE", 1)
    caller.receive("BYE")
    caller.reply(200)
    callee.receive(200)


def _cancelled(caller: Caller, callee: Callee, _: Callee) -> None:
    """The caller gives up while it rings."""
    caller.invite(sdp())
    callee.called()
    callee.answer(183, sdp())
    caller.receive(183)
    caller.cancel()
    caller.receive(200)
    _give_up(callee)
    caller.receive(487)
    caller.acknowledge_refusal()


def _give_up(callee: Callee) -> None:
    callee.receive("CANCEL")
    callee.reply(200)
    callee.reply_later(487)
    callee.receive("ACK")


def _busy(caller: Caller, callee: Callee, _: Callee) -> None:
    """The one called is busy."""
    caller.invite(sdp())
    callee.called()
    callee.answer(486)
    callee.receive("ACK")
    caller.receive(486)
    caller.acknowledge_refusal()


def _forked(caller: Caller, callee: Callee, other: Callee) -> None:
    """Two phones ring with early media; one answers, the other is cancelled."""
    caller.invite(sdp())
    for each in (callee, other):
        each.called()
        each.answer(183, sdp())
        caller.receive(183, optional=True)
    callee.pause(200)
    _answer_at_last(caller, callee)
    _give_up(other)


def _patient(caller: Caller, callee: Callee, other: Callee) -> None:
    """Two phones ring; one is busy at once, the other answers after more than 64 T1 + T4."""
    caller.invite(sdp())
    callee.called()
    callee.answer(183, sdp())
    other.called()
    other.pause(100)
    other.answer(486)
    other.receive("ACK")
    caller.receive(183)
    callee.pause(39_000)
    _answer_at_last(caller, callee)


def _serial(caller: Caller, callee: Callee, other: Callee) -> None:
    """Nobody answers the first phone; after more than 64 T1 + T4 the proxy rings the second instead."""
    caller.invite(sdp())
    other.called()
    other.answer(183, sdp())
    _give_up(other)
    callee.called()
    callee.answer(183, sdp())
    caller.receive(183)
    caller.receive(183)
    callee.pause(200)
    _answer_at_last(caller, callee)


def _answer_at_last(caller: Caller, callee: Callee) -> None:
    callee.reply_later(200, sdp())
    callee.receive("ACK")
    caller.answered()
    caller.request("ACK", 2)
    caller.reinvite(3, sdp(version=2))
    callee.receive("INVITE")
    callee.reply(200, sdp(version=2))
    callee.receive("ACK")
    caller.bye(4)
    callee.receive("BYE")
    callee.reply(200)


def _lossy(caller: Caller, callee: Callee, _: Callee) -> None:
    """A call whose every message may be lost. It is short: sipp takes a late answer for the next one."""
    _lose(caller, callee, sdp(), NOTHING)


def _lossy_late(caller: Caller, callee: Callee, _: Callee) -> None:
    """The same with a late offer."""
    _lose(caller, callee, NOTHING, sdp())


def _lose(caller: Caller, callee: Callee, offer: str, acknowledgment: str) -> None:
    caller.wait = callee.wait = 250
    caller.invite(offer)
    callee.called()
    callee.answer(183, sdp())
    caller.receive(183, optional=True)
    callee.pause(300)
    callee.answer(200, sdp())
    caller.answered()
    caller.request("ACK", 2, acknowledgment)
    caller.pause(2000)
    caller.bye(3)
    callee.receive("ACK", optional=True)
    callee.receive("BYE")
    callee.reply(200)
    callee.linger(32_000)


QUICK = (
    _play(_hold), _play(_sealed), _play(_early), _play(_late), _play(_cancelled), _play(_busy),
    _play(_forked, 2),
)  # fmt: skip
SLOW = _play(_patient, 2), _play(_serial, 2)
LOSSY = _play(_lossy), _play(_lossy_late)
