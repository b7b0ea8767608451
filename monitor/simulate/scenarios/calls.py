"""Calls as they are made every day: each repeats keys, and none may be denied."""

import base64
from dataclasses import replace

from monitor.antireplay.ruling import Reason
from monitor.simulate import body, sdp
from monitor.simulate.party import ALICE, BOB
from monitor.simulate.scenarios.common import accept, establish, hang_up, refuse
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=False)
FIRST_USE, RETRANSMISSION, REFRESH, FORKED = (
    Reason.FIRST_USE,
    Reason.RETRANSMISSION,
    Reason.REFRESH,
    Reason.FORKED,
)


@REPERTOIRE.scenario()
def plain_call(stage: Stage) -> None:
    """Bob calls Alice, each brings a key of their own, and Bob hangs up."""
    call = stage.call(BOB, ALICE)
    establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    stage.wait(60)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def plain_call_ipv6(stage: Stage) -> None:
    """Bob calls Alice over IPv6, and Alice hangs up."""
    bob, alice = BOB.over(6), ALICE.over(6)
    call = stage.call(bob, alice)
    establish(stage, call, stage.plain(bob), stage.plain(alice))
    hang_up(stage, call, by=alice)


@REPERTOIRE.scenario()
def unprotected_call(stage: Stage) -> None:
    """A call without SRTP and one with DTLS-SRTP, whose fingerprint comes again in each call: nothing to
    rule on.
    """
    for profile, attributes in (
        ("RTP/AVP", ()),
        ("UDP/TLS/RTP/SAVP", ("a=setup:actpass", f"a=fingerprint:sha-256 {':'.join(['A7'] * 32)}")),
        ("UDP/TLS/RTP/SAVP", ("a=setup:actpass", f"a=fingerprint:sha-256 {':'.join(['A7'] * 32)}")),
    ):
        call = stage.call(BOB, ALICE)
        described = stage.describe(BOB)
        media = replace(described.media[0], profile=profile, attributes=attributes, keys=())
        invite = stage.send(call.invite(body.sdp(replace(described, media=(media,)))))
        refuse(stage, call, invite, 486)


