"""Random conversations and attacks: the judge against the reference, and what neither may ever say.

``MODEL_EXAMPLES`` asks for more conversations than the few of every test run (``make model``).
"""

import os
from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from parties import DESK, Call, Sent
from playbook import ALICE, B2BUA, BOB, CHARLES, PROXY, START, Said, Stage
from reference import ACCEPTS, Reference

from monitor.antireplay.observation import Tier
from monitor.antireplay.policy import Policy
from monitor.sip.message import Via
from monitor.wire.address import pack, same_network, text

EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "120"))
STEPS = 40
MOBILE = "192.0.2.130"
"""Where Bob's phone goes when it leaves."""
ADDRESSES = (BOB, ALICE, DESK, MOBILE, PROXY, B2BUA, CHARLES)
ALIVE = 32
"""Seconds for which a message is sent again (RFC 3261 §17.1.1.2)."""
POLICIES = {
    "exact": Policy(originator="ignore"),
    "prefix": Policy(originator="ignore", prefix_ipv4=25),
    "moves": Policy(originator="ignore", moves=True),
    "relay": Policy(originator="ignore", relays=frozenset({pack(PROXY)})),
    "b2bua": Policy(originator="ignore", b2bua=frozenset({pack(B2BUA)})),
}
STARTS = {"answered": (True, 200), "ringing": (True, 183), "late offer": (False, 183)}
"""Whether the INVITE has an offer, and what comes back."""
SIDES = ("both", "callers", "callees")
"""What is seen of the machine between the parties: all, or one side of it."""


