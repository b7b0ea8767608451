"""What comes of a key that is used again: calls with their media."""

from monitor.antireplay.ruling import Reason
from monitor.simulate import body
from monitor.simulate.message import disguised
from monitor.simulate.party import ALICE, BOB, CHARLES
from monitor.simulate.scenarios.common import establish, hang_up
from monitor.simulate.srtp import speech
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=True)
SPOKEN = 100
"""Packets that a party sends in a call: two seconds."""


@REPERTOIRE.scenario()
def two_time_pad(stage: Stage) -> None:
    """Alice's phone takes the caller's key for what she says, too, as some do (against RFC 4568 §7.1.2), and
    keeps its SSRC. Charles, who can open nothing, sends Bob's sealed INVITE again and then what Bob said; and
    Alice, who thinks that Bob is back, says something else under the keystream of her first call.
    """
    offer = stage.describe(BOB)
    key = offer.media[0].keys[0]
    answer = stage.describe(ALICE).changed(keys=(key,))
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.sealed(body.sdp(offer), "bob", "alice")), Reason.FIRST_USE)
    stage.send(call.reply(invite, 180))
    stage.wait(2)
    ok = call.reply(invite, 200, stage.sealed(body.sdp(answer), "alice", "bob"))
    stage.send(ok, Reason.REFLECTED)
    stage.send(call.ack(ok, invite))
    bobs, hers = stage.rng.getrandbits(32), stage.rng.getrandbits(32)
    said = speech(key, bobs, 5, SPOKEN)
    stage.talk((BOB, ALICE, said), (ALICE, BOB, speech(key, hers, 9, SPOKEN)))
    hang_up(stage, call)

    stage.wait(60)
    again = disguised(invite, stage.rng).by(CHARLES)
    stage.send(again, Reason.ENVELOPE_REUSED)
    stage.wait(2)
    sealed = stage.sealed(body.sdp(answer), "alice", "bob")
    stage.send(call.reply(again, 200, sealed, tagged="again"), Reason.KEY_REUSED)
    stage.talk((CHARLES, ALICE, said), (ALICE, BOB, speech(key, hers, 4, SPOKEN)))


@REPERTOIRE.scenario()
def key_in_the_configuration(stage: Stage) -> None:
    """Nobody attacks: Bob's phone has its key, and its SSRC, in a file. What he says in his second call is
    under the keystream of the first.
    """
    offer = stage.describe(BOB, suites=("AEAD_AES_256_GCM",))
    key, ssrc = offer.media[0].keys[0], stage.rng.getrandbits(32)
    for pitch, reason in ((5, Reason.FIRST_USE), (8, Reason.KEY_REUSED)):
        call = stage.call(BOB, ALICE)
        answer = stage.describe(ALICE, suites=("AEAD_AES_256_GCM",))
        establish(stage, call, body.sdp(offer), body.sdp(answer), reason)
        hers = speech(answer.media[0].keys[0], stage.rng.getrandbits(32), 9, SPOKEN)
        stage.talk((BOB, ALICE, speech(key, ssrc, pitch, SPOKEN)), (ALICE, BOB, hers))
        hang_up(stage, call)
        stage.wait(600)
