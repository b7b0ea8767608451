"""Proxies and B2BUAs in packets: SIP octets through the whole pipeline, under a policy that names them."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from monitor.__main__ import main
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason
from monitor.assembly import REPLAY_SECRET, assemble
from monitor.config.selector import PolicyList
from monitor.record import RulingRecord
from monitor.simulate import writer
from monitor.simulate.call import Call, forward
from monitor.simulate.message import Message, disguised, rebranched
from monitor.simulate.party import ALICE, B2BUA, BOB, CAROL, CHARLES, PROXY, Family, Party
from monitor.simulate.stage import Setting, Stage
from monitor.store.memory import MemoryStore
from monitor.wire.address import pack

OUTER = Party("Outer", 11)
"""A second proxy, between the first and Alice."""
FAMILIES: tuple[Family, ...] = (4, 6)
T = 37
FIRST_USE, RETRANSMISSION, FORKED = Reason.FIRST_USE, Reason.RETRANSMISSION, Reason.FORKED
REFRESH, RELAYED, STALE = Reason.REFRESH, Reason.RELAYED, Reason.STALE
KEY_REUSED, REFLECTED, SOURCE_CHANGED = Reason.KEY_REUSED, Reason.REFLECTED, Reason.SOURCE_CHANGED


def trusting(*relays: Party, b2bua: tuple[Party, ...] = ()) -> Policy:
    """A policy that names them, at their addresses of both families."""
    return Policy(relays=_addresses(relays), b2bua=_addresses(b2bua))


def _addresses(parties: tuple[Party, ...]) -> frozenset[bytes]:
    return frozenset(pack(each.over(family).address) for each in parties for family in FAMILIES)


@pytest.fixture
def stage() -> Stage:
    return Stage(Setting({}), "relays")


def ruled(stage: Stage, policy: Policy) -> list[tuple[int, Reason]]:
    """What the pipeline says of each message with a key."""
    pipeline = assemble(store=MemoryStore(), secret=REPLAY_SECRET, policies=PolicyList(policy))
    for frame in stage.frames:
        pipeline.feed(frame)
    records = [record for settled in pipeline.settle() for record in settled.records]
    return [(each.frame, each.reason) for each in records if isinstance(each, RulingRecord)]


def check(stage: Stage, policy: Policy) -> None:
    """See that each message is ruled on as it was said with."""
    assert ruled(stage, policy) == [(each.frame, each.reason) for each in stage.expected]


def relay(stage: Stage, message: Message, *hops: Party, reason: Reason | None = RELAYED) -> Message:
    """Send the message on from proxy to proxy; the last of ``hops`` is whom it is for."""
    for proxy, following in pairwise(hops):
        message = stage.send(forward(message, proxy, following, stage.rng), reason)
    return message


def named(message: Message, party: Party, name: str) -> Message:
    """With a host name for the party's address in the topmost Via."""
    top = message.header("Via")
    assert party.sent_by in top
    return message.having("Via", top.replace(party.sent_by, f"{name}:{party.port}"))


def claiming(message: Message, claim: str) -> Message:
    """With a parameter in the topmost Via."""
    return message.having("Via", f"{message.header('Via')};{claim}".replace(";rport;", ";"))


