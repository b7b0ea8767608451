"""Calls that change while they last: refreshed, held, moved, given new keys."""

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.simulate import body, sdp
from monitor.simulate.party import ALICE, BOB, CHARLES
from monitor.simulate.scenarios.common import establish, hang_up, refuse, renew
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=False)
FIRST_USE, REFRESH = Reason.FIRST_USE, Reason.REFRESH


@REPERTOIRE.scenario()
def session_refresh(stage: Stage) -> None:
    """Session timers (RFC 4028): the same descriptions every fifteen minutes, by re-INVITE and by UPDATE."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    for _ in range(3):
        stage.wait(900)
        renew(stage, call, offer, answer)
    stage.wait(900)
    update = stage.send(call.request("UPDATE", offer), REFRESH)
    stage.send(call.reply(update, 200, answer), REFRESH)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def long_call(stage: Stage) -> None:
    """A hundred refreshes: CSeq numbers walk far beyond any window."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    for _ in range(100):
        stage.wait(90)
        update = stage.send(call.request("UPDATE", offer), REFRESH)
        stage.send(call.reply(update, 200, answer), REFRESH)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def hold(stage: Stage) -> None:
    """Bob holds by sendonly and resumes, then holds in the old way, with address 0.0.0.0, and resumes."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.describe(ALICE)
    establish(stage, call, body.sdp(offer), body.sdp(answer))
    stage.wait(30)
    held = offer.direction("sendonly")
    renew(stage, call, body.sdp(held), body.sdp(answer.direction("recvonly")))
    stage.wait(120)
    renew(stage, call, body.sdp(held.direction("sendrecv")), body.sdp(answer))
    stage.wait(30)
    renew(stage, call, body.sdp(offer.changed(connection="0.0.0.0")), body.sdp(answer))
    stage.wait(120)
    renew(stage, call, body.sdp(offer), body.sdp(answer))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def callee_reinvite(stage: Stage) -> None:
    """Alice holds and resumes: her CSeq numbers have nothing to do with Bob's."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.describe(ALICE)
    establish(stage, call, body.sdp(offer), body.sdp(answer))
    stage.wait(60)
    held = answer.direction("sendonly")
    renew(stage, call, body.sdp(held), body.sdp(offer.direction("recvonly")), by=ALICE)
    stage.wait(60)
    renew(stage, call, body.sdp(held.direction("sendrecv")), body.sdp(offer), by=ALICE)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def rekey(stage: Stage) -> None:
    """Bob's media moves to another port, and he brings a new key as he must (RFC 4568 §7.1.4); so does
    Alice.
    """
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.describe(ALICE)
    establish(stage, call, body.sdp(offer), body.sdp(answer))
    stage.wait(60)
    renew(
        stage,
        call,
        body.sdp(offer.changed(keys=(sdp.Key.fresh(stage.rng),), port=41010)),
        body.sdp(answer.changed(keys=(sdp.Key.fresh(stage.rng),), port=40010)),
        reason=FIRST_USE,
        answered=FIRST_USE,
    )
    hang_up(stage, call)


@REPERTOIRE.scenario()
def glare(stage: Stage) -> None:
    """Both re-INVITE at once, both get 491, both try again (RFC 3261 §14.1)."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(60)
    one = stage.send(call.invite(offer), REFRESH)
    other = stage.send(call.invite(answer, by=ALICE), REFRESH)
    refuse(stage, call, one, 491)
    refuse(stage, call, other, 491)
    stage.wait(1.5)
    renew(stage, call, answer, offer, by=ALICE)
    stage.wait(1.5)
    renew(stage, call, offer, answer)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def failed_reinvite(stage: Stage) -> None:
    """Alice refuses Bob's re-INVITE with 488. The call goes on as it was, and is refreshed long after."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(60)
    refuse(stage, call, stage.send(call.invite(offer), REFRESH), 488)
    stage.wait(600)
    renew(stage, call, offer, answer)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def cancelled_reinvite(stage: Stage) -> None:
    """Bob cancels a re-INVITE; that ends the re-INVITE and not the call."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(60)
    invite = stage.send(call.invite(offer), REFRESH)
    stage.send(call.reply(invite, 100))
    cancel = stage.send(call.cancel(invite))
    stage.send(call.reply(cancel, 200))
    refuse(stage, call, invite, 487)
    stage.wait(600)
    renew(stage, call, offer, answer)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def forged_bye(stage: Stage) -> None:
    """Charles sends a BYE with the identifiers of Bob's call. He is at no address of that call, so it lives
    on.
    """
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(60)
    stage.send(call.request("BYE").by(CHARLES))
    stage.wait(600)
    renew(stage, call, offer, answer)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def nat_rebinding(stage: Stage) -> None:
    """Bob's NAT gives him another port in the middle of the call; the address stays."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(300)
    elsewhere = BOB.at(port=31337)
    invite = stage.send(call.invite(offer).by(elsewhere), REFRESH)
    ok = stage.send(call.reply(invite, 200, answer), REFRESH)
    stage.send(call.ack(ok, invite))
    hang_up(stage, call)


@REPERTOIRE.scenario(Policy(moves=True))
def handover(stage: Stage) -> None:
    """Bob's phone goes from one network to another and says so by re-INVITE, with the old key; this policy
    allows moves, and tells of them.
    """
    call = stage.call(BOB, ALICE)
    offer, answer = stage.describe(BOB), stage.plain(ALICE)
    establish(stage, call, body.sdp(offer), answer)
    stage.wait(120)
    elsewhere = BOB.at(102)
    moved = body.sdp(offer.changed(party=elsewhere))
    invite = stage.send(call.invite(moved, by=elsewhere), Reason.MOVED, "moved", "rekey-missing")
    ok = stage.send(call.reply(invite, 200, answer), REFRESH)
    stage.send(call.ack(ok, invite))
    stage.wait(120)
    renew(stage, call, moved, answer, by=elsewhere)


@REPERTOIRE.scenario(Policy(prefix_ipv6=64))
def privacy_address(stage: Stage) -> None:
    """Bob's host takes a new temporary IPv6 address of its network (RFC 8981); the policy binds 64 bits."""
    bob, alice = BOB.over(6), ALICE.over(6)
    call = stage.call(bob, alice)
    offer, answer = stage.plain(bob), stage.plain(alice)
    establish(stage, call, offer, answer)
    stage.wait(300)
    elsewhere = bob.at(0xBEEF)
    renew(stage, call, offer, answer, by=elsewhere)
