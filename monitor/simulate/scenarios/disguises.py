"""Recordings in other clothes: the same key or envelope, written another way, in a call of the attacker's
own.
"""

import base64
from collections.abc import Callable
from dataclasses import replace

from monitor.antireplay.ruling import Reason
from monitor.simulate import body, cms, sdp
from monitor.simulate.body import Body
from monitor.simulate.party import ALICE, BOB, CHARLES
from monitor.simulate.scenarios.calls import mikey
from monitor.simulate.scenarios.common import establish, hang_up
from monitor.simulate.scenarios.sealed import answer_for_bob, offer_for_alice
from monitor.simulate.stage import Repertoire, Stage

REPERTOIRE = Repertoire(attack=True)
KEY_REUSED, ENVELOPE_REUSED = Reason.KEY_REUSED, Reason.ENVELOPE_REUSED


def _record(stage: Stage, *recipients: str) -> bytes:
    """Bob's call to Alice, with an envelope; what Charles recorded of it."""
    offer = stage.sealed(stage.plain(BOB), "bob", *(recipients or ("alice",)))
    call = stage.call(BOB, ALICE)
    establish(stage, call, offer, answer_for_bob(stage))
    hang_up(stage, call)
    stage.wait(600)
    return body.blob_of(offer)


def _try(stage: Stage, *bodies: Body, reason: Reason) -> None:
    for each in bodies:
        stage.send(stage.call(CHARLES, ALICE).invite(each), reason)
        stage.wait(1)


def _try_blobs(stage: Stage, *blobs: bytes) -> None:
    sealed = (body.smime(blob, "enveloped-data", "binary") for blob in blobs)
    _try(stage, *sealed, reason=ENVELOPE_REUSED)


def _record_plain(stage: Stage, **choice: tuple[str, ...]) -> sdp.Description:
    """Bob's call to Alice, in plain; what Charles recorded of it."""
    described = stage.describe(BOB, **choice)
    call = stage.call(BOB, ALICE)
    establish(stage, call, body.sdp(described), stage.plain(ALICE))
    hang_up(stage, call)
    stage.wait(600)
    return replace(described, party=CHARLES)


def _try_key(stage: Stage, recorded: sdp.Description, change: Callable[[sdp.Key], sdp.Key]) -> None:
    key = change(recorded.media[0].keys[0])
    _try(stage, body.sdp(recorded.changed(keys=(key,))), reason=KEY_REUSED)


@REPERTOIRE.scenario()
def reencoded(stage: Stage) -> None:
    """The DER of the envelope becomes BER, with indefinite lengths and octet strings in pieces, twice
    differently.
    """
    blob = _record(stage)
    _try_blobs(stage, cms.indefinite(blob, stage.rng), cms.indefinite(blob, stage.rng))


@REPERTOIRE.scenario()
def other_transfer_encoding(stage: Stage) -> None:
    """Binary becomes base64, in lines of 76, of 4, in one line, with bare line feeds."""
    blob = _record(stage)
    _try(
        stage,
        body.smime(blob, "enveloped-data", "base64", 76),
        body.smime(blob, "enveloped-data", "base64", 4),
        body.smime(blob, "enveloped-data", "base64", 4 * len(blob)),
        body.smime(blob, "enveloped-data", "base64", 64, "\n"),
        reason=ENVELOPE_REUSED,
    )


@REPERTOIRE.scenario()
def unprotected_attributes(stage: Stage) -> None:
    """Attributes that no signature covers are added to the envelope."""
    blob = _record(stage)
    _try_blobs(stage, cms.with_attribute(blob, stage.rng), cms.with_attribute(blob, stage.rng))


@REPERTOIRE.scenario()
def added_recipient(stage: Stage) -> None:
    """A recipient is put in front of Alice."""
    blob = _record(stage)
    _try_blobs(stage, cms.with_recipient(blob, stage.rng))


@REPERTOIRE.scenario()
def stripped_recipients(stage: Stage) -> None:
    """The envelope was for Alice, Bob and Dave; all but one are taken off, each in turn."""
    blob = _record(stage, "alice", "bob", "dave")
    serials = (stage.identities[name].issuer_and_serial[1] for name in ("alice", "bob", "dave"))
    _try_blobs(stage, *(cms.only_recipient(blob, serial) for serial in serials))


@REPERTOIRE.scenario()
def reordered_recipients(stage: Stage) -> None:
    """The envelope was for Alice and Bob; now it is for Bob and Alice."""
    blob = _record(stage, "alice", "bob")
    _try_blobs(stage, cms.reordered_recipients(blob, stage.rng))


@REPERTOIRE.scenario()
def foreign_recipients(stage: Stage) -> None:
    """All wrapped keys are replaced by random octets: the encrypted content is still the recorded one."""
    blob = _record(stage)
    _try_blobs(stage, cms.foreign_recipients(blob, stage.rng))