class Conversations(RuleBasedStateMachine):
    """Bob calls Alice, who has two phones; Charles hears all of it and sends what he likes."""

    counts: Counter[str]

    @initialize(
        policy=st.sampled_from(["exact", "prefix", "moves", *["relay"] * 3, *["b2bua"] * 2]),
        side=st.sampled_from(SIDES),
        starts=st.lists(st.sampled_from(sorted(STARTS)), min_size=1, max_size=2),
    )
    def begin(self, policy: str, side: str, starts: list[str]) -> None:
        self.policy = POLICIES[policy]
        prefix = self.policy.prefix_ipv4
        self.stage = Stage(self.policy)
        relays, b2bua = (tuple(map(text, named)) for named in (self.policy.relays, self.policy.b2bua))
        self.between, self.side = next(iter(relays + b2bua), ""), side
        self.reference = Reference(
            self.policy.moves,
            lambda one, other: same_network(pack(one), pack(other), prefix),
            relays,
            b2bua,
        )
        self.now = 0.0
        self.sent: list[Sent] = []
        self.late: list[Sent] = []
        self.left: set[int] = set()
        self.invaded: set[str] = set()
        self.calls: list[Call] = []
        self.fresh = 0
        for start in starts:
            offer, status = STARTS[start]
            self.invite(offer, Tier.MASTER_KEY, "arrives")
            self.respond(len(self.sent), status, True, "arrives")

    # What happens

    def hear(self, said: Said) -> str | None:
        """Have both rule on a message; they must agree."""
        ruling = self.stage.hear(said, self.now)
        reason = ruling.reason.value if ruling is not None else None
        expected = self.reference.hear(said, START + round(self.now * 10**9))
        assert reason == expected, (
            f"at {self.now} s the judge says {reason}, the reference {expected}: {said}"
        )
        self.counts["messages"] += 1
        return reason

    def say(self, call: Call, said: Said, fate: str) -> None:
        """A party sends a message: it arrives, is lost before anybody sees it, or is late; if not here, then
        behind the machine between.
        """
        hops = call.hops(said)
        if said.status == 100 or self.is_kept(call, said):
            hops = hops[:1]  # It goes no further.
        onward = hops[1] if len(hops) > 1 else None
        fate, behind = ("arrives", fate.split()[0]) if " " in fate else (fate, "arrives")
        self._send(Sent(hops[0], call, self.now, said, onward, call.sees(hops[0]), behind), fate)

    def is_kept(self, call: Call, said: Said) -> bool:
        """A proxy waits for what the other phone says before it passes a refusal on (RFC 3261 §16.7)."""
        initial = said.method == "INVITE" and call.taken is None
        rings = any(each.method == "INVITE" for each in call.pending)
        return call.between == PROXY and initial and (said.status or 0) >= 300 and rings

    def _send(self, sent: Sent, fate: str) -> None:
        self.sent.append(sent)
        if fate == "late":
            self.late.append(sent)
        elif fate == "arrives":
            self.arrive(sent)

    def arrive(self, sent: Sent) -> None:
        first, sent.heard = not sent.heard, True
        call, said = sent.call, sent.said
        if sent.seen:
            self._see(sent)
        if sent.onward is None:
            if sent.of.method == "INVITE" and 100 < (sent.of.status or 0) < 300:
                call.answered.add(sent.of.responder or "")
        elif first:
            # A key that a B2BUA carries on late is another call's (docs/rulings.md).
            fate = "arrives" if call.between == B2BUA and said.keys else sent.behind
            self._send(Sent(sent.onward, call, self.now, sent.of, seen=call.sees(sent.onward)), fate)

    def _see(self, sent: Sent) -> None:
        reason = self.hear(sent.said)
        if reason is not None and sent.call.id not in self.invaded:
            self.counts["honest"] += 1
            self.counts["twice"] += reason == "relayed"
            self.counts["denied"] += reason not in ACCEPTS
            assert reason in ACCEPTS, f"at {self.now} s {reason}: {sent.said}"

    def key(self, call: Call, party: str, fresh: bool) -> tuple[str, ...]:
        """The party's keys: new ones where it has none or wants some."""
        if fresh or party not in call.keys:
            self.fresh += 1
            call.keys[party] = tuple(f"{party}-{self.fresh}-{n}" for n in range(1 + self.fresh % 2))
        return call.keys[party]

    FATES = st.sampled_from(["arrives"] * 8 + ["late", "lost", "late behind", "lost behind"])
    PICK = st.integers(0, 10**6)

    @rule(seconds=st.sampled_from([0.1, 0.5, 4, 20, 31, 37, 37.001, 60, 3600]))
    def wait(self, seconds: float) -> None:
        self.now = round(self.now + seconds, 3)

    # What the parties do

    @precondition(lambda self: len(self.calls) < 3)
    @rule(offer=st.booleans(), tier=st.sampled_from(Tier), fate=FATES)
    def invite(self, offer: bool, tier: Tier, fate: str) -> None:
        call = Call(f"call-{len(self.calls)}", tier, self.between, self.side)
        self.calls.append(call)
        keys = self.key(call, "bob", True) if offer else ()
        said = Said(keys=keys, tier=tier, call=call.id, branch=f"{call.id}-1")
        call.pending.append(said)
        self.say(call, said, fate)

    @precondition(lambda self: self.calls)
    @rule(pick=PICK, fate=FATES)
    def fork(self, pick: int, fate: str) -> None:
        """A copy of the INVITE goes to the other phone."""
        call = self.calls[pick % len(self.calls)]
        first = next((each for each in call.pending if each.branch == f"{call.id}-{each.cseq}"), None)
        patience = 120 if call.between == PROXY else 5  # A proxy may ring one phone after the other.
        if first is None or self.now - self.since(first) > patience or call.over or call.between == B2BUA:
            return
        said = replace(first, branch=f"{first.branch}-desk", destination=DESK)
        known = {sent.of.branch for sent in self.sent if sent.heard or not call.between}
        if first.branch in known and not any(sent.of == said for sent in self.sent):
            call.pending.append(said)
            self.say(call, said, fate)

    def since(self, said: Said) -> float:
        return next(sent.at for sent in self.sent if sent.of == said)

    @precondition(lambda self: any(call.pending for call in self.calls))
    @rule(
        pick=PICK,
        status=st.sampled_from([100, 180, 183, 183, 200, 200, 200, 401, 486, 491]),
        answer=st.booleans(),
        fate=FATES,
    )
    def respond(self, pick: int, status: int, answer: bool, fate: str) -> None:
        pending = [(call, said) for call in self.calls for said in call.pending]
        call, said = pending[pick % len(pending)]
        if call.over or (said.method != "INVITE" and status < 200):
            return
        phone = "desk" if said.destination == DESK else "alice"
        party = said.responder or phone
        if call.taken not in (None, "bob", party) and party != "bob":
            return
        keys = self.key(call, party, False) if answer and 100 < status < 300 else ()
        reply = replace(
            said,
            status=status,
            keys=keys,
            responder=party,
            source=call.address(party),
            destination=said.source,
        )
        initial = said.method == "INVITE" and said.responder is None
        if initial and 100 < status < 300 and keys and fate not in ("late", "lost"):
            call.early.add(party)
        if status >= 200:
            call.pending.remove(said)
        if initial and 200 <= status < 300:
            call.taken, call.taken_at = party, self.now
            call.pending = [each for each in call.pending if each.method != "INVITE" or each.responder]
        if initial and status >= 300:
            call.early.discard(party)
        if initial and status in (486, 491) and not any(each.method == "INVITE" for each in call.pending):
            call.over = status == 486
        self.say(call, reply, fate)

    @precondition(lambda self: self.calls)
    @rule(pick=PICK, fate=FATES)
    def retry(self, pick: int, fate: str) -> None:
        """After a challenge: the INVITE again with the next number."""
        call = self.calls[pick % len(self.calls)]
        if call.pending or call.taken or call.over or call.cseq["bob"] > 6:
            return
        call.cseq["bob"] += 1
        number = call.cseq["bob"]
        keys = call.keys.get("bob", ())
        said = Said(keys=keys, tier=call.tier, call=call.id, cseq=number, branch=f"{call.id}-{number}")
        call.pending.append(said)
        self.say(call, said, fate)

    @precondition(lambda self: any(call.taken or call.early for call in self.calls))
    @rule(
        pick=PICK,
        by_bob=st.booleans(),
        method=st.sampled_from(["INVITE", "UPDATE", "PRACK", "ACK"]),
        fresh=st.sampled_from([False, False, True]),
        bare=st.booleans(),
        fate=FATES,
    )
    def request(self, pick: int, by_bob: bool, method: str, fresh: bool, bare: bool, fate: str) -> None:
        """A request within the dialog, with the old keys, new ones or none."""
        calls = [call for call in self.calls if call.taken or call.early]
        call = calls[pick % len(calls)]
        callee = call.taken or sorted(call.early)[pick % len(call.early)]
        party, peer = ("bob", callee) if by_bob or method in ("ACK", "PRACK") else (callee, "bob")
        if call.over or call.cseq.get(party, 0) > 6 or (method in ("INVITE", "ACK") and not call.taken):
            return
        if party == "bob" and callee not in call.answered:
            return
        if method == "ACK":
            if call.acknowledged or call.cseq["bob"] != 1 or self.now - call.taken_at > ALIVE:
                return
            call.acknowledged = True
            bare |= "bob" in call.keys  # It has a body where the offer was late.
        rivals = [said for said in call.pending if said.requester == party]
        if any((said.method == "INVITE") == (method == "INVITE") for said in rivals):
            return
        if any(sent.of in rivals and sent.said.keys and not sent.heard for sent in self.sent):
            return  # Whose offer is under way makes no other (RFC 3264 §4).
        if method != "ACK":
            call.cseq[party] = call.cseq.get(party, 0) + 1
        number = call.cseq[party]
        said = Said(
            method=method,
            cseq=number,
            keys=() if bare else self.key(call, party, fresh and method != "ACK"),
            tier=call.tier,
            call=call.id,
            requester=party,
            responder=peer,
            source=call.address(party),
            destination=call.address(peer),
            branch=f"{call.id}-{party}-{method}-{number}",
        )
        if method != "ACK":
            call.pending.append(said)
        self.say(call, said, fate)

    @precondition(lambda self: self.calls)
    @rule(pick=PICK, by_bob=st.booleans(), fate=FATES)
    def hang_up(self, pick: int, by_bob: bool, fate: str) -> None:
        call = self.calls[pick % len(self.calls)]
        if call.over:
            return
        call.over = True
        invites = [said for said in call.pending if said.method == "INVITE" and not said.responder]
        if call.taken is None:
            for said in invites:
                self.say(call, replace(said, method="CANCEL", keys=()), fate)
            return
        party, peer = ("bob", call.taken) if by_bob else (call.taken, "bob")
        call.cseq[party] = call.cseq.get(party, 0) + 1
        bye = Said(
            "BYE",
            cseq=call.cseq[party],
            call=call.id,
            requester=party,
            responder=peer,
            source=call.address(party),
            destination=call.address(peer),
            branch=f"{call.id}-{party}-bye",
        )
        self.say(call, bye, fate)

    def lasts(self, sent: Sent) -> bool:
        """Whether the message may still be under way, or be sent again.

        One that nobody has heard is not, once its sender has gone on: he had an answer to it.
        """
        call, said = sent.call, sent.of
        newest = next(each.of for each in reversed(self.sent) if each.call is call) == said
        fresh = sent.heard or newest or said in call.pending
        fresh = fresh and not (100 < (said.status or 0) < 200 and self.went_on(sent))
        return fresh and self.now - sent.at <= ALIVE and id(sent) not in self.left

    def went_on(self, sent: Sent) -> bool:
        """Whether the requester has sent another INVITE since; he had the final answer to the one before."""
        since = (each.of for each in self.sent if each.call is sent.call and each.of.status is None)
        said = sent.of
        return any(
            each.method == "INVITE" and each.requester == said.requester and each.cseq > said.cseq
            for each in since
        )

    @precondition(lambda self: self.sent)
    @rule(pick=PICK)
    def send_again(self, pick: int) -> None:
        """A retransmission, while its transaction lasts."""
        lasting = [sent for sent in self.sent if self.lasts(sent)]
        if lasting:
            self.arrive(lasting[pick % len(lasting)])

    @precondition(lambda self: self.late)
    @rule(pick=PICK)
    def come_late(self, pick: int) -> None:
        """What was overtaken arrives, unless it was under way for too long."""
        sent = self.late.pop(pick % len(self.late))
        if self.lasts(sent):
            self.arrive(sent)

    @precondition(lambda self: self.calls and self.policy.moves)
    @rule(pick=PICK, address=st.sampled_from([BOB, MOBILE]))
    def move(self, pick: int, address: str) -> None:
        """Bob's phone has another address from now on, and says so by a request."""
        call = self.calls[pick % len(self.calls)]
        if call.taken and not call.over and not call.pending and call.cseq["bob"] < 7:
            call.bob = address
            # Nothing more comes from where he was.
            self.left |= {id(sent) for sent in self.sent if sent.call is call}
            self.request(pick, True, "UPDATE", False, False, "arrives")

    # What Charles does

    PARTS: ClassVar[dict[str, Any]] = {
        "call": st.sampled_from(["call-0", "call-1", "call-0-b", "other"]),
        "requester": st.sampled_from(["bob", "alice", "desk", "gateway", "charles"]),
        "responder": st.sampled_from([None, "bob", "alice", "desk", "gateway", "charles"]),
        "source": st.sampled_from(ADDRESSES),
        "destination": st.sampled_from(ADDRESSES),
        "cseq": st.integers(0, 80),
        "method": st.sampled_from(["INVITE", "UPDATE", "PRACK", "ACK", "BYE", "CANCEL", "MESSAGE"]),
        "status": st.sampled_from([None, 180, 183, 200, 202, 401, 486]),
        "branch": st.sampled_from(["call-0-1", "call-0-1-desk", "charles"]),
        "keys": st.sampled_from([(), ("charles",), ("bob-1-0",), ("charles", "bob-1-0")]),
    }
    CHANGES = st.one_of(
        st.lists(st.sampled_from(sorted(PARTS)), max_size=2, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({name: Conversations.PARTS[name] for name in names})
        ),
        st.fixed_dictionaries({}, optional=PARTS),
    )

    @rule(
        replays=st.lists(
            st.tuples(
                PICK, CHANGES, st.sampled_from(["", "", "through the proxy", "as the proxy", "onward"])
            ),
            min_size=1,
            max_size=6,
        )
    )
    def replay(self, replays: list[tuple[int, dict[str, Any], str]]) -> None:
        """Any messages again, any part of them another, from Charles's own address or a forged one."""
        for pick, changes, how in replays:
            sent = self.sent[pick % len(self.sent)]
            if (
                how == "onward" and sent.onward is not None
            ):  # what the machine between would say, if only late
                said = replace(sent.onward, **changes)
            else:
                said = replace(sent.said, **{"source": CHARLES, **changes})
            if said.status is not None and said.responder is None:
                said = replace(said, responder="alice")
            if said.vias and "branch" in changes:
                said = replace(said, vias=(said.vias[0]._replace(branch=said.branch), *said.vias[1:]))
            if how.endswith("proxy") and said.status is None:
                said = self._proxied(said, how == "as the proxy")
            self._replay(said)

    @staticmethod
    def _proxied(said: Said, forged: bool) -> Said:
        """As the proxy passes it on, who tells whom it has it from; or as Charles says that it does."""
        below = said.vias or (Via("UDP", said.source, None, said.branch),)
        own = Via("UDP", PROXY, None, f"{below[0].branch}-p")
        if forged:
            return replace(said, vias=(own, below[0]._replace(received=BOB), *below[1:]))
        return replace(said, source=PROXY, vias=(own, below[0]._replace(received=said.source), *below[1:]))

    def _replay(self, said: Said) -> None:
        sights, relays = self.reference.sights, self.reference.relays
        known = set(sights) - {"charles"}
        # He is never the first: who is, owns a key, and a call.
        first = not set(said.keys) <= known | {"charles"}
        first |= said.call not in {call for call, _ in self.reference.calls}
        forged = self.reference.came(said, 0).source != CHARLES
        if first or (forged and not said.keys):  # nobody could tell a forged BYE from a party's own
            return
        stolen = known & set(said.keys)
        heard = [each.heard for key in stolen for each in sights[key]]
        homes = {(each.said.call, each.sender) for each in heard}
        party = said.requester if said.status is None else said.responder
        # Of whom only answers were seen, through a relay, that one has no address yet.
        placed = any(each.source not in relays for each in heard if each.sender == party)
        from_elsewhere = not forged and placed and self.policy.prefix_ipv4 == 32 and not self.policy.moves
        reason = self.hear(said)
        if reason in ACCEPTS and (stolen or forged):
            # He speaks as a party now, from its address, or as the machine between.
            self.invaded |= {call.removesuffix("-b") for call in (said.call, *(call for call, _ in homes))}
        elsewhere = (said.call, party) not in homes and said.source not in self.reference.b2bua
        if stolen and (elsewhere or from_elsewhere):
            self.counts["replays"] += 1
            self.counts["accepted"] += reason in ACCEPTS
            assert reason not in ACCEPTS, f"at {self.now} s {reason}: {said}"


def test_the_judge_says_what_the_reference_says(capsys: pytest.CaptureFixture[str]) -> None:
    counts: Counter[str] = Counter()
    machine = type("Counted", (Conversations,), {"counts": counts})
    effort = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        report_multiple_bugs=False,
        phases=[Phase.generate],  # What fails is told as it was found: to shrink it takes minutes.
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    run_state_machine_as_test(machine, settings=effort)
    with capsys.disabled():
        print(
            f"\nmodel: {counts['messages']} messages ruled on as the reference does;"
            f" {counts['denied']} of {counts['honest']} honest ones denied ({counts['twice']} relayed),"
            f" {counts['accepted']} of {counts['replays']} replays accepted"
        )