class TestOneProxy:
    @pytest.mark.parametrize("family", [4, 6])
    def test_each_message_counts_once_at_each_hop(self, stage: Stage, family: Family) -> None:
        """From the INVITE to a session timer, all of it lost once on each link."""
        bob, alice, proxy = (each.over(family) for each in (BOB, ALICE, PROXY))
        call = stage.call(bob, alice, next_hop=proxy)
        offer, answer = stage.plain(bob), stage.plain(alice)

        def both(message: Message, first: Reason, *hops: Party) -> Message:
            stage.send(message, first)
            onward = relay(stage, message, *hops)
            stage.wait(0.5)
            stage.send(message, RETRANSMISSION)
            stage.send(onward, RETRANSMISSION)
            return onward

        invite = call.invite(offer)
        onward = both(invite, FIRST_USE, proxy, alice)
        ok = both(call.reply(onward, 200, answer), FIRST_USE, proxy, bob)
        relay(stage, stage.send(call.ack(ok, invite)), proxy, alice, reason=None)
        stage.wait(900)
        onward = both(call.invite(offer).by(bob, proxy), REFRESH, proxy, alice)
        both(call.reply(onward, 200, answer), REFRESH, proxy, bob)
        stage.wait(900)
        onward = both(call.invite(answer, by=alice).by(alice, proxy), REFRESH, proxy, bob)
        both(call.reply(onward, 200, offer).by(bob, proxy), REFRESH, proxy, alice)
        check(stage, trusting(PROXY))

    @pytest.mark.parametrize("side", ["caller", "callee"])
    def test_seen_on_one_side_alone_nothing_is_relayed(self, stage: Stage, side: str) -> None:
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        offer, answer = stage.plain(BOB), stage.plain(ALICE)
        first = call.invite(offer)
        onward = forward(first, PROXY, ALICE, stage.rng)
        ok = call.reply(onward, 200, answer)
        here = (first, forward(ok, PROXY, BOB, stage.rng)) if side == "caller" else (onward, ok)
        for each in here:
            stage.send(each, FIRST_USE)
            stage.wait(0.5)
            stage.send(each, RETRANSMISSION)
        stage.wait(900)
        again = call.invite(offer).by(BOB, PROXY)
        stage.send(again if side == "caller" else forward(again, PROXY, ALICE, stage.rng), REFRESH)
        check(stage, trusting(PROXY))

    def test_from_ipv4_to_ipv6(self, stage: Stage) -> None:
        """The proxy has a leg in each; Bob's address is read from its Via on the other."""
        call = stage.call(BOB, ALICE.over(6), next_hop=PROXY)
        invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
        onward = relay(stage, invite, PROXY.over(6), ALICE.over(6))
        ok = stage.send(call.reply(onward, 200, stage.plain(ALICE.over(6))), FIRST_USE)
        relay(stage, ok, PROXY, BOB)
        check(stage, trusting(PROXY))

    def test_a_host_name_in_sent_by(self, stage: Stage) -> None:
        """The proxy writes ``received`` beside it (RFC 3261 §18.2.1), with ``rport`` (RFC 3581 §4) or not."""
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        invite = stage.send(named(call.invite(stage.plain(BOB)), BOB, "phone.example.org"), FIRST_USE)
        onward = named(forward(invite, PROXY, ALICE, stage.rng), PROXY, "proxy.example.org")
        assert f"phone.example.org:5060;received={BOB.address};rport=5060;" in onward.octets().decode()
        stage.send(onward, RELAYED)
        check(stage, trusting(PROXY))

    def test_behind_a_nat_received_tells_what_sent_by_does_not(self, stage: Stage) -> None:
        inside = replace(BOB, host=105)  # what the phone thinks of itself
        call = stage.call(inside, ALICE, next_hop=PROXY)
        invite = stage.send(call.invite(stage.plain(inside)).by(BOB), FIRST_USE)
        onward = relay(stage, invite, PROXY, ALICE)
        assert f"{inside.sent_by};received={BOB.address}" in onward.octets().decode()
        stage.wait(0.5)
        stage.send(onward, RETRANSMISSION)
        check(stage, trusting(PROXY))

    def test_a_proxy_that_leaves_a_host_name_alone_is_the_source_itself(self, stage: Stage) -> None:
        """Against RFC 3261 §18.2.1; nobody is asked for the name's address."""
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        invite = stage.send(named(call.invite(stage.plain(BOB)), BOB, "phone.example.org"), FIRST_USE)
        bare = invite.having("Via", invite.header("Via").replace(";rport;", ";"))
        relay(stage, bare, PROXY, ALICE, reason=SOURCE_CHANGED)
        check(stage, trusting(PROXY))

    def test_compact_names_and_one_line_for_both_vias(self, stage: Stage) -> None:
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
        onward = forward(invite, PROXY, ALICE, stage.rng)
        own, below = (value for name, value in onward.headers if name == "Via")
        joined = onward.without_first("Via").having("Via", f"{own} ,\r\n\t{below}")
        stage.send(joined.compact(), RELAYED)
        check(stage, trusting(PROXY))

    def test_that_no_policy_names(self, stage: Stage) -> None:
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
        relay(stage, invite, PROXY, ALICE, reason=SOURCE_CHANGED)
        check(stage, trusting(OUTER))


