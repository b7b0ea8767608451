"""Recordings sent again as they are, or nearly so: who sends them, and when, gives them away."""

from monitor.antireplay.ruling import Reason
from monitor.simulate.message import disguised, over_tcp, rebranched
from monitor.simulate.party import ALICE, BOB, CAROL, CHARLES
from monitor.simulate.scenarios.common import accept, establish, hang_up, refuse, renew
from monitor.simulate.scenarios.sealed import answer_for_bob, offer_for_alice
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=True)
FIRST_USE, RETRANSMISSION, REFRESH = Reason.FIRST_USE, Reason.RETRANSMISSION, Reason.REFRESH
KEY_REUSED, ENVELOPE_REUSED = Reason.KEY_REUSED, Reason.ENVELOPE_REUSED
SOURCE_CHANGED, DIALOG_ENDED, STALE = Reason.SOURCE_CHANGED, Reason.DIALOG_ENDED, Reason.STALE


@REPERTOIRE.scenario()
def verbatim(stage: Stage) -> None:
    """Charles sends Bob's recorded INVITE from his own address: at once, during the call, a minute and a
    week after.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    accept(stage, call, invite, stage.plain(ALICE))
    stage.wait(30)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    hang_up(stage, call)
    for seconds in (60, 7 * 86400):
        stage.wait(seconds)
        stage.send(invite.by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def verbatim_sealed(stage: Stage) -> None:
    """The recorded INVITE has an envelope: Charles cannot read it, nor need he. The envelope alone gives him
    away.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(offer_for_alice(stage)), FIRST_USE)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    accept(stage, call, invite, answer_for_bob(stage))
    hang_up(stage, call)
    stage.wait(60)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def verbatim_by_tcp(stage: Stage) -> None:
    """Recorded from UDP, sent again over TCP, in segments of seven octets."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, call)
    stage.send(over_tcp(invite).by(CHARLES), SOURCE_CHANGED, mss=7)
    stage.send(over_tcp(disguised(invite, stage.rng)).by(CHARLES), KEY_REUSED)


@REPERTOIRE.scenario()
def verbatim_in_fragments(stage: Stage) -> None:
    """The recorded INVITE in fragments of sixty-eight octets, last one first."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.send(invite.by(CHARLES), SOURCE_CHANGED, mtu=68, order=lambda parts: parts[::-1])


@REPERTOIRE.scenario()
def new_identifiers(stage: Stage) -> None:
    """Charles changes Call-ID, tags and branch and leaves the description alone: a call of his own with
    Bob's key.
    """
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.send(disguised(invite, stage.rng).by(CHARLES), KEY_REUSED)
    hang_up(stage, call)
    stage.wait(86400)
    stage.send(disguised(invite, stage.rng).by(CHARLES), KEY_REUSED)


