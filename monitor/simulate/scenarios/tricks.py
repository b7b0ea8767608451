"""Tricks beyond sending again: reflection, forged paths, messages that read two ways, forged signatures."""

from dataclasses import replace

from scapy.packet import Packet, Raw

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.exceptions import ExceptionName
from monitor.simulate import body
from monitor.simulate.call import forward
from monitor.simulate.message import disguised
from monitor.simulate.party import ALICE, B2BUA, BOB, CAROL, CHARLES, PROXY
from monitor.simulate.scenarios.common import establish, hang_up
from monitor.simulate.scenarios.paths import GATEWAY, TRUSTED_PROXY
from monitor.simulate.scenarios.sealed import answer_for_bob, offer_for_alice
from monitor.simulate.stage import Repertoire, Stage
from monitor.wire.frame import NANOSECONDS

REPERTOIRE = Repertoire(attack=True)
FIRST_USE, RELAYED, REFLECTED = Reason.FIRST_USE, Reason.RELAYED, Reason.REFLECTED
KEY_REUSED, ENVELOPE_REUSED, SOURCE_CHANGED = (
    Reason.KEY_REUSED,
    Reason.ENVELOPE_REUSED,
    Reason.SOURCE_CHANGED,
)


@REPERTOIRE.scenario()
def reflected(stage: Stage) -> None:
    """The answer to Bob's INVITE bears his own key (RFC 4568 §7.1.2), from Alice's side and from Charles."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.reply(invite, 200, invite.body), REFLECTED)
    stage.send(call.reply(invite, 200, invite.body).by(CHARLES), REFLECTED)


@REPERTOIRE.scenario()
def reflected_envelope(stage: Stage) -> None:
    """Bob's own envelope comes back to him in the 200."""
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.sealed(stage.plain(BOB), "bob", "alice", "bob")), FIRST_USE)
    stage.send(call.reply(invite, 200, invite.body), REFLECTED)


@REPERTOIRE.scenario()
def reflected_later(stage: Stage) -> None:
    """Alice's side re-INVITEs with Bob's key in the middle of the call; Bob's side answers with hers."""
    call = stage.call(BOB, ALICE)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    establish(stage, call, offer, answer)
    stage.wait(60)
    stage.send(call.invite(offer, by=ALICE), REFLECTED)
    stage.send(call.request("UPDATE", answer), REFLECTED)