class TestTwoProxies:
    def call(self, stage: Stage, family: Family) -> tuple[Call, Message, tuple[Party, ...]]:
        bob, alice, inner, _ = hops = tuple(each.over(family) for each in (BOB, ALICE, PROXY, OUTER))
        call = stage.call(bob, alice, next_hop=inner)
        return call, stage.send(call.invite(stage.plain(bob)), FIRST_USE), hops

    @pytest.mark.parametrize("family", [4, 6])
    def test_in_a_row(self, stage: Stage, family: Family) -> None:
        call, invite, (bob, alice, inner, outer) = self.call(stage, family)
        last = relay(stage, invite, inner, outer, alice)
        stage.wait(0.5)
        stage.send(last, RETRANSMISSION)
        ok = stage.send(call.reply(last, 200, stage.plain(alice)), FIRST_USE)
        back = relay(stage, ok, outer, inner, bob)
        stage.wait(0.5)
        stage.send(ok, RETRANSMISSION)
        stage.send(back, RETRANSMISSION)
        check(stage, trusting(PROXY, OUTER))

    def test_the_link_between_them_is_not_seen(self, stage: Stage) -> None:
        """What nobody saw in the middle cannot be told from a fork; it is accepted all the same."""
        _, invite, (_, alice, inner, outer) = self.call(stage, 4)
        between = forward(invite, inner, outer, stage.rng)
        last = stage.send(forward(between, outer, alice, stage.rng), FORKED)
        stage.wait(0.5)
        stage.send(last, RETRANSMISSION)
        check(stage, trusting(PROXY, OUTER))

    def test_of_which_one_is_not_trusted(self, stage: Stage) -> None:
        """The walk ends at it, whatever it says of the hops before."""
        _, invite, (_, alice, inner, outer) = self.call(stage, 4)
        between = relay(stage, invite, inner, outer)
        relay(stage, between, outer, alice, reason=SOURCE_CHANGED)
        check(stage, trusting(PROXY))

    def test_a_liar_before_the_trusted_one(self, stage: Stage) -> None:
        """A stranger's proxy passes the recording on as if it had it from Bob."""
        _, invite, (bob, alice, inner, outer) = self.call(stage, 4)
        relay(stage, invite, inner, alice)
        stage.wait(5)
        for recorded, reason in ((invite, SOURCE_CHANGED), (disguised(invite, stage.rng), KEY_REUSED)):
            lie = forward(recorded, outer, inner, stage.rng)
            assert f"received={bob.address}" in lie.octets().decode()
            stage.send(lie, reason)
            relay(stage, lie, inner, alice, reason=reason)
        check(stage, trusting(PROXY))


