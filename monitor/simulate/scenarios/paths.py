"""Calls through others: proxies seen on both sides, forks, a gateway that copies keys from leg to leg."""

from dataclasses import replace

from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.simulate import body
from monitor.simulate.call import forward
from monitor.simulate.message import tag
from monitor.simulate.party import ALICE, B2BUA, BOB, CAROL, PROXY
from monitor.simulate.scenarios.common import establish, hang_up
from monitor.simulate.stage import Repertoire, Stage
from monitor.wire.address import pack

REPERTOIRE = Repertoire(attack=False)
FIRST_USE, RETRANSMISSION, REFRESH, FORKED, RELAYED = (
    Reason.FIRST_USE,
    Reason.RETRANSMISSION,
    Reason.REFRESH,
    Reason.FORKED,
    Reason.RELAYED,
)
TRUSTED_PROXY = Policy(relays=frozenset({pack(PROXY.address)}))
GATEWAY = Policy(b2bua=frozenset({pack(B2BUA.address)}))


@REPERTOIRE.scenario()
def behind_a_proxy(stage: Stage) -> None:
    """All that Alice's host sees comes from her proxy, which nobody needs to trust for that."""
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    offer, answer = stage.plain(BOB), stage.plain(ALICE)
    invite = call.invite(offer)
    onward = stage.send(forward(invite, PROXY, ALICE, stage.rng), FIRST_USE)
    stage.wait(0.5)
    stage.send(onward, RETRANSMISSION)
    stage.send(call.reply(onward, 180))
    ok = stage.send(call.reply(onward, 200, answer), FIRST_USE)
    stage.wait(0.5)
    stage.send(ok, RETRANSMISSION)
    stage.send(forward(call.ack(ok, invite), PROXY, ALICE, stage.rng))


@REPERTOIRE.scenario(TRUSTED_PROXY)
def relayed(stage: Stage) -> None:
    """The monitor stands where it sees both sides of a trusted proxy: each message counts once, at each
    hop.
    """
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    stage.send(call.reply(invite, 100))
    onward = stage.send(forward(invite, PROXY, ALICE, stage.rng), RELAYED)
    stage.send(forward(stage.send(call.reply(onward, 180)), PROXY, BOB, stage.rng))
    stage.wait(3)
    ok = stage.send(call.reply(onward, 200, stage.plain(ALICE)), FIRST_USE)
    returned = stage.send(forward(ok, PROXY, BOB, stage.rng), RELAYED)
    ack = stage.send(call.ack(returned, invite))
    stage.send(forward(ack, PROXY, ALICE, stage.rng))
    bye = stage.send(call.request("BYE"))
    onward = stage.send(forward(bye, PROXY, ALICE, stage.rng))
    stage.send(forward(stage.send(call.reply(onward, 200)), PROXY, BOB, stage.rng))


@REPERTOIRE.scenario(TRUSTED_PROXY)
def relayed_with_credentials(stage: Stage) -> None:
    """The proxy asks for credentials first (407), then sends the INVITE on; the link to Alice loses one."""
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
    challenged = stage.send(call.reply(invite, 407, tagged=tag(stage.rng)))
    stage.send(call.ack(challenged, invite))
    again = stage.send(call.retry(invite, challenged), REFRESH)
    onward = stage.send(forward(again, PROXY, ALICE, stage.rng), RELAYED)
    stage.wait(0.5)
    stage.send(onward, RETRANSMISSION)
    ok = stage.send(call.reply(onward, 200, stage.plain(ALICE)), FIRST_USE)
    returned = stage.send(forward(ok, PROXY, BOB, stage.rng), RELAYED)
    ack = stage.send(call.ack(returned, again))
    stage.send(forward(ack, PROXY, ALICE, stage.rng))