@REPERTOIRE.scenario()
def retransmission(stage: Stage) -> None:
    """Alice is slow: Bob sends his INVITE again after 0.5, 1.5 and 3.5 seconds. His ACK is lost, so she
    repeats her 200.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    for pause in (0.5, 1.0, 2.0):
        stage.wait(pause)
        stage.send(invite, RETRANSMISSION)
    ok = accept(stage, call, invite, stage.plain(ALICE))
    for pause in (0.5, 1.0, 2.0, 4.0):
        stage.wait(pause)
        stage.send(ok, RETRANSMISSION)
        stage.send(call.ack(ok, invite))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def late_copy(stage: Stage) -> None:
    """A copy of the first INVITE is overtaken on its way by the one with credentials."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    stage.send(invite, RETRANSMISSION)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def digest_retry(stage: Stage) -> None:
    """Alice's side asks for credentials; Bob repeats the INVITE with them, the next CSeq and the same key."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def slow_credentials(stage: Stage) -> None:
    """Bob looks for his password for two minutes: the retry after 401 comes long after T, and in a new
    transaction.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    challenged = refuse(stage, call, invite, 401)
    stage.wait(120)
    again = stage.send(call.retry(invite, challenged), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def session_interval_retry(stage: Stage) -> None:
    """The session interval is too small (422): Bob tries again with a longer one and the same key (RFC
    4028).
    """
    call = stage.call(BOB, ALICE)
    offer = stage.plain(BOB)
    invite = stage.send(call.invite(offer, Session_Expires="60"), FIRST_USE)
    final = stage.send(call.reply(invite, 422, Min_SE="1800"))
    stage.send(call.ack(final, invite))
    again = stage.send(call.invite(offer, Session_Expires="1800", Min_SE="1800"), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def early_media(stage: Stage) -> None:
    """Alice's answer comes in the 183, again in a copy of it, and once more in the 200."""
    call = stage.call(BOB, ALICE)
    answer = stage.plain(ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.reply(invite, 100))
    progress = stage.send(call.reply(invite, 183, answer), FIRST_USE)
    stage.wait(0.5)
    stage.send(progress, RETRANSMISSION)
    stage.wait(5)
    ok = stage.send(call.reply(invite, 200, answer), REFRESH)
    stage.send(call.ack(ok, invite))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def long_ring(stage: Stage) -> None:
    """Alice's phone rings for three minutes after its 183 with the answer: the 200 that repeats it is not
    late.
    """
    call = stage.call(BOB, ALICE)
    answer = stage.plain(ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.reply(invite, 183, answer), FIRST_USE)
    for _ in range(3):
        stage.wait(60)
        stage.send(call.reply(invite, 180))
    ok = stage.send(call.reply(invite, 200, answer), REFRESH)
    stage.send(call.ack(ok, invite))
    stage.wait(0.5)
    stage.send(ok, RETRANSMISSION)
    stage.send(call.ack(ok, invite))
    hang_up(stage, call, by=ALICE)


@REPERTOIRE.scenario()
def late_offer(stage: Stage) -> None:
    """Bob's INVITE is empty; Alice offers in her 200 and Bob answers in his ACK. Both come again."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite())
    stage.send(call.reply(invite, 180))
    ok = stage.send(call.reply(invite, 200, stage.plain(ALICE)), FIRST_USE)
    ack = stage.send(call.ack(ok, invite, stage.plain(BOB)), FIRST_USE)
    stage.wait(0.5)
    stage.send(ok, RETRANSMISSION)
    stage.send(ack, RETRANSMISSION)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def prack_update(stage: Stage) -> None:
    """Reliable provisional responses (RFC 3262, RFC 3311): both keys come in PRACK, UPDATE and their
    answers.
    """
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    invite = stage.send(call.invite(offer), FIRST_USE)
    stage.send(call.reply(invite, 183, answer, Require="100rel", RSeq="1"), FIRST_USE)
    prack = stage.send(call.request("PRACK", offer, RAck="1 1 INVITE"), REFRESH)
    stage.send(call.reply(prack, 200, answer), REFRESH)
    update = stage.send(call.request("UPDATE", offer), REFRESH)
    stage.send(call.reply(update, 200, answer), REFRESH)
    stage.wait(45)
    ok = stage.send(call.reply(invite, 200, answer), REFRESH)
    stage.send(call.ack(ok, invite))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def cancelled(stage: Stage) -> None:
    """Bob gives up while it rings, and calls again later with a new key."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.reply(invite, 180))
    stage.wait(8)
    cancel = stage.send(call.cancel(invite))
    stage.send(call.reply(cancel, 200))
    refuse(stage, call, invite, 487)
    stage.wait(90)
    second = stage.call(BOB, ALICE)
    establish(stage, second, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, second)


@REPERTOIRE.scenario()
def busy_then_again(stage: Stage) -> None:
    """Alice is busy. Bob calls again a minute later, a new call with a new key."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    refuse(stage, call, invite, 486)
    stage.wait(60)
    second = stage.call(BOB, ALICE)
    establish(stage, second, stage.plain(BOB), stage.plain(ALICE))
    hang_up(stage, second)


@REPERTOIRE.scenario()
def audio_and_video(stage: Stage) -> None:
    """Two m-lines with two suites each: four keys in the offer, two in the answer; then again after 401."""
    call = stage.call(BOB, ALICE)
    suites = ("AES_CM_128_HMAC_SHA1_80", "AES_256_CM_HMAC_SHA1_80")
    offer = body.sdp(stage.describe(BOB, kinds=("audio", "video"), suites=suites))
    answer = body.sdp(stage.describe(ALICE, kinds=("audio", "video")))
    invite = stage.send(call.invite(offer), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, answer)
    hang_up(stage, call)


@REPERTOIRE.scenario()
def session_level_key(stage: Stage) -> None:
    """A key at session level with lifetime and master key identifier, for both m-lines."""
    call = stage.call(BOB, ALICE)
    described = stage.describe(BOB, kinds=("audio", "video"))
    key = replace(sdp.Key.fresh(stage.rng), lifetime="2^20", mki="1:4")
    media = tuple(replace(each, keys=()) for each in described.media)
    establish(stage, call, body.sdp(replace(described, media=media, keys=(key,))), stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def tcp_call(stage: Stage) -> None:
    """A call over TCP, Alice's 180 and 200 in one segment and a 401 retry in segments of 100 octets."""
    call = stage.call(BOB, ALICE, transport="tcp")
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH, mss=100)
    ok = call.reply(again, 200, stage.plain(ALICE))
    stage.send_together((call.reply(again, 100), None), (call.reply(again, 180), None), (ok, FIRST_USE))
    stage.send(call.ack(ok, again))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def compact_names(stage: Stage) -> None:
    """A phone that writes compact header names, retransmitted."""
    call = stage.call(BOB, ALICE)
    invite = call.invite(stage.plain(BOB))
    stage.send(invite.compact(), FIRST_USE)
    stage.wait(0.5)
    stage.send(invite.compact(), RETRANSMISSION)
    accept(stage, call, invite, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def mikey_call(stage: Stage) -> None:
    """The key comes in a MIKEY message (RFC 4567), and again after 401."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(mikey(stage, stage.rng.randbytes(180))), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


def mikey(stage: Stage, blob: bytes) -> body.Body:
    """A description of Bob's with a MIKEY message in place of a crypto line; its octets mean nothing."""
    described = stage.describe(BOB)
    attribute = f"a=key-mgmt:mikey {base64.b64encode(blob).decode()}"
    media = replace(described.media[0], keys=(), attributes=(attribute,))
    return body.sdp(replace(described, media=(media,)))


@REPERTOIRE.scenario()
def gzip_body(stage: Stage) -> None:
    """Bob's phone compresses its SDP (Content-Encoding: gzip), and repeats it after 401."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(body.compressed(stage.plain(BOB), "gzip")), FIRST_USE)
    again = stage.send(call.retry(invite, refuse(stage, call, invite, 401)), REFRESH)
    accept(stage, call, again, stage.plain(ALICE))
    hang_up(stage, call)


@REPERTOIRE.scenario()
def multipart_offer(stage: Stage) -> None:
    """The SDP is one part of a multipart/mixed body beside a text, retransmitted."""
    call = stage.call(BOB, ALICE)
    offer = body.mixed((body.note("Calling about Thursday.\r\n"), stage.plain(BOB)), stage.rng)
    invite = stage.send(call.invite(offer), FIRST_USE)
    stage.wait(0.5)
    stage.send(invite, RETRANSMISSION)
    accept(stage, call, invite, stage.plain(ALICE))
    hang_up(stage, call)