class TestForgedVias:
    """Charles has heard all, and writes what he likes."""

    @pytest.fixture
    def heard(self, stage: Stage) -> Message:
        """Bob's INVITE, which the proxy has passed on."""
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        invite = stage.send(call.invite(stage.plain(BOB)), FIRST_USE)
        relay(stage, invite, PROXY, ALICE)
        stage.wait(5)
        return invite

    @pytest.mark.parametrize(
        "change", [lambda message, _: message, lambda message, rng: rebranched(message, rng)]
    )
    def test_of_a_way_through_the_proxy(
        self, stage: Stage, heard: Message, change: Callable[..., Message]
    ) -> None:
        """Sent by himself: his packets are no relay's, so nothing below is read."""
        forged = change(forward(heard, PROXY, ALICE, stage.rng), stage.rng)
        stage.send(forged.by(CHARLES), SOURCE_CHANGED)
        stage.send(disguised(forged, stage.rng).by(CHARLES), KEY_REUSED)
        check(stage, trusting(PROXY))

    @pytest.mark.parametrize(
        "claim", ["rport", f"received={BOB.address}", f"received={PROXY.address}", "maddr=192.0.2.2"]
    )
    def test_of_bob_to_the_proxy_which_writes_whom_it_has_it_from(
        self, stage: Stage, heard: Message, claim: str
    ) -> None:
        """A proxy puts its own ``received`` in the place of a client's (RFC 3261 §18.2.1)."""
        mine = claiming(heard, claim).by(CHARLES)
        stage.send(mine, SOURCE_CHANGED)
        honest = mine.having("Via", heard.header("Via"))
        relay(stage, honest, PROXY, ALICE, reason=SOURCE_CHANGED)
        check(stage, trusting(PROXY))

    @pytest.mark.parametrize("below", [(), (PROXY,), (PROXY, OUTER)])
    def test_of_hops_below_himself(self, stage: Stage, heard: Message, below: tuple[Party, ...]) -> None:
        """He passes for a proxy of Bob's, or for one behind some that everybody trusts."""
        mine = heard
        for hop in (*below, CHARLES):
            mine = forward(mine, hop, PROXY, stage.rng)
        stage.send(mine, SOURCE_CHANGED)
        relay(stage, mine, PROXY, ALICE, reason=SOURCE_CHANGED)
        check(stage, trusting(PROXY, OUTER))

    def test_of_an_answer(self, stage: Stage, heard: Message) -> None:
        """An answer's Via entries say where it goes, never whose it is."""
        call = stage.call(BOB, ALICE, next_hop=PROXY)
        onward = relay(stage, stage.send(call.invite(stage.plain(BOB)), FIRST_USE), PROXY, ALICE)
        ok = stage.send(call.reply(onward, 200, stage.plain(ALICE)), FIRST_USE)
        back = relay(stage, ok, PROXY, BOB)
        for forged in (ok.by(CHARLES), back.by(CHARLES), forward(ok, CHARLES, BOB, stage.rng)):
            stage.send(forged, SOURCE_CHANGED)
        check(stage, trusting(PROXY))

    def test_a_relay_is_believed(self, stage: Stage, heard: Message) -> None:
        """A limit of the method: one that lets a client's ``received`` stand lends him Bob's address. Who
        watches its other side too sees the client come to it.
        """
        mine = stage.send(claiming(heard, f"received={BOB.address}").by(CHARLES), SOURCE_CHANGED)
        assert f"received={BOB.address}" in mine.octets().decode()
        relay(stage, mine, PROXY, ALICE, reason=FORKED)
        check(stage, trusting(PROXY))


