"""Calls whose descriptions are signed and encrypted (RFC 3261 §23)."""

from dataclasses import replace

from monitor.antireplay.ruling import Reason
from monitor.exceptions import ExceptionName
from monitor.simulate import body, cms
from monitor.simulate.body import Body
from monitor.simulate.party import ALICE, BOB, DAVE
from monitor.simulate.scenarios.common import accept, establish, hang_up, refuse, renew
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=False)
FIRST_USE, RETRANSMISSION, REFRESH = Reason.FIRST_USE, Reason.RETRANSMISSION, Reason.REFRESH


def offer_for_alice(stage: Stage) -> Body:
    """Bob's description, signed by him and sealed for Alice."""
    return stage.sealed(stage.plain(BOB), "bob", "alice")


def answer_for_bob(stage: Stage) -> Body:
    """Alice's description, signed by her and sealed for Bob."""
    return stage.sealed(stage.plain(ALICE), "alice", "bob")


@REPERTOIRE.scenario()
def sealed_call(stage: Stage) -> None:
    """Bob's INVITE and Alice's 200 bear envelopes; each key is in the other's hands alone. Copies and a 401
    retry included.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(offer_for_alice(stage)), FIRST_USE)
    stage.wait(0.5)
    stage.send(invite, RETRANSMISSION)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    ok = accept(stage, call, again, answer_for_bob(stage))
    stage.wait(0.5)
    stage.send(ok, RETRANSMISSION)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_binary_and_base64(stage: Stage) -> None:
    """Two calls: one with binary transfer encoding and the signature inside (opaque), one with base64 and
    AES-256.
    """
    for transfer, detached, length in (("binary", False, 16), ("base64", True, 32)):
        call = stage.call(BOB, ALICE)
        offer = stage.sealed(
            stage.plain(BOB),
            "bob",
            "alice",
            transfer="base64" if transfer == "base64" else "binary",
            detached=detached,
            key_length=length,
        )
        establish(stage, call, offer, answer_for_bob(stage))
        hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_streamed(stage: Stage) -> None:
    """Bob's S/MIME library writes BER with indefinite lengths, and does so again in the 401 retry."""
    call = stage.call(BOB, ALICE)
    sealed = offer_for_alice(stage)
    blob = cms.indefinite(body.blob_of(sealed), stage.rng)
    offer = body.smime(blob, "enveloped-data", "binary")
    invite = stage.send(call.invite(offer), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, answer_for_bob(stage))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_anew(stage: Stage) -> None:
    """Every refresh of the call seals the same description in a new envelope."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, stage.sealed(offer, "bob", "alice"), stage.sealed(answer, "alice", "bob"))
    for _ in range(2):
        stage.wait(900)
        renew(
            stage,
            call,
            stage.sealed(offer, "bob", "alice"),
            stage.sealed(answer, "alice", "bob"),
        )
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_unsigned(stage: Stage) -> None:
    """Encrypted only, for Alice and for Bob's own archive."""
    call = stage.call(BOB, ALICE)
    recipients = [stage.identities[name] for name in ("alice", "bob")]
    offer = body.sealed(stage.plain(BOB), recipients, stage.rng)
    establish(stage, call, offer, answer_for_bob(stage))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def signed_only(stage: Stage) -> None:
    """Signed and not encrypted: the key is there to be read, and is used once all the same."""
    call = stage.call(BOB, ALICE)
    offer = body.signed(stage.plain(BOB), stage.identities["bob"], stage.time // 1_000_000_000, stage.rng)
    invite = stage.send(call.invite(offer), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_beside_plain(stage: Stage) -> None:
    """An envelope in a multipart/mixed body beside a plain description without keys."""
    call = stage.call(BOB, ALICE)
    described = stage.describe(BOB)
    bare = replace(described.media[0], profile="RTP/AVP", keys=())
    offer = body.mixed(
        (body.sdp(replace(described, media=(bare,))), stage.sealed(body.sdp(described), "bob", "alice")),
        stage.rng,
    )
    invite = stage.send(call.invite(offer), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, answer_for_bob(stage))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sealed_for_a_stranger(stage: Stage) -> None:
    """Bob calls Dave, whose private key is not here: the envelope alone is ruled on."""
    call = stage.call(BOB, DAVE)
    offer = stage.sealed(stage.plain(BOB), "bob", "dave")
    invite = stage.send(call.invite(offer), FIRST_USE, exception=ExceptionName.UNDECRYPTABLE)
    stage.wait(0.5)
    stage.send(invite, RETRANSMISSION, exception=ExceptionName.UNDECRYPTABLE)
    accept(stage, call, invite, stage.plain(DAVE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sixty_kilobytes_udp(stage: Stage) -> None:
    """A sealed INVITE of 60 kB, in some forty fragments; its copy arrives with the fragments in disorder."""
    call = stage.call(BOB, ALICE)
    offer = stage.sealed(stage.plain(BOB).padded(58_000), "bob", "alice")
    invite = stage.send(call.invite(offer), FIRST_USE)
    stage.wait(0.5)
    stage.send(invite, RETRANSMISSION, order=lambda parts: stage.rng.sample(parts, len(parts)))
    accept(stage, call, invite, answer_for_bob(stage))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sixty_kilobytes_udp_ipv6(stage: Stage) -> None:
    """A sealed INVITE of 60 kB over IPv6, in some forty fragments, retransmitted."""
    bob, alice = BOB.over(6), ALICE.over(6)
    call = stage.call(bob, alice)
    offer = stage.sealed(stage.plain(bob).padded(58_000), "bob", "alice")
    invite = stage.send(call.invite(offer), FIRST_USE)
    stage.wait(0.5)
    stage.send(invite, RETRANSMISSION)
    accept(stage, call, invite, stage.sealed(stage.plain(alice), "alice", "bob"))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def sixty_kilobytes_tcp(stage: Stage) -> None:
    """A sealed INVITE of 60 kB over TCP, in some forty segments."""
    call = stage.call(BOB, ALICE, transport="tcp")
    offer = stage.sealed(stage.plain(BOB).padded(58_000), "bob", "alice")
    invite = stage.send(call.invite(offer), FIRST_USE)
    accept(stage, call, invite, answer_for_bob(stage))
    hang_up(stage, call)
