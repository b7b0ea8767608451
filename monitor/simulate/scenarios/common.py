"""What many calls have in common."""

from monitor.antireplay.ruling import Reason
from monitor.simulate.body import Body
from monitor.simulate.call import Call
from monitor.simulate.message import Message
from monitor.simulate.party import Party
from monitor.simulate.stage import Stage


def establish(
    stage: Stage, call: Call, offer: Body, answer: Body, reason: Reason = Reason.FIRST_USE
) -> tuple[Message, Message]:
    """A call from its INVITE to its ACK; the INVITE and the 200."""
    invite = stage.send(call.invite(offer), reason)
    return invite, accept(stage, call, invite, answer)


def accept(stage: Stage, call: Call, invite: Message, answer: Body) -> Message:
    """The callee rings and takes the call; its 200."""
    stage.send(call.reply(invite, 100))
    stage.send(call.reply(invite, 180))
    stage.wait(2)
    ok = stage.send(call.reply(invite, 200, answer), Reason.FIRST_USE)
    stage.send(call.ack(ok, invite))
    return ok


def renew(
    stage: Stage,
    call: Call,
    offer: Body,
    answer: Body,
    *,
    by: Party | None = None,
    reason: Reason = Reason.REFRESH,
    answered: Reason = Reason.REFRESH,
) -> None:
    """A re-INVITE and its 200."""
    invite = stage.send(call.invite(offer, by), reason)
    ok = stage.send(call.reply(invite, 200, answer), answered)
    stage.send(call.ack(ok, invite))


def refuse(stage: Stage, call: Call, invite: Message, status: int) -> Message:
    """A final failure without a body, and its ACK."""
    final = stage.send(call.reply(invite, status))
    stage.send(call.ack(final, invite))
    return final


def hang_up(stage: Stage, call: Call, by: Party | None = None) -> None:
    """A BYE and its 200."""
    bye = stage.send(call.request("BYE", by=by))
    stage.send(call.reply(bye, 200))