@REPERTOIRE.scenario()
def flipped_block(stage: Stage) -> None:
    """A bit of the CBC vector is flipped: the case of the first letter of the first header inside changes."""
    blob = _record(stage)
    _try_blobs(stage, cms.flipped_block(blob, stage.rng))


@REPERTOIRE.scenario()
def cut_content(stage: Stage) -> None:
    """Another block is put before the encrypted content: the wrapped key is still the recorded one."""
    blob = _record(stage)
    _try_blobs(stage, cms.cut_content(blob, stage.rng))


@REPERTOIRE.scenario()
def all_at_once(stage: Stage) -> None:
    """Recipients reordered and added, attributes added, BER, and base64 in odd lines."""
    blob = _record(stage, "alice", "bob")
    for change in (cms.reordered_recipients, cms.with_recipient, cms.with_attribute, cms.indefinite):
        blob = change(blob, stage.rng)
    _try(stage, body.smime(blob, "enveloped-data", "base64", 60), reason=ENVELOPE_REUSED)


@REPERTOIRE.scenario()
def envelope_in_multipart(stage: Stage) -> None:
    """The recorded envelope is hidden three multiparts deep, behind a harmless description."""
    sealed = offer_for_alice(stage)
    call = stage.call(BOB, ALICE)
    establish(stage, call, sealed, answer_for_bob(stage))
    hang_up(stage, call)
    stage.wait(600)
    hidden = sealed
    for subtype in ("mixed", "alternative", "related"):
        hidden = body.mixed((body.note("nothing here\r\n"), hidden), stage.rng, subtype)
    _try(stage, hidden, reason=ENVELOPE_REUSED)


@REPERTOIRE.scenario()
def insider(stage: Stage) -> None:
    """Charles was a recipient himself. He takes the key out of the envelope and uses it in plain, in an
    envelope of his own, and signed by himself.
    """
    inner = stage.plain(BOB)
    call = stage.call(BOB, ALICE)
    establish(stage, call, stage.sealed(inner, "bob", "alice", "charles"), answer_for_bob(stage))
    hang_up(stage, call)
    stage.wait(600)
    alice = [stage.identities["alice"]]
    _try(
        stage,
        inner,
        body.sealed(inner, alice, stage.rng),
        stage.sealed(inner, "charles", "alice"),
        reason=KEY_REUSED,
    )


@REPERTOIRE.scenario()
def base64_without_padding(stage: Stage) -> None:
    """A GCM key of 44 octets, whose base64 ends in '=': Charles leaves that off."""
    recorded = _record_plain(stage, suites=("AEAD_AES_256_GCM",))
    _try_key(stage, recorded, lambda key: replace(key, padded=False))


@REPERTOIRE.scenario()
def base64_loose_bits(stage: Stage) -> None:
    """The last letter before the padding has bits that say nothing; Charles flips one."""
    recorded = _record_plain(stage, suites=("AEAD_AES_256_GCM",))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = base64.b64encode(recorded.media[0].keys[0].octets).decode()
    loose = text[:-2] + letters[letters.index(text[-2]) ^ 1] + "="
    plain = body.sdp(recorded)
    _try(
        stage,
        replace(plain, content=plain.content.replace(text.encode(), loose.encode())),
        reason=KEY_REUSED,
    )


@REPERTOIRE.scenario()
def other_lifetime(stage: Stage) -> None:
    """A lifetime is added to the key, then a master key identifier, then both."""
    recorded = _record_plain(stage)
    for changes in ({"lifetime": "2^31"}, {"mki": "7:2"}, {"lifetime": "1048576", "mki": "1:1"}):
        _try_key(stage, recorded, lambda key, changes=changes: replace(key, **changes))  # type: ignore[misc]


@REPERTOIRE.scenario()
def other_suite(stage: Stage) -> None:
    """The same octets under another crypto suite, another tag, with session parameters."""
    recorded = _record_plain(stage)
    _try_key(stage, recorded, lambda key: replace(key, suite="AES_CM_128_HMAC_SHA1_32"))
    _try_key(stage, recorded, lambda key: replace(key, tag=9, session="UNENCRYPTED_SRTCP"))
    _try_key(stage, recorded, lambda key: replace(key, suite="F8_128_HMAC_SHA1_80"))


@REPERTOIRE.scenario()
def other_place(stage: Stage) -> None:
    """The recorded key goes to session level, to a second m-line behind a fresh one, and to a second crypto
    line.
    """
    recorded = _record_plain(stage)
    key = recorded.media[0].keys[0]
    fresh = stage.describe(CHARLES, kinds=("audio", "video"))
    audio, video = fresh.media
    bare = tuple(replace(media, keys=()) for media in fresh.media)
    _try(
        stage,
        body.sdp(replace(fresh, media=bare, keys=(key,))),
        body.sdp(replace(fresh, media=(audio, replace(video, keys=(key,))))),
        body.sdp(replace(fresh, media=(replace(audio, keys=(*audio.keys, replace(key, tag=2))),))),
        reason=KEY_REUSED,
    )