class TestB2bua:
    """RFC 7092 §3: two calls, made one by who copies the keys."""

    POLICY = trusting(b2bua=(B2BUA,))

    def first(self, stage: Stage, family: Family = 4) -> tuple[Call, Message]:
        """Bob's call to the B2BUA, with a key."""
        call = stage.call(BOB.over(family), B2BUA.over(family))
        return call, stage.send(call.invite(stage.plain(BOB.over(family))), FIRST_USE)

    @staticmethod
    def copied(invite: Message, call: Call) -> Message:
        """The INVITE of another leg, with what the first brought."""
        return call.invite(invite.body)

    @pytest.mark.parametrize("family", [4, 6])
    def test_pairs_two_legs_each_in_its_direction(self, stage: Stage, family: Family) -> None:
        outer, invite = self.first(stage, family)
        inner = stage.call(B2BUA.over(family), ALICE.over(family))
        onward = stage.send(self.copied(invite, inner), RELAYED)
        stage.wait(0.5)
        stage.send(invite, RETRANSMISSION)
        stage.send(onward, RETRANSMISSION)
        ok = stage.send(inner.reply(onward, 200, stage.plain(ALICE.over(family))), FIRST_USE)
        stage.send(inner.ack(ok, onward))
        taken = stage.send(outer.reply(invite, 200, ok.body), RELAYED)
        stage.wait(0.5)
        stage.send(taken, RETRANSMISSION)
        stage.wait(900)
        stage.send(outer.invite(invite.body), REFRESH)
        stage.send(inner.invite(invite.body), REFRESH)
        check(stage, self.POLICY)

    @pytest.mark.parametrize(("after", "reason"), [(T, RELAYED), (T + 0.001, KEY_REUSED), (3600, KEY_REUSED)])
    def test_within_t(self, stage: Stage, after: float, reason: Reason) -> None:
        began = stage.time
        _, invite = self.first(stage)
        stage.time = began
        stage.wait(after)
        stage.send(self.copied(invite, stage.call(B2BUA, ALICE)), reason)
        check(stage, self.POLICY)

    def test_an_answer_that_it_kept_back_for_longer_is_anothers(self, stage: Stage) -> None:
        """A limit of the method: a 183 with a key, of which nothing is told before the 200."""
        outer, invite = self.first(stage)
        inner = stage.call(B2BUA, ALICE)
        onward = stage.send(self.copied(invite, inner), RELAYED)
        answer = stage.plain(ALICE)
        stage.send(inner.reply(onward, 183, answer), FIRST_USE)
        stage.wait(T)
        stage.send(inner.reply(onward, 200, answer), REFRESH)
        stage.send(outer.reply(invite, 200, answer), KEY_REUSED)
        check(stage, self.POLICY)

    @pytest.mark.parametrize("callee", [ALICE, CAROL, BOB])
    def test_no_third_leg(self, stage: Stage, callee: Party) -> None:
        _, invite = self.first(stage)
        stage.send(self.copied(invite, stage.call(B2BUA, ALICE)), RELAYED)
        stage.send(self.copied(invite, stage.call(B2BUA, callee)), KEY_REUSED)
        check(stage, self.POLICY)

    def test_not_in_reverse(self, stage: Stage) -> None:
        """A key that it brought out first does not come in."""
        invite = stage.send(stage.call(B2BUA, ALICE).invite(stage.plain(B2BUA)), FIRST_USE)
        for caller in (BOB, ALICE, CHARLES):
            stage.send(self.copied(invite, stage.call(caller, B2BUA)), KEY_REUSED)
        check(stage, self.POLICY)

    def test_not_for_others_at_either_end(self, stage: Stage) -> None:
        _, invite = self.first(stage)
        stage.send(self.copied(invite, stage.call(CHARLES, ALICE)), KEY_REUSED)
        stage.send(self.copied(invite, stage.call(CHARLES, B2BUA)), KEY_REUSED)
        stage.send(self.copied(invite, stage.call(PROXY, ALICE)), KEY_REUSED)
        stage.send(self.copied(invite, stage.call(B2BUA, ALICE)), RELAYED)
        check(stage, self.POLICY)

    def test_not_for_a_call_that_never_went_to_it(self, stage: Stage) -> None:
        invite = stage.send(stage.call(BOB, ALICE).invite(stage.plain(BOB)), FIRST_USE)
        stage.send(self.copied(invite, stage.call(B2BUA, CAROL)), KEY_REUSED)
        check(stage, self.POLICY)

    def test_never_makes_an_answer_of_the_callers_key(self, stage: Stage) -> None:
        """RFC 4568 §7.1.2; the caller would hear his own key."""
        outer, invite = self.first(stage)
        stage.send(self.copied(invite, stage.call(B2BUA, ALICE)), RELAYED)
        stage.send(outer.reply(invite, 200, invite.body), REFLECTED)
        check(stage, self.POLICY)

    def test_each_leg_keeps_its_numbers(self, stage: Stage) -> None:
        _, invite = self.first(stage)
        inner = stage.call(B2BUA, ALICE)
        inner.cseq[B2BUA.name] = 700
        onward = stage.send(self.copied(invite, inner), RELAYED)
        stage.wait(T + 1)
        stage.send(invite, STALE)
        stage.send(onward, STALE)
        check(stage, self.POLICY)

    def test_between_two_proxies(self, stage: Stage) -> None:
        outer, inner = stage.call(BOB, B2BUA, next_hop=PROXY), stage.call(B2BUA, ALICE, next_hop=OUTER)
        offer = stage.plain(BOB)
        invite = stage.send(outer.invite(offer), FIRST_USE)
        arrived = relay(stage, invite, PROXY, B2BUA)
        onward = relay(stage, stage.send(inner.invite(offer), RELAYED), OUTER, ALICE)
        answer = stage.plain(ALICE)
        taken = relay(stage, stage.send(inner.reply(onward, 200, answer), FIRST_USE), OUTER, B2BUA)
        assert taken.body is not None
        relay(stage, stage.send(outer.reply(arrived, 200, answer), RELAYED), PROXY, BOB)
        stage.send(stage.call(B2BUA, CAROL).invite(offer), KEY_REUSED)
        check(stage, trusting(PROXY, OUTER, b2bua=(B2BUA,)))