@REPERTOIRE.scenario(TRUSTED_PROXY)
def forged_via(stage: Stage) -> None:
    """Charles writes a Via by which the trusted proxy would have got his message from Bob. Only the proxy
    is believed.
    """
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    onward = stage.send(forward(invite, PROXY, ALICE, stage.rng), RELAYED)
    stage.send(onward.by(CHARLES), SOURCE_CHANGED)
    stage.send(forward(invite, PROXY, ALICE, stage.rng).by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario(TRUSTED_PROXY)
def through_the_proxy(stage: Stage) -> None:
    """Charles sends the recording through the trusted proxy, which writes down whom it has it from."""
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(forward(invite, PROXY, ALICE, stage.rng), RELAYED)
    stage.wait(10)
    copy = stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    stage.send(forward(copy, PROXY, ALICE, stage.rng), SOURCE_CHANGED)
    mine = stage.send(disguised(invite, stage.rng).by(CHARLES), KEY_REUSED)
    stage.send(forward(mine, PROXY, ALICE, stage.rng), KEY_REUSED)


@REPERTOIRE.scenario(GATEWAY)
def gateway_pairs_once(stage: Stage) -> None:
    """A gateway may carry a key to its other leg once. A third call with it is a replay, through the
    gateway or not.
    """
    outer, inner = stage.call(BOB, B2BUA), stage.call(B2BUA, ALICE)
    offer = stage.describe(BOB)
    stage.send(outer.invite(body.sdp(offer)), FIRST_USE)
    carried = body.sdp(offer.changed(party=B2BUA))
    stage.send(inner.invite(carried), RELAYED)
    stage.send(stage.call(B2BUA, CAROL).invite(carried), KEY_REUSED)
    stage.send(stage.call(CHARLES, B2BUA).invite(body.sdp(offer)), KEY_REUSED)


@REPERTOIRE.scenario(GATEWAY)
def gateway_too_late(stage: Stage) -> None:
    """A gateway carries a key on an hour after it came in: that is no longer the same call."""
    offer = stage.describe(BOB)
    stage.send(stage.call(BOB, B2BUA).invite(body.sdp(offer)), FIRST_USE)
    stage.wait(3600)
    stage.send(stage.call(B2BUA, ALICE).invite(body.sdp(offer.changed(party=B2BUA))), KEY_REUSED)


@REPERTOIRE.scenario()
def untrusted_gateway(stage: Stage) -> None:
    """The same machine, which no policy names: a key in a second dialog is a key in a second dialog."""
    offer = stage.describe(BOB)
    stage.send(stage.call(BOB, B2BUA).invite(body.sdp(offer)), FIRST_USE)
    stage.send(stage.call(B2BUA, ALICE).invite(body.sdp(offer.changed(party=B2BUA))), KEY_REUSED)


@REPERTOIRE.scenario()
def unannounced_move(stage: Stage) -> None:
    """Bob's phone goes on from a new address. The default policy is the strict one: denied."""
    call = stage.call(BOB, ALICE)
    offer = stage.plain(BOB)
    establish(stage, call, offer, stage.plain(ALICE))
    stage.wait(60)
    stage.send(call.invite(offer, by=BOB.at(102)), SOURCE_CHANGED)


@REPERTOIRE.scenario(Policy(moves=True))
def moves_are_no_licence(stage: Stage) -> None:
    """Where moves are allowed a verbatim copy from elsewhere is still no move: nothing in it is new."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, offer_for_alice(stage), answer_for_bob(stage))
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    hang_up(stage, call)
    stage.wait(60)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)
    stage.send(disguised(invite, stage.rng).by(CHARLES), ENVELOPE_REUSED)


@REPERTOIRE.scenario()
def two_content_lengths(stage: Stage) -> None:
    """The recorded INVITE has two Content-Length fields: one reader sees the key, the other an empty body."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    mine = disguised(invite, stage.rng).by(CHARLES)
    stage.send(mine.having("Content-Length", "0"), exception=ExceptionName.AMBIGUOUS)


@REPERTOIRE.scenario()
def overlapping_fragments(stage: Stage) -> None:
    """Two fragments cover the same octets with different ones: what the callee reads depends on its stack."""
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    mine = disguised(invite, stage.rng).by(CHARLES)
    stage.send(mine, exception=ExceptionName.AMBIGUOUS, mtu=420, order=_contradicted)


def _contradicted(fragments: list[Packet]) -> list[Packet]:
    """Each fragment but the last followed by one for the same place, with other octets."""
    both = []
    for fragment in fragments[:-1]:
        other = fragment.copy()
        other[Raw].load = bytes(octet ^ 1 for octet in other[Raw].load)
        both += [fragment, other]
    return [*both, fragments[-1]]


@REPERTOIRE.scenario()
def cut_off(stage: Stage) -> None:
    """The recorded INVITE in a datagram whose last fragment never comes, then with a Content-Length too
    large.
    """
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    mine = disguised(invite, stage.rng).by(CHARLES)
    stage.send(mine, mtu=420, order=lambda fragments: fragments[:-1])
    stage.send(mine.having("l", "99999"), exception=ExceptionName.AMBIGUOUS)


@REPERTOIRE.scenario()
def false_coding(stage: Stage) -> None:
    """The recorded description stands in clear under a Content-Encoding: who ignores that field reads the
    key.
    """
    call = stage.call(BOB, ALICE)
    invite, _ = establish(stage, call, stage.plain(BOB), stage.plain(ALICE))
    assert invite.body is not None
    for coding in ("gzip", "br"):
        coded = replace(invite.body, headers=(*invite.body.headers, ("Content-Encoding", coding)))
        stage.send(stage.call(CHARLES, ALICE).invite(coded), exception=ExceptionName.AMBIGUOUS)


@REPERTOIRE.scenario()
def unknown_coding(stage: Stage) -> None:
    """A description under a Content-Encoding that nobody here can open: reported."""
    coded = body.Body(
        (("Content-Type", "application/sdp"), ("Content-Encoding", "br")), stage.rng.randbytes(300)
    )
    stage.send(stage.call(CHARLES, ALICE).invite(coded), exception=ExceptionName.UNSUPPORTED)


@REPERTOIRE.scenario()
def forged_cancel(stage: Stage) -> None:
    """Charles sends a CANCEL for Bob's ringing call, from his own address: it ends nothing, the retry is
    accepted.
    """
    call = stage.call(BOB, ALICE)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.cancel(invite).by(CHARLES))
    stage.wait(60)
    challenged = stage.send(call.reply(invite, 401))
    stage.send(call.ack(challenged, invite))
    stage.send(call.retry(invite, challenged), Reason.REFRESH)
    stage.send(invite.by(CHARLES), SOURCE_CHANGED)


@REPERTOIRE.scenario()
def forged_signature(stage: Stage) -> None:
    """Charles seals a fresh description of his for Alice, as if signed by Bob: the signature is over
    something else.
    """
    stolen = stage.sealed(stage.plain(BOB), "bob", "alice")
    call = stage.call(BOB, ALICE)
    establish(stage, call, stolen, answer_for_bob(stage))
    signed = body.signed(stage.plain(BOB), stage.identities["bob"], stage.time // NANOSECONDS, stage.rng)
    forged = replace(signed, content=signed.content.replace(b"s=-", b"s=x", 1))
    offer = body.sealed(forged, [stage.identities["alice"]], stage.rng)
    stage.send(disguised(call.invite(offer), stage.rng).by(CHARLES), exception=ExceptionName.BAD_SIGNATURE)


@REPERTOIRE.scenario()
def self_made_certificate(stage: Stage) -> None:
    """Charles signs with a certificate that names Bob and that he made himself: reported, by the default
    policy.
    """
    offer = stage.sealed(stage.plain(CHARLES), "impostor", "alice")
    invite = stage.call(CHARLES, ALICE).invite(offer)
    invite = invite.having("From", invite.header("From").replace("charles", "bob"))
    stage.send(invite, FIRST_USE, exception=ExceptionName.UNTRUSTED_SIGNER)


@REPERTOIRE.scenario()
def somebody_elses_name(stage: Stage) -> None:
    """Charles signs with his own good certificate and writes Bob into From: reported, by the default
    policy.
    """
    offer = stage.sealed(stage.plain(CHARLES), "charles", "alice")
    invite = stage.call(CHARLES, ALICE).invite(offer)
    invite = invite.having("From", invite.header("From").replace("charles", "bob"))
    stage.send(invite, FIRST_USE, exception=ExceptionName.IDENTITY_MISMATCH)