@REPERTOIRE.scenario()
def second_inline(stage: Stage) -> None:
    """The recorded key stands second in one crypto line, behind a fresh one, each with its identifier (RFC
    4568 §6.1).
    """
    recorded = _record_plain(stage)
    key = recorded.media[0].keys[0]
    fresh = stage.describe(CHARLES)
    own = replace(fresh.media[0].keys[0], mki="1:1")
    line = f"{own};inline:{base64.b64encode(key.octets).decode()}|2:1"
    plain = body.sdp(fresh.changed(keys=(own,)))
    _try(
        stage,
        replace(plain, content=plain.content.replace(str(own).encode(), line.encode())),
        reason=KEY_REUSED,
    )


@REPERTOIRE.scenario()
def mikey_again(stage: Stage) -> None:
    """A recorded MIKEY message in a call of Charles's own, at media and at session level."""
    blob = stage.rng.randbytes(180)
    establish(stage, stage.call(BOB, ALICE), mikey(stage, blob), stage.plain(ALICE))
    stage.wait(600)
    again = mikey(stage, blob)
    attribute = next(line for line in again.content.split(b"\r\n") if line.startswith(b"a=key-mgmt"))
    without = again.content.replace(attribute + b"\r\n", b"")
    above = replace(again, content=without.replace(b"t=0 0\r\n", b"t=0 0\r\n" + attribute + b"\r\n"))
    _try(stage, again, above, reason=KEY_REUSED)


@REPERTOIRE.scenario()
def compressed(stage: Stage) -> None:
    """The description with the recorded key comes in gzip, and in deflate."""
    plain = body.sdp(_record_plain(stage))
    _try(stage, body.compressed(plain, "gzip"), body.compressed(plain, "deflate"), reason=KEY_REUSED)


@REPERTOIRE.scenario()
def description_in_multipart(stage: Stage) -> None:
    """The description with the recorded key hides behind a fresh one, in an alternative, deep inside."""
    plain = body.sdp(_record_plain(stage))
    fresh = stage.plain(CHARLES)
    _try(
        stage,
        body.mixed((fresh, plain), stage.rng),
        body.mixed((plain, fresh), stage.rng, "alternative"),
        body.mixed((fresh, body.mixed((body.note("hello\r\n"), plain), stage.rng)), stage.rng),
        reason=KEY_REUSED,
    )


@REPERTOIRE.scenario()
def transfer_encoded(stage: Stage) -> None:
    """The description with the recorded key is a body part in base64, and one in quoted-printable."""
    plain = body.sdp(_record_plain(stage))
    quoted = plain.content.replace(b"=", b"=3D").replace(b"inline:", b"in=\r\nline:")
    _try(
        stage,
        body.mixed((_encoded(plain, "base64", base64.encodebytes(plain.content)),), stage.rng),
        body.mixed((_encoded(plain, "quoted-printable", quoted),), stage.rng),
        reason=KEY_REUSED,
    )


def _encoded(plain: Body, encoding: str, content: bytes) -> Body:
    return Body((*plain.headers, ("Content-Transfer-Encoding", encoding)), content)


@REPERTOIRE.scenario()
def header_forms(stage: Stage) -> None:
    """Compact names, a folded Content-Type, odd case, blanks before the colon, bare line feeds in the
    description.
    """
    plain = body.sdp(_record_plain(stage))
    shouted = replace(plain, headers=(("CONTENT-TYPE", "APPLICATION/SDP"),))
    folded = replace(plain, headers=(("Content-Type", "\r\n application/sdp"),))
    blank = replace(plain, headers=(("Content-Type ", "\tapplication/sdp ;charset=utf-8"),))
    feeds = replace(plain, content=plain.content.replace(b"\r\n", b"\n"))
    _try(stage, shouted, folded, blank, feeds, reason=KEY_REUSED)
    stage.send(stage.call(CHARLES, ALICE).invite(plain).compact(), KEY_REUSED)


@REPERTOIRE.scenario()
def other_methods(stage: Stage) -> None:
    """The description with the recorded key comes in an UPDATE, a PRACK, an ACK, a MESSAGE and an OPTIONS
    request.
    """
    plain = body.sdp(_record_plain(stage))
    for method in ("UPDATE", "PRACK", "ACK", "MESSAGE", "OPTIONS"):
        request = stage.call(CHARLES, ALICE).request(method, plain)
        stage.send(request.having("RAck", "1 1 INVITE") if method == "PRACK" else request, KEY_REUSED)


@REPERTOIRE.scenario()
def beside_other_messages(stage: Stage) -> None:
    """The INVITE with the recorded key shares a TCP segment with harmless requests before and after it."""
    plain = body.sdp(_record_plain(stage))
    mine = stage.call(CHARLES, ALICE, transport="tcp")
    stage.send_together(
        (mine.request("OPTIONS"), None),
        (stage.call(CHARLES, ALICE, transport="tcp").invite(plain), KEY_REUSED),
        (mine.request("OPTIONS"), None),
    )