class TestByCommand:
    """Captures replayed under a configuration that names the machines, and without one."""

    @staticmethod
    def reasons(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, int]:
        main(["replay", "--json", *arguments])
        *_, summary = map(json.loads, capsys.readouterr().out.splitlines())
        found: dict[str, int] = summary["reasons"]
        return found

    def test_two_proxies(self, tmp_path: Path, stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
        TestTwoProxies().test_in_a_row(stage, 4)
        made, config = tmp_path / "proxies.pcap", tmp_path / "monitor.toml"
        with made.open("wb") as file:
            writer.write(stage.frames, file)
        config.write_text(f'[policy]\nrelays = ["{PROXY.address}", "{OUTER.address}"]\n')
        told = self.reasons(capsys, "--config", str(config), str(made))
        assert told == {"first-use": 2, "relayed": 4, "retransmission": 3}
        assert self.reasons(capsys, str(made)) == {"first-use": 2, "source-changed": 6, "retransmission": 1}

    @pytest.mark.parametrize(
        ("scenario", "trusted", "alone"),
        [
            ("relayed", {"first-use": 2, "relayed": 2}, {"first-use": 2, "source-changed": 2}),
            ("b2bua", {"first-use": 2, "relayed": 2}, {"first-use": 2, "key-reused": 2}),
            ("gateway-pairs-once", {"first-use": 1, "relayed": 1, "key-reused": 2},
             {"first-use": 1, "key-reused": 3}),
        ],
    )  # fmt: skip
    def test_a_simulated_one(
        self,
        scenario: str,
        trusted: dict[str, int],
        alone: dict[str, int],
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        made, config = tmp_path / f"{scenario}.pcap", tmp_path / "monitor.toml"
        keys = Path(__file__).parents[1] / "pcaps" / "keys"
        assert main(["simulate", "--keys", str(keys), "--out", str(tmp_path), scenario]) == 0
        capsys.readouterr()
        config.write_text(f'[policy]\nrelays = ["{PROXY.address}"]\nb2bua = ["{B2BUA.address}"]\n')
        assert self.reasons(capsys, "--config", str(config), str(made)) == trusted
        assert self.reasons(capsys, str(made)) == alone