@REPERTOIRE.scenario(TRUSTED_PROXY)
def two_callers_behind_a_proxy(stage: Stage) -> None:
    """Seen behind the trusted proxy only: whose source is whose is read from the Via that the proxy wrote."""
    for caller in (BOB, CAROL):
        call = stage.call(caller, ALICE, next_hop=PROXY)
        invite = call.invite(stage.plain(caller))
        onward = stage.send(forward(invite, PROXY, ALICE, stage.rng), FIRST_USE)
        stage.wait(0.5)
        stage.send(onward, RETRANSMISSION)
        ok = stage.send(call.reply(onward, 200, stage.plain(ALICE)), FIRST_USE)
        stage.send(forward(call.ack(ok, invite), PROXY, ALICE, stage.rng))


@REPERTOIRE.scenario()
def forked(stage: Stage) -> None:
    """A proxy rings two of Alice's phones at one address: two branches with one key. One answers early, the
    other late.
    """
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = call.invite(stage.plain(BOB))
    desk = stage.send(forward(invite, PROXY, ALICE, stage.rng), FIRST_USE)
    cordless = stage.send(forward(invite, PROXY, ALICE.at(port=5062), stage.rng), FORKED)
    early, late = tag(stage.rng), tag(stage.rng)
    stage.send(call.reply(desk, 183, stage.plain(ALICE), tagged=early), FIRST_USE)
    stage.send(call.reply(cordless, 180, tagged=late))
    stage.wait(5)
    ok = stage.send(call.reply(cordless, 200, stage.plain(ALICE), tagged=late), FIRST_USE)
    stage.send(forward(call.ack(ok, invite), PROXY, cordless.destination, stage.rng))
    cancel = stage.send(call.cancel(invite).having("Via", desk.header("Via")).by(PROXY, ALICE))
    stage.send(call.reply(cancel, 200, tagged=early))
    stage.send(call.reply(desk, 487, tagged=early))


@REPERTOIRE.scenario()
def merged(stage: Stage) -> None:
    """The same request reaches Alice over two paths and has another top Via on each (RFC 3261 §8.2.2.2)."""
    call = stage.call(BOB, ALICE, next_hop=PROXY)
    invite = call.invite(stage.plain(BOB))
    first = stage.send(forward(invite, PROXY, ALICE, stage.rng), FIRST_USE)
    second = stage.send(forward(invite, PROXY, ALICE, stage.rng), FORKED)
    stage.send(replace(call.reply(second, 486), start_line="SIP/2.0 482 Loop Detected"))
    ok = stage.send(call.reply(first, 200, stage.plain(ALICE)), FIRST_USE)
    stage.send(forward(call.ack(ok, invite), PROXY, ALICE, stage.rng))


@REPERTOIRE.scenario(GATEWAY)
def b2bua(stage: Stage) -> None:
    """A gateway makes two calls of one and copies both keys from leg to leg: paired once, each in its
    direction.
    """
    outer, inner = stage.call(BOB, B2BUA), stage.call(B2BUA, ALICE)
    offer, answer = stage.describe(BOB), stage.describe(ALICE)
    invite = stage.send(outer.invite(body.sdp(offer)), FIRST_USE)
    stage.send(outer.reply(invite, 100))
    onward = stage.send(inner.invite(body.sdp(offer.changed(party=B2BUA))), RELAYED)
    stage.wait(2)
    ok = stage.send(inner.reply(onward, 200, body.sdp(answer)), FIRST_USE)
    stage.send(inner.ack(ok, onward))
    stage.send(
        outer.ack(
            stage.send(outer.reply(invite, 200, body.sdp(answer.changed(party=B2BUA))), RELAYED), invite
        )
    )
    stage.wait(60)
    hang_up(stage, outer)
    hang_up(stage, inner)


@REPERTOIRE.scenario()
def gateway_with_keys_of_its_own(stage: Stage) -> None:
    """A gateway that ends SRTP on either side: four keys, nothing to pair."""
    outer, inner = stage.call(BOB, B2BUA), stage.call(B2BUA, ALICE)
    establish(stage, outer, stage.plain(BOB), stage.plain(B2BUA))
    establish(stage, inner, stage.plain(B2BUA), stage.plain(ALICE))
    hang_up(stage, outer)
    hang_up(stage, inner)