@REPERTOIRE.scenario()
def new_identifiers_sealed(stage: Stage) -> None:
    """Charles changes Call-ID, tags and branch around an envelope: denied before anything is decrypted."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, offer_for_alice(stage), answer_for_bob(stage))
    hang_up(stage, call)
    stage.wait(86400)
    stage.send(disguised(invite, stage.rng).by(CHARLES), ENVELOPE_REUSED)


@REPERTOIRE.scenario()
def new_identifiers_ipv6(stage: Stage) -> None:
    """Recorded over IPv4, sent again over IPv6."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.send(disguised(invite, stage.rng).by(CHARLES.over(6), ALICE.over(6)), KEY_REUSED)
    stage.send(invite.by(CHARLES.over(6), ALICE.over(6)), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def spoofed_source(stage: Stage) -> None:
    """Charles writes Bob's address into his packets as well. The dialog is another, which is enough."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, offer_for_alice(stage), answer_for_bob(stage))
    hang_up(stage, call)
    stage.send(disguised(invite, stage.rng), ENVELOPE_REUSED)
    second = stage.call(BOB, ALICE)
    plain, _ = establish(stage, second, stage.plain(BOB), stage.plain(ALICE))
    stage.send(disguised(plain, stage.rng), KEY_REUSED)


@REPERTOIRE.scenario()
def spoofed_copy(stage: Stage) -> None:
    """With Bob's address and all identifiers copied it is a retransmission, which Alice's transaction layer
    absorbs: accepted for T, and denied after it.
    """
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.wait(5)
    stage.send(invite, RETRANSMISSION)
    stage.wait(40)
    stage.send(invite, STALE)
    stage.wait(3600)
    stage.send(invite, STALE)


@REPERTOIRE.scenario()
def outrun(stage: Stage) -> None:
    """Charles is faster than Bob's own packet. Nobody can tell the copy from the original then; but only
    one of the two gets through, and Bob's call fails for all to see.
    """
    call = stage.call(BOB, ALICE)
    invite = call.invite(stage.plain(BOB))
    stage.send(invite.by(CHARLES), FIRST_USE)
    stage.send(invite, SOURCE_CHANGED)


@REPERTOIRE.scenario()
def after_bye(stage: Stage) -> None:
    """Everything is copied, the source too, and the call is over: INVITE and re-INVITE, verbatim and
    renumbered.
    """
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    invite, _ = establish(stage, call, offer, answer)
    stage.wait(60)
    renew(stage, call, offer, answer)
    hang_up(stage, call)
    stage.wait(40)
    stage.send(invite, DIALOG_ENDED)
    stage.send(call.invite(offer), DIALOG_ENDED)
    stage.send(call.request("UPDATE", offer), DIALOG_ENDED)


@REPERTOIRE.scenario()
def after_cancel(stage: Stage) -> None:
    """Bob gave up his call. A minute later it comes again, from his address, with the next CSeq."""
    call = stage.call(BOB, ALICE)
    offer = stage.plain(BOB)
    invite = stage.send(call.invite(offer), FIRST_USE)
    stage.send(call.reply(invite, 180))
    cancel = stage.send(call.cancel(invite))
    stage.send(call.reply(cancel, 200))
    refuse(stage, call, invite, 487)
    stage.wait(60)
    stage.send(invite, DIALOG_ENDED)
    stage.send(call.invite(offer), DIALOG_ENDED)


@REPERTOIRE.scenario()
def after_busy(stage: Stage) -> None:
    """Alice was busy. A minute later the INVITE comes again, from Bob's address, with the next CSeq."""
    call = stage.call(BOB, ALICE)
    offer = stage.plain(BOB)
    invite = stage.send(call.invite(offer), FIRST_USE)
    refuse(stage, call, invite, 486)
    stage.wait(60)
    stage.send(call.invite(offer), DIALOG_ENDED)


@REPERTOIRE.scenario()
def lower_cseq(stage: Stage) -> None:
    """Bob's first INVITE comes again, spoofed, when the call's numbers have gone on by a hundred."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    invite, _ = establish(stage, call, offer, answer)
    for _ in range(100):
        stage.wait(0.5)
        update = stage.send(call.request("UPDATE", offer), REFRESH)
        stage.send(call.reply(update, 200, answer), REFRESH)
    stage.send(invite, STALE)
    stage.send(rebranched(invite, stage.rng), STALE)


@REPERTOIRE.scenario()
def answer_again(stage: Stage) -> None:
    """Bob calls again, and Charles answers with Alice's recorded 200: her key in another dialog."""
    call = stage.call(BOB, ALICE)
    _, ok = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, call)
    stage.wait(300)
    second = stage.call(BOB, ALICE)
    invite = stage.send(second.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(second.reply(invite, 200, ok.body).by(CHARLES), KEY_REUSED)
    stage.send(second.reply(invite, 183, ok.body).by(ALICE), KEY_REUSED)


@REPERTOIRE.scenario()
def answer_verbatim(stage: Stage) -> None:
    """Charles sends Alice's recorded 200 to Bob from his own address while the call is being set up."""
    call = stage.call(BOB, ALICE)
    _, ok = establish(stage, call, stage.plain(BOB), answer_for_bob(stage))
    stage.send(ok.by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def answer_after_bye(stage: Stage) -> None:
    """Alice's recorded 200, spoofed, when the call is over."""
    call = stage.call(BOB, ALICE)
    _, ok = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, call)
    stage.wait(120)
    stage.send(ok, DIALOG_ENDED)


@REPERTOIRE.scenario()
def acknowledged_offer_again(stage: Stage) -> None:
    """The key of a late offer's answer, taken from the ACK, comes back in an INVITE."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite())
    ok = stage.send(call.reply(invite, 200, stage.plain(ALICE)), FIRST_USE)
    ack = stage.send(call.ack(ok, invite, stage.plain(BOB)), FIRST_USE)
    stage.wait(60)
    stage.send(ack.by(CHARLES), SOURCE_CHANGED)
    mine = stage.call(CHARLES, ALICE)
    stage.send(mine.invite(ack.body), KEY_REUSED)


@REPERTOIRE.scenario()
def hijacked_dialog(stage: Stage) -> None:
    """Charles continues Bob's dialog from his own address: next CSeq, UPDATE and PRACK."""
    call = stage.call(BOB, ALICE)
    offer = stage.plain(BOB)
    establish(stage, call, offer, stage.plain(ALICE))
    stage.wait(60)
    stage.send(call.invite(offer).by(CHARLES), SOURCE_CHANGED)
    stage.send(call.request("UPDATE", offer).by(CHARLES), SOURCE_CHANGED)
    stage.send(call.request("PRACK", offer, RAck="1 1 INVITE").by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def forked_late(stage: Stage) -> None:
    """A copy under another branch, as a fork would be, from Bob's address but later than T."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.wait(60)
    stage.send(rebranched(invite, stage.rng), STALE)


@REPERTOIRE.scenario()
def to_somebody_else(stage: Stage) -> None:
    """Bob's recorded INVITE for Alice is sent to Carol, and by Carol to Alice."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.send(stage.call(CHARLES, CAROL).invite(invite.body), KEY_REUSED)
    stage.send(stage.call(CAROL, ALICE).invite(invite.body), KEY_REUSED)


@REPERTOIRE.scenario()
def callers_own_key_again(stage: Stage) -> None:
    """Bob's phone is broken and uses one key for two calls: the keystream would repeat, so the second is
    denied.
    """
    offer = stage.plain(BOB)
    first = stage.call(BOB, ALICE)
    establish(stage, first, offer, stage.plain(ALICE))
    hang_up(stage, first)
    stage.wait(60)
    stage.send(stage.call(BOB, ALICE).invite(offer), KEY_REUSED)
    stage.send(stage.call(BOB, CAROL).invite(offer), KEY_REUSED)


@REPERTOIRE.scenario()
def flood(stage: Stage) -> None:
    """Fifty replays of one envelope, each with identifiers of its own: none costs a private-key operation."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, offer_for_alice(stage), answer_for_bob(stage))
    for _ in range(50):
        stage.send(disguised(invite, stage.rng).by(CHARLES), ENVELOPE_REUSED)
