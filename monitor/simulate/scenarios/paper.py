"""The attack that the monitor is made for, told in the order in which the demonstration shows it."""

from monitor.antireplay.ruling import Reason
from monitor.simulate import body, cms
from monitor.simulate.message import disguised
from monitor.simulate.party import ALICE, BOB, CHARLES
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=True)
OFFER = 4600
"""Octets of Bob's description: far more than the 4016 that netfilterqueue copies of a packet by itself."""


@REPERTOIRE.scenario()
def replay_attack(stage: Stage) -> None:
    """Bob calls Alice with a sealed key. Charles sends the recording from his own address, then in disguise,
    then again when the monitor was restarted.
    """
    call = stage.call(BOB, ALICE)
    offer = stage.sealed(stage.plain(BOB).padded(OFFER), "bob", "alice")
    invite = stage.send(
        call.invite(offer),
        Reason.FIRST_USE,
        note="Bob calls Alice: an INVITE with his SRTP key, signed and sealed by S/MIME, in UDP fragments",
    )
    stage.wait(0.5)
    stage.send(invite, Reason.RETRANSMISSION, note="no answer yet: Bob's phone repeats the INVITE")
    challenged = stage.send(call.reply(invite, 401), note="Alice's phone asks for credentials")
    stage.send(call.ack(challenged, invite))
    again = stage.send(
        call.retry(invite, challenged),
        Reason.REFRESH,
        note="Bob's phone tries again with credentials: same key, next CSeq",
    )
    stage.send(call.reply(again, 180), note="it rings")
    answer = stage.sealed(stage.plain(ALICE), "alice", "bob")
    ok = stage.send(call.reply(again, 200, answer), Reason.FIRST_USE, note="Alice answers with a key of hers")
    stage.send(call.ack(ok, again))
    stage.wait(3)
    bye = stage.send(call.request("BYE"), note="they have talked, Bob hangs up")
    stage.send(call.reply(bye, 200))

    stage.wait(5)
    stage.send(
        again.by(CHARLES),
        Reason.SOURCE_CHANGED,
        note="Charles, who recorded all of it, sends the same octets from his own address",
    )
    stage.wait(1)
    blob = cms.with_attribute(body.blob_of(offer), stage.rng)
    reencoded = body.smime(cms.indefinite(blob, stage.rng), "enveloped-data", "base64", 60)
    stage.send(
        disguised(again.bearing(reencoded), stage.rng).by(CHARLES),
        Reason.ENVELOPE_REUSED,
        note="Charles writes the envelope in BER and base64, and changes Call-ID, tags and branch",
    )
    stage.restart()
    stage.wait(2)
    stage.send(
        disguised(again.bearing(reencoded), stage.rng).by(CHARLES),
        Reason.ENVELOPE_REUSED,
        note="Charles tries once more",
    )
