"""The table of reasons, row by row: each row's story, its edges, and its look-alikes."""

from dataclasses import replace

import pytest
from playbook import ALICE, B2BUA, BOB, CHARLES, PROXY, Said, Stage, answer, invite, request

from monitor.antireplay.judge import worst
from monitor.antireplay.observation import Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Ruling, Verdict
from monitor.sip.message import Via
from monitor.wire.address import pack

T = 37.0
MOMENT = 0.001


@pytest.fixture
def stage() -> Stage:
    """A stage on which Bob's INVITE with key K was just accepted."""
    stage = Stage()
    stage.rules(invite("K"), "first-use")
    return stage


def established(policy: Policy | None = None) -> Stage:
    """A stage on which Bob called with key K and Alice answered with key A."""
    stage = Stage(policy or Policy())
    stage.rules(invite("K"), "first-use")
    stage.rules(answer(200, "A"), "first-use", at=2)
    stage.hear(request("ACK", cseq=1), at=2.1)
    return stage


class TestFirstUse:
    def test_a_new_key_is_accepted(self) -> None:
        Stage().rules(invite("K"), "first-use")

    def test_a_new_key_in_a_known_dialog_is_a_first_use_too(self, stage: Stage) -> None:
        stage.rules(request("INVITE", "L"), "first-use", at=5)


class TestRetransmission:
    @pytest.mark.parametrize("at", [0, 0.5, 31.5, T])
    def test_the_same_message_within_t(self, stage: Stage, at: float) -> None:
        stage.rules(invite("K"), "retransmission", at=at)

    def test_later_than_t_it_is_stale(self, stage: Stage) -> None:
        stage.rules(invite("K"), "stale", at=T + MOMENT)

    def test_t_counts_from_the_first_sight_not_from_the_last(self, stage: Stage) -> None:
        stage.rules(invite("K"), "retransmission", at=30)
        stage.rules(invite("K"), "stale", at=T + MOMENT)

    def test_each_transaction_has_a_t_of_its_own(self) -> None:
        stage = established()
        stage.rules(request("INVITE", "K"), "refresh", at=1000)
        stage.rules(request("INVITE", "K"), "retransmission", at=1000 + T)

    def test_a_retransmitted_answer(self, stage: Stage) -> None:
        stage.rules(answer(200, "A"), "first-use", at=20)
        stage.rules(answer(200, "A"), "retransmission", at=20 + T)
        stage.rules(answer(200, "A"), "stale", at=20 + T + MOMENT)

    def test_a_provisional_answer_that_the_final_one_overtook(self, stage: Stage) -> None:
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.rules(answer(200, "A"), "refresh", at=180)
        stage.rules(answer(183, "A"), "retransmission", at=180.1)
        stage.rules(answer(183, "A"), "retransmission", at=180 + T)

    def test_an_ack_with_an_answer_is_sent_again_for_each_copy_of_the_200(self) -> None:
        stage = Stage()
        stage.hear(invite())
        stage.rules(answer(200, "A"), "first-use", at=1)
        for at in (1.1, 1.6, 2.6, 33):
            reason = "first-use" if at == 1.1 else "retransmission"
            stage.rules(request("ACK", "K", cseq=1), reason, at=at)
        stage.rules(request("ACK", "K", cseq=1), "stale", at=1.1 + T + MOMENT)

    def test_a_clock_that_steps_back_denies_nobody(self, stage: Stage) -> None:
        stage.rules(invite("K"), "retransmission", at=-3600)


class TestForked:
    def test_another_branch_of_the_same_transaction(self, stage: Stage) -> None:
        stage.rules(invite("K", branch="z9hG4bK-2"), "forked", at=0.1)
        stage.rules(invite("K", branch="z9hG4bK-2"), "retransmission", at=0.6)

    def test_later_than_t_it_is_stale(self, stage: Stage) -> None:
        stage.rules(invite("K", branch="z9hG4bK-2"), "stale", at=T + MOMENT)

    def test_forks_that_answer_with_keys_of_their_own(self, stage: Stage) -> None:
        stage.rules(answer(183, "A1", responder="a1"), "first-use", at=1)
        stage.rules(answer(183, "A2", responder="a2"), "first-use", at=1)
        stage.rules(answer(200, "A2", responder="a2"), "refresh", at=9)
        stage.rules(request("INVITE", "K", responder="a2"), "refresh", at=100)

    def test_one_phone_refuses_and_the_other_rings_on(self) -> None:
        """Seen behind the proxy: a failure on one way is not the end of the INVITE."""
        stage = Stage()
        ways = {tag: invite("K", source=PROXY, branch=f"z9hG4bK-{tag}") for tag in ("a1", "a2")}
        stage.rules(ways["a1"], "first-use")
        stage.rules(ways["a2"], "forked", at=0.01)
        back = {
            tag: {
                "responder": tag,
                "destination": PROXY,
                "vias": (Via("UDP", PROXY, None, f"z9hG4bK-{tag}"),),
            }
            for tag in ways
        }
        stage.rules(answer(183, "A2", **back["a2"]), "first-use", at=1)
        stage.hear(answer(486, **back["a1"]), at=5)
        stage.rules(answer(183, "A2", **back["a2"]), "refresh", at=65)
        stage.rules(request("PRACK", "K", source=PROXY, responder="a2"), "refresh", at=65.1)
        stage.rules(answer(200, "A2", **back["a2"]), "refresh", at=100)
        stage.rules(request("INVITE", "K", source=PROXY, responder="a2", cseq=3), "refresh", at=900)

    def test_the_last_way_to_fail_ends_it(self) -> None:
        stage = Stage()
        for tag, reason in (("a1", "first-use"), ("a2", "forked")):
            stage.rules(invite("K", source=PROXY, branch=f"z9hG4bK-{tag}"), reason)
        for tag, at in (("a1", 5), ("a2", 20)):
            way = (Via("UDP", PROXY, None, f"z9hG4bK-{tag}"),)
            stage.hear(answer(486, responder=tag, destination=PROXY, vias=way), at=at)
        stage.rules(invite("K", source=PROXY, cseq=2), "dialog-ended", at=20 + T + MOMENT)

    def test_one_phone_after_the_other(self) -> None:
        """A proxy cancels the first phone and rings the second, which takes the call after long."""
        stage = Stage()
        stage.rules(invite("K", source=PROXY, branch="z9hG4bK-a1"), "first-use")
        stage.hear(invite(method="CANCEL", source=PROXY, branch="z9hG4bK-a1"), at=20)
        stage.rules(invite("K", source=PROXY, branch="z9hG4bK-a2"), "forked", at=20.1)
        way = (Via("UDP", PROXY, None, "z9hG4bK-a2"),)
        stage.rules(answer(183, "A", responder="a2", destination=PROXY, vias=way), "first-use", at=21)
        stage.rules(answer(200, "A", responder="a2", destination=PROXY, vias=way), "refresh", at=90)

    def test_a_fork_that_lost_is_over_t_after_another_took_the_call(self, stage: Stage) -> None:
        stage.rules(answer(183, "A1", responder="a1"), "first-use", at=1)
        stage.rules(answer(183, "A2", responder="a2"), "first-use", at=1)
        stage.rules(answer(200, "A2", responder="a2"), "refresh", at=9)
        stage.rules(answer(183, "A1", responder="a1"), "dialog-ended", at=9 + T + MOMENT)
        stage.rules(answer(183, "A1", responder="a1", cseq=2), "dialog-ended", at=9 + T + MOMENT)
        stage.rules(request("INVITE", "K", responder="a2", cseq=3), "refresh", at=100)
        stage.hear(request("BYE", responder="a2", cseq=4), at=200)
        stage.rules(invite("K", cseq=5), "key-reused", at=200 + T + MOMENT)

    def test_a_fork_that_answers_when_another_has_taken_the_call(self, stage: Stage) -> None:
        stage.rules(answer(200, "A2", responder="a2"), "first-use", at=9)
        stage.rules(answer(183, "A1", responder="a1"), "first-use", at=9.1)
        stage.rules(answer(183, "A1", responder="a1"), "retransmission", at=9 + T)
        stage.rules(answer(183, "A1", responder="a1", cseq=2), "dialog-ended", at=9 + T + MOMENT)

    def test_an_early_key_after_a_later_invite_is_stale(self, stage: Stage) -> None:
        """Whoever sends another INVITE has had his answer to the one before."""
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.hear(answer(200), at=2)
        stage.rules(request("INVITE", "K", cseq=2), "refresh", at=3)
        stage.rules(answer(183, "A"), "stale", at=3 + T + MOMENT)

    def test_a_bye_to_one_fork_leaves_the_other(self, stage: Stage) -> None:
        for tag in ("a1", "a2"):
            stage.rules(answer(200, f"A-{tag}", responder=tag), "first-use", at=1)
        stage.hear(request("BYE", responder="a1", cseq=2), at=2)
        stage.rules(request("INVITE", "K", responder="a2", cseq=3), "refresh", at=900)


class TestRefresh:
    @pytest.mark.parametrize("status", [401, 407, 422, 491])
    def test_a_retry_at_any_age(self, stage: Stage, status: int) -> None:
        stage.hear(answer(status), at=0.2)
        stage.rules(invite("K", cseq=2, branch="z9hG4bK-2"), "refresh", at=5000)

    def test_a_session_timer_an_hour_later(self) -> None:
        established().rules(request("INVITE", "K"), "refresh", at=3600)

    def test_hold_is_no_change_of_media(self) -> None:
        stage = established()
        stage.rules(request("INVITE", "K", endpoints=()), "refresh", at=60)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=90)

    def test_the_two_parties_number_on_their_own(self) -> None:
        stage = established()
        reinvite = Said(
            keys=("A",), requester="alice", responder="bob", cseq=77, source=ALICE, destination=BOB
        )
        stage.rules(replace(reinvite, endpoints=(("192.0.2.1", 5000),)), "refresh", at=60)
        answered = answer(
            200, "K", requester="alice", responder="bob", cseq=77, source=BOB, destination=ALICE
        )
        stage.rules(replace(answered, endpoints=(("192.0.2.5", 4000),)), "refresh", at=60.1)
        stage.rules(request("INVITE", "K", cseq=2), "refresh", at=70)

    def test_the_first_2xx_of_a_pending_invite_at_any_age(self, stage: Stage) -> None:
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.rules(answer(183, "A"), "retransmission", at=2)
        stage.rules(answer(180, "A"), "refresh", at=100)
        stage.rules(answer(183, "A"), "refresh", at=150)
        stage.rules(answer(200, "A"), "refresh", at=180)
        stage.rules(answer(200, "A"), "retransmission", at=180 + T)
        stage.rules(answer(200, "A"), "stale", at=180 + T + MOMENT)

    def test_a_provisional_response_long_after_the_final_one_is_stale(self, stage: Stage) -> None:
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.rules(answer(200, "A"), "refresh", at=2)
        stage.rules(answer(183, "A"), "stale", at=2 + T + MOMENT)

    def test_prack_and_update_between_183_and_200(self, stage: Stage) -> None:
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.rules(request("PRACK", "K", cseq=2), "refresh", at=1.1)
        stage.rules(answer(200, "A", method="PRACK", cseq=2), "refresh", at=1.2)
        stage.rules(request("UPDATE", "K", cseq=3), "refresh", at=3)
        stage.rules(answer(200, "A", method="UPDATE", cseq=3), "refresh", at=3.1)
        stage.rules(answer(200, "A"), "refresh", at=90)

    def test_a_late_offer_is_answered_in_the_ack(self) -> None:
        stage = Stage()
        stage.hear(invite())
        stage.rules(answer(200, "A"), "first-use", at=50)
        stage.rules(request("ACK", "K", cseq=1), "first-use", at=50.1)
        stage.rules(request("ACK", "K", cseq=1), "retransmission", at=50.6)

    def test_an_ack_bears_the_number_of_its_invite_though_prack_came_between(self) -> None:
        stage = Stage()
        stage.hear(invite())
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.rules(request("PRACK", "K", cseq=2), "first-use", at=1.1)
        stage.rules(answer(200, "A"), "refresh", at=60)
        stage.rules(request("ACK", "K", cseq=1), "refresh", at=60.1)

    @pytest.mark.parametrize("seen", ["INVITE", "200"])
    def test_a_late_offer_within_the_call_is_answered_with_the_old_key(self, seen: str) -> None:
        """Either tells that there is an INVITE of that number."""
        stage = established()
        stage.hear(request("INVITE", cseq=9) if seen == "INVITE" else answer(200, cseq=9), at=60)
        acknowledgment = request("ACK", "K", cseq=9)
        stage.rules(acknowledgment, "refresh", at=60.1)
        stage.rules(acknowledgment, "retransmission", at=60.6)
        stage.rules(acknowledgment, "stale", at=60.1 + T + MOMENT)

    def test_an_ack_that_the_monitor_began_with_is_sent_again(self) -> None:
        stage = Stage()
        stage.rules(request("ACK", "K", cseq=30), "first-use")
        stage.rules(request("ACK", "K", cseq=30), "retransmission", at=0.5)
        stage.hear(request("INVITE", cseq=31), at=60)
        stage.rules(request("ACK", "K", cseq=31), "refresh", at=60.1)

    def test_the_answer_of_the_offers_retry_after_a_challenge(self, stage: Stage) -> None:
        stage.rules(answer(183, "A"), "first-use", at=1)
        stage.hear(answer(401), at=2)
        stage.rules(invite("K", cseq=2, branch="z9hG4bK-2"), "refresh", at=600)
        stage.rules(answer(183, "A", cseq=2), "refresh", at=601)

    @pytest.mark.parametrize("status", [180, 181, 183, 200])
    def test_an_answer_in_any_response_comes_again_in_the_next(self, stage: Stage, status: int) -> None:
        stage.rules(answer(status, "A"), "first-use", at=1)
        later = 200 if status < 200 else 202
        stage.rules(answer(later, "A"), "refresh" if status < 200 else "retransmission", at=30)

    def test_keys_that_move_between_streams(self, stage: Stage) -> None:
        """Bob's second stream takes the place, and the port, of his first; its key comes along."""
        streams = (("192.0.2.5", 4000), ("192.0.2.5", 4002))
        stage = Stage()
        stage.rules(invite("K", "L", endpoints=streams), "first-use")
        stage.rules(answer(200, "A"), "first-use", at=1)
        stage.rules(request("INVITE", "L", "K", endpoints=streams), "refresh", at=60)
        stage.rules(request("INVITE", "L", cseq=3, endpoints=streams[:1]), "refresh", at=90)

    def test_some_keys_are_renewed_and_some_stay(self) -> None:
        stage = established()
        stage.rules(request("INVITE", "K", "L"), "refresh", at=60)
        stage.rules(request("INVITE", "L", "M", cseq=3), "refresh", at=90)
        stage.rules(request("INVITE", "K", "M", cseq=4), "refresh", at=120)

    def test_a_retry_of_a_caller_whose_callee_has_no_tag(self) -> None:
        """RFC 2543 user agents: without tags the next request of the dialog looks as the first did."""
        stage = Stage()
        stage.rules(invite("K"), "first-use")
        untagged = replace(answer(200, "A"), responder=None)
        stage.rules(untagged, "first-use", at=1)
        stage.rules(invite("K", cseq=2), "refresh", at=100)

    def test_a_request_that_was_overtaken(self) -> None:
        stage = established()
        stage.rules(request("UPDATE", "K", cseq=5), "refresh", at=60)
        stage.rules(request("UPDATE", "K", cseq=4), "refresh", at=60.1)


class TestRelayed:
    POLICY = Policy(relays=frozenset({pack(PROXY)}))

    @staticmethod
    def onward(said: Said, branch: str = "z9hG4bK-p") -> Said:
        below = Via("UDP", said.source, None, said.branch, received=said.source)
        return replace(said, source=PROXY, destination=ALICE, vias=(Via("UDP", PROXY, None, branch), below))

    def test_both_sides_of_a_proxy(self) -> None:
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(self.onward(first), "relayed", at=0.01)
        stage.rules(first, "retransmission", at=0.5)
        stage.rules(self.onward(first), "retransmission", at=0.51)
        stage.rules(self.onward(first, "z9hG4bK-q"), "forked", at=0.6)

    @pytest.mark.parametrize(("late", "passed"), [(T, "relayed"), (T + MOMENT, "stale")])
    def test_the_next_hop_is_not_later_than_t(self, late: float, passed: str) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=PROXY), "first-use")
        update = request("UPDATE", "K", destination=PROXY)
        stage.rules(update, "refresh", at=60)
        stage.rules(self.onward(update), passed, at=60 + late)

    @pytest.mark.parametrize(("late", "passed"), [(T, "relayed"), (T + MOMENT, "source-changed")])
    def test_nor_is_that_of_an_answer(self, late: float, passed: str) -> None:
        stage = Stage(self.POLICY)
        stage.rules(self.onward(invite("K", destination=PROXY)), "first-use")
        vias = (Via("UDP", PROXY, None, "z9hG4bK-p"), Via("UDP", BOB, None, "z9hG4bK-1"))
        at_alice = answer(200, "A", destination=PROXY, vias=vias)
        stage.rules(at_alice, "first-use", at=1)
        stage.rules(replace(at_alice, source=PROXY, destination=BOB, vias=vias[1:]), passed, at=1 + late)

    def test_the_answer_on_its_way_back(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=PROXY), "first-use")
        stage.rules(self.onward(invite("K")), "relayed", at=0.01)
        at_alice = answer(
            200,
            "A",
            destination=PROXY,
            vias=(Via("UDP", PROXY, None, "z9hG4bK-p"), Via("UDP", BOB, None, "z9hG4bK-1")),
        )
        at_bob = replace(at_alice, source=PROXY, destination=BOB, vias=at_alice.vias[1:])
        stage.rules(at_alice, "first-use", at=1)
        stage.rules(at_bob, "relayed", at=1.01)
        stage.rules(at_alice, "retransmission", at=1.5)
        stage.rules(at_bob, "retransmission", at=1.51)

    def test_seen_on_the_callees_side_alone(self) -> None:
        """Bob's requests tell his address, his answers that of the proxy; both are his."""
        stage = Stage(self.POLICY)
        stage.rules(self.onward(invite("K", destination=PROXY)), "first-use")
        stage.rules(answer(200, "A", destination=PROXY), "first-use", at=1)
        update = request("UPDATE", "A", requester="alice", responder="bob", source=ALICE, destination=PROXY)
        stage.rules(replace(update, endpoints=()), "refresh", at=60)
        bobs = {"requester": "alice", "responder": "bob", "source": PROXY, "destination": ALICE}
        answered = answer(200, "K", method="UPDATE", cseq=2, endpoints=(), **bobs)
        stage.rules(answered, "refresh", at=60.1)
        stage.rules(answered, "retransmission", at=60.6)
        stage.rules(replace(answered, cseq=3), "refresh", at=90)
        stage.rules(self.onward(request("INVITE", "K")), "refresh", at=120)
        stage.rules(self.onward(request("INVITE", "K", source=CHARLES, cseq=3)), "source-changed", at=150)

    def test_seen_on_the_callers_side_alone(self) -> None:
        """Alice's answer comes from the proxy; her first request through it tells where she is."""
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=PROXY), "first-use")
        returned = answer(200, "A", source=PROXY, endpoints=())
        stage.rules(returned, "first-use", at=1)
        hers = request("INVITE", "A", requester="alice", responder="bob", source=ALICE, destination=BOB)
        hers = replace(hers, endpoints=())
        stage.rules(self.onward(hers), "refresh", at=60)
        stage.rules(replace(returned, method="UPDATE", cseq=2), "refresh", at=90)
        stage.rules(self.onward(replace(hers, cseq=3)), "refresh", at=120)
        stage.rules(self.onward(replace(hers, cseq=4, source=CHARLES)), "source-changed", at=150)
        stage.rules(replace(hers, cseq=5, source=CHARLES), "source-changed", at=150)

    def test_an_answer_from_a_relay_that_nobody_named(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(self.onward(invite("K", destination=PROXY)), "first-use")
        forged = answer(200, "K", requester="alice", responder="bob", source=CHARLES, destination=ALICE)
        stage.rules(forged, "source-changed", at=60)

    def test_both_sides_of_two_proxies(self) -> None:
        second = "192.0.2.11"
        stage = Stage(Policy(relays=frozenset({pack(PROXY), pack(second)})))
        first = invite("K", destination=PROXY)
        onward = replace(self.onward(first), destination=second)
        last = replace(
            onward,
            source=second,
            destination=ALICE,
            vias=(
                Via("UDP", second, None, "z9hG4bK-s"),
                Via("UDP", "proxy.example.org", None, "z9hG4bK-p", received=PROXY),
                onward.vias[1],
            ),
        )
        stage.rules(first, "first-use")
        stage.rules(onward, "relayed", at=0.01)
        stage.rules(last, "relayed", at=0.02)
        stage.rules(last, "retransmission", at=0.52)
        way = tuple(via._replace(received="") for via in last.vias)
        hop = answer(200, "A", destination=second, vias=way)
        stage.rules(hop, "first-use", at=1)
        stage.rules(replace(hop, source=second, destination=PROXY, vias=way[1:]), "relayed", at=1.01)
        stage.rules(replace(hop, source=PROXY, destination=BOB, vias=way[2:]), "relayed", at=1.02)
        stage.rules(replace(hop, source=PROXY, destination=BOB, vias=way[2:]), "retransmission", at=1.52)

    @staticmethod
    def upward(said: Said, branch: str) -> Said:
        """A response by Alice to the proxy, for the copy that went out under ``branch``."""
        return replace(said, destination=PROXY, vias=(Via("UDP", PROXY, None, branch), *said.vias))

    @staticmethod
    def cancel(branch: str) -> Said:
        return invite(method="CANCEL", source=PROXY, vias=(Via("UDP", PROXY, None, branch),))

    @pytest.mark.parametrize("both_sides", [True, False])
    def test_one_way_after_the_other_however_long_each_rings(self, both_sides: bool) -> None:
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        if both_sides:
            stage.rules(first, "first-use")
        stage.rules(self.onward(first, "z9hG4bK-p"), "relayed" if both_sides else "first-use", at=0.01)
        stage.rules(self.upward(answer(183, "A1", responder="a1"), "z9hG4bK-p"), "first-use", at=1)
        stage.hear(self.cancel("z9hG4bK-p"), at=60)
        stage.hear(self.upward(answer(487, responder="a1"), "z9hG4bK-p"), at=60.1)
        later = self.onward(first, "z9hG4bK-q")
        stage.rules(later, "forked", at=60.2)
        stage.rules(later, "forked", at=60.7)
        ringing = self.upward(answer(183, "A2", responder="a2"), "z9hG4bK-q")
        stage.rules(ringing, "first-use", at=61)
        stage.rules(self.onward(first, "z9hG4bK-r"), "forked", at=100)
        stage.rules(replace(ringing, status=200), "refresh", at=150)
        stage.rules(self.onward(first, "z9hG4bK-s"), "stale", at=150 + T + MOMENT)

    def test_a_further_way_only_by_a_relay_that_passed_this_invite_on(self) -> None:
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(self.onward(first), "relayed", at=0.01)
        stage.rules(self.onward(replace(first, branch="z9hG4bK-2"), "z9hG4bK-q"), "stale", at=60)
        stage.rules(replace(first, branch="z9hG4bK-3"), "stale", at=60)
        stage.rules(self.onward(replace(first, source=CHARLES), "z9hG4bK-q"), "source-changed", at=60)

    @pytest.mark.parametrize("both_sides", [True, False])
    def test_a_caller_who_sent_no_key_can_hang_up(self, both_sides: bool) -> None:
        """Where his ACK, which has the first, is lost, only the answers' Via tells where he is."""
        stage = Stage(self.POLICY)
        call = replace(answer(200, "A"), vias=(Via("UDP", BOB, None, "z9hG4bK-1", received=BOB),))
        stage.rules(self.upward(call, "z9hG4bK-p"), "first-use")
        bye = request("BYE")
        stage.hear(bye if both_sides else self.onward(bye), at=10)
        stage.rules(self.upward(replace(call, cseq=3), "z9hG4bK-q"), "dialog-ended", at=10 + T + MOMENT)

    def test_what_the_proxy_tells_the_caller_ends_the_call(self) -> None:
        """One phone never says a word; the proxy gives up."""
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(self.onward(first), "relayed", at=0.01)
        stage.hear(answer(408, responder="proxy", source=PROXY), at=30)
        again = replace(first, cseq=2, branch="z9hG4bK-2")
        stage.rules(again, "dialog-ended", at=30 + T + MOMENT)

    def test_a_stranger_behind_the_proxy_is_found_out(self) -> None:
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(self.onward(replace(first, source=CHARLES)), "source-changed", at=0.5)
        stage.rules(self.onward(replace(first, source=CHARLES, call="other")), "key-reused", at=0.5)

    def test_a_via_below_an_untrusted_hop_is_not_believed(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K"), "first-use")
        forged = (
            Via("UDP", PROXY, None, "z9hG4bK-p"),
            Via("UDP", CHARLES, None, "z9hG4bK-c", received=CHARLES),
            Via("UDP", BOB, None, "z9hG4bK-1", received=BOB),
        )
        stage.rules(invite("K", source=PROXY, vias=forged), "source-changed", at=0.5)

    def test_without_the_policy_the_next_hop_is_another_source(self) -> None:
        stage = Stage()
        stage.rules(invite("K", destination=PROXY), "first-use")
        stage.rules(self.onward(invite("K")), "source-changed", at=0.01)


class TestB2bua:
    POLICY = Policy(b2bua=frozenset({pack(B2BUA)}))

    @staticmethod
    def other_leg(said: Said) -> Said:
        return replace(said, call="leg-2", requester="b2bua", source=B2BUA, destination=ALICE)

    def test_the_other_leg_once_and_in_one_direction(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=B2BUA), "first-use")
        stage.rules(self.other_leg(invite("K")), "relayed", at=1)
        stage.rules(self.other_leg(invite("K")), "retransmission", at=1.5)
        stage.rules(replace(self.other_leg(invite("K")), call="leg-3"), "key-reused", at=2)

    def test_answers_take_the_way_back(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=B2BUA), "first-use")
        stage.rules(self.other_leg(invite("K")), "relayed", at=0.1)
        hers = answer(200, "A", call="leg-2", requester="b2bua", destination=B2BUA)
        stage.rules(hers, "first-use", at=1)
        back = answer(200, "A", responder="b2bua-2", source=B2BUA)
        stage.rules(back, "relayed", at=1.1)
        stage.rules(back, "retransmission", at=1.6)
        stage.rules(replace(back, call="leg-3"), "key-reused", at=2)

    def test_never_from_the_b2bua_back(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(self.other_leg(invite("K")), "first-use")
        stage.rules(invite("K", destination=B2BUA), "key-reused", at=1)

    def test_each_leg_goes_on_by_itself(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=B2BUA), "first-use")
        stage.rules(self.other_leg(invite("K", cseq=700)), "relayed", at=0.1)
        stage.rules(request("INVITE", "K", destination=B2BUA), "refresh", at=900)
        onward = request("INVITE", "K", cseq=701, responder="alice-2")
        stage.rules(self.other_leg(onward), "refresh", at=900.1)
        stage.rules(self.other_leg(replace(onward, cseq=700)), "stale", at=950)

    def test_behind_a_proxy_that_is_seen_too(self) -> None:
        stage = Stage(replace(self.POLICY, relays=frozenset({pack(PROXY)})))
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(replace(TestRelayed.onward(first), destination=B2BUA), "relayed", at=0.01)
        stage.rules(self.other_leg(invite("K")), "relayed", at=0.02)

    def test_not_later_than_t(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=B2BUA), "first-use")
        stage.rules(self.other_leg(invite("K")), "key-reused", at=T + MOMENT)

    def test_not_where_the_first_leg_did_not_go_to_it(self) -> None:
        stage = Stage(self.POLICY)
        stage.rules(invite("K", destination=ALICE), "first-use")
        stage.rules(self.other_leg(invite("K")), "key-reused", at=1)


class TestMoved:
    POLICY = Policy(moves=True)

    def test_a_handover_is_told_and_followed(self) -> None:
        stage = established(self.POLICY)
        moved = request("INVITE", "K", source="198.51.100.7")
        stage.rules(moved, "moved", at=60, alerts=("moved",))
        stage.rules(replace(moved, cseq=3), "refresh", at=90)

    def test_a_known_message_from_a_new_source_is_no_move(self) -> None:
        established(self.POLICY).rules(invite("K", source=CHARLES), "source-changed", at=3)

    def test_a_prefix_binds_the_network(self) -> None:
        stage = established(Policy(prefix_ipv4=24))
        stage.rules(request("INVITE", "K", source="192.0.2.200"), "refresh", at=60)
        stage.rules(request("INVITE", "K", source="192.0.3.5", cseq=3), "source-changed", at=70)


class TestKeyReused:
    @pytest.mark.parametrize("source", [BOB, CHARLES])
    def test_another_call_from_any_source(self, stage: Stage, source: str) -> None:
        stage.rules(invite("K", call="call-2", source=source), "key-reused", at=1)

    def test_the_same_call_id_under_another_tag(self, stage: Stage) -> None:
        stage.rules(invite("K", requester="eve"), "key-reused", at=1)

    def test_a_to_tag_that_never_answered(self) -> None:
        established().rules(request("INVITE", "K", responder="nobody"), "key-reused", at=60)

    def test_the_recorded_invite_under_the_next_number_once_the_call_was_taken(self) -> None:
        """Without a To tag it begins another dialog, though all identifiers, and the source, are copied."""
        stage = established()
        stage.rules(invite("K", cseq=2), "key-reused", at=3)
        stage.rules(invite("K", cseq=2, source=CHARLES), "key-reused", at=3)
        stage.rules(invite("K"), "retransmission", at=4)
        stage.rules(invite("K", branch="z9hG4bK-2"), "forked", at=5)

    def test_said_by_the_envelope_tier(self) -> None:
        stage = Stage()
        stage.rules(invite("W", tier=Tier.ENVELOPE), "first-use")
        stage.rules(invite("W", tier=Tier.ENVELOPE, call="call-2"), "envelope-reused", at=1)

    def test_an_answer_in_another_call(self) -> None:
        stage = established()
        stage.rules(answer(200, "A", call="call-2", source=CHARLES), "key-reused", at=60)

    def test_one_known_key_among_new_ones(self, stage: Stage) -> None:
        stage.rules(invite("L", "K", "M", call="call-2"), "key-reused", at=1)

    def test_a_denied_message_changes_nothing(self, stage: Stage) -> None:
        stage.rules(invite("L", "K", call="call-2", source=CHARLES), "key-reused", at=1)
        stage.rules(invite("L", call="call-3"), "first-use", at=2)
        stage.rules(invite("K"), "retransmission", at=3)


class TestReflected:
    def test_the_offered_key_in_the_answer(self, stage: Stage) -> None:
        stage.rules(answer(200, "K"), "reflected", at=1)

    def test_in_the_other_partys_request(self) -> None:
        stage = established()
        back = Said(keys=("K",), requester="alice", responder="bob", source=ALICE, destination=BOB)
        stage.rules(back, "reflected", at=60)


class TestSourceChanged:
    def test_the_recorded_message_from_elsewhere(self, stage: Stage) -> None:
        stage.rules(invite("K", source=CHARLES), "source-changed", at=1)

    def test_a_new_transaction_from_elsewhere(self) -> None:
        established().rules(request("INVITE", "K", source=CHARLES), "source-changed", at=60)

    def test_goes_before_the_end_of_the_dialog_and_before_stale(self) -> None:
        stage = established()
        stage.hear(request("BYE", cseq=2), at=10)
        stage.rules(invite("K", source=CHARLES), "source-changed", at=100)


class TestDialogEnded:
    def test_after_a_bye(self) -> None:
        stage = established()
        stage.hear(request("BYE", cseq=2), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=10 + T)
        stage.rules(request("INVITE", "K", cseq=4), "dialog-ended", at=10 + T + MOMENT)
        stage.rules(invite("K"), "dialog-ended", at=100)
        stage.rules(answer(200, "A"), "dialog-ended", at=100)

    def test_after_the_other_partys_bye(self) -> None:
        stage = established()
        bye = Said("BYE", requester="alice", responder="bob", cseq=9, source=ALICE, destination=BOB)
        stage.hear(bye, at=10)
        stage.rules(request("INVITE", "K"), "dialog-ended", at=100)

    def test_a_late_offers_caller_can_end_it(self) -> None:
        stage = Stage()
        stage.hear(invite())
        stage.rules(answer(200, "A"), "first-use", at=1)
        stage.rules(request("ACK", "K", cseq=1), "first-use", at=1.1)
        stage.hear(request("BYE", cseq=2), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "dialog-ended", at=10 + T + MOMENT)

    def test_a_fresh_key_under_the_identifiers_of_an_ended_call(self) -> None:
        """A phone that keeps its Call-ID for the next call: that is no replay, its key is new."""
        stage = established()
        stage.hear(request("BYE", cseq=2), at=10)
        stage.rules(invite("L", cseq=3), "first-use", at=500)
        stage.rules(invite("L", cseq=3), "retransmission", at=500.5)
        stage.rules(invite("K", cseq=4), "key-reused", at=600)
        stage.rules(request("INVITE", "K", cseq=4), "dialog-ended", at=600)

    def test_a_bye_to_nobody_ends_nothing(self) -> None:
        stage = established()
        stage.hear(request("BYE", responder="nobody", cseq=2), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)

    def test_a_copy_of_the_bye_does_not_put_off_the_end(self) -> None:
        stage = established()
        for at in (10, 10.5, 30):
            stage.hear(request("BYE", cseq=2), at=at)
        stage.rules(request("INVITE", "K", cseq=3), "dialog-ended", at=10 + T + MOMENT)

    def test_a_strangers_bye_ends_nothing(self) -> None:
        stage = established()
        stage.hear(request("BYE", cseq=2, source=CHARLES), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)

    def test_a_strangers_own_key_does_not_bind_him_to_the_dialog(self) -> None:
        stage = established()
        stage.rules(
            request("INVITE", "X", cseq=50, source=CHARLES), "first-use", at=5, alerts=("originator-moved",)
        )
        stage.hear(request("BYE", cseq=51, source=CHARLES), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)

    def test_after_a_cancel(self, stage: Stage) -> None:
        stage.hear(invite(method="CANCEL"), at=5)
        stage.hear(answer(487), at=5.1)
        stage.rules(invite("K", cseq=2), "dialog-ended", at=5 + T + MOMENT)

    @pytest.mark.parametrize("status", [302, 403, 486, 503, 603])
    def test_after_a_final_failure(self, stage: Stage, status: int) -> None:
        stage.hear(answer(status), at=5)
        stage.rules(invite("K", cseq=2), "dialog-ended", at=5 + T + MOMENT)

    def test_a_later_invite_without_a_key_revives_nothing(self, stage: Stage) -> None:
        stage.hear(answer(486), at=5)
        stage.hear(invite(cseq=2), at=1000)
        stage.rules(invite("K", cseq=3), "dialog-ended", at=1001)

    def test_a_retry_that_rings_for_long_lives(self, stage: Stage) -> None:
        stage.hear(answer(415), at=1)
        stage.rules(invite("K", cseq=2, branch="z9hG4bK-2"), "refresh", at=2)
        way = (Via("UDP", BOB, None, "z9hG4bK-2"),)
        stage.rules(answer(183, "A", cseq=2, vias=way), "first-use", at=3)
        stage.rules(request("PRACK", "K", cseq=3), "refresh", at=100)

    def test_a_cancel_that_came_too_late(self, stage: Stage) -> None:
        stage.hear(invite(method="CANCEL"), at=5)
        stage.rules(answer(200, "A"), "first-use", at=5.1)
        stage.rules(request("INVITE", "K"), "refresh", at=600)

    def test_a_strangers_cancel_ends_nothing(self, stage: Stage) -> None:
        stage.hear(invite(method="CANCEL", source=CHARLES), at=5)
        stage.rules(invite("K", cseq=2), "refresh", at=100)

    def test_a_retry_that_is_accepted_in_time_lives(self, stage: Stage) -> None:
        stage.hear(answer(415), at=1)
        stage.rules(invite("K", cseq=2), "refresh", at=2)
        stage.rules(answer(200, "A", cseq=2), "first-use", at=3)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=500)

    def test_a_failed_or_cancelled_reinvite_ends_nothing(self) -> None:
        stage = established()
        stage.rules(request("INVITE", "K", cseq=2), "refresh", at=60)
        stage.hear(request("CANCEL", cseq=2), at=60.5)
        stage.hear(answer(487, cseq=2), at=61)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=61)
        stage.hear(answer(488, cseq=3), at=61.5)
        stage.rules(request("INVITE", "K", cseq=4), "refresh", at=600)

    def test_a_strangers_failure_ends_nothing(self, stage: Stage) -> None:
        stage.hear(answer(486, source=CHARLES), at=1)
        stage.rules(invite("K", cseq=2), "refresh", at=100)


class TestStale:
    def test_a_number_below_the_window(self) -> None:
        stage = Stage()
        stage.rules(invite("K", cseq=100), "first-use")
        stage.rules(invite("K", cseq=99), "stale", at=1)
        stage.rules(invite("K", cseq=200), "refresh", at=2)
        stage.rules(invite("K", cseq=136), "stale", at=3)

    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "PRACK", "ACK"])
    def test_a_recorded_request_long_after(self, method: str) -> None:
        stage = established()
        said = request(method, "K", cseq=1 if method == "ACK" else 7)
        stage.hear(said, at=60)
        stage.rules(said, "stale", at=60 + T + MOMENT)

    def test_a_number_below_what_was_seen_first(self) -> None:
        stage = established()
        stage.rules(request("UPDATE", "K", cseq=0), "stale", at=5)

    def test_a_number_that_another_method_had(self) -> None:
        established().rules(request("UPDATE", "K", cseq=1), "stale", at=60)

    def test_an_ack_under_a_raised_number(self) -> None:
        """Of an INVITE that nobody sent (RFC 3261 §13.2.2.4), while the call lives on."""
        stage = Stage()
        stage.hear(invite(cseq=2))
        stage.rules(answer(200, "A", cseq=2), "first-use", at=1)
        stage.rules(request("ACK", "K", cseq=2), "first-use", at=1.1)
        for number in (3, 4, 1000):
            stage.rules(request("ACK", "K", cseq=number), "stale", at=60)
        stage.rules(request("UPDATE", "K", cseq=3), "refresh", at=61)
        stage.rules(request("ACK", "K", cseq=4), "stale", at=62)

    def test_the_other_partys_invite_calls_for_no_ack(self) -> None:
        stage = established()
        hers = Said(requester="alice", responder="bob", cseq=7, source=ALICE, destination=BOB)
        stage.hear(hers, at=60)
        stage.rules(request("ACK", "K", cseq=7), "stale", at=61)


class TestFindings:
    def test_one_key_twice_in_a_description(self) -> None:
        Stage().rules(invite("K", duplicate=True), "first-use", alerts=("duplicate-key",))
        Stage(Policy(strict=True)).rules(invite("K", duplicate=True), "duplicate-key")

    def test_the_same_key_for_other_media(self) -> None:
        elsewhere = request("INVITE", "K", endpoints=(("192.0.2.5", 4002),))
        established().rules(elsewhere, "refresh", at=60, alerts=("rekey-missing",))
        established(Policy(strict=True)).rules(elsewhere, "rekey-missing", at=60)

    def test_a_known_originator_at_a_new_source(self) -> None:
        for policy, reason, alerts in (
            (Policy(), "first-use", ("originator-moved",)),
            (Policy(originator="ignore"), "first-use", ()),
            (Policy(originator="deny"), "originator-moved", ()),
        ):
            stage = Stage(policy)
            stage.rules(invite("K"), "first-use")
            stage.rules(invite("L", call="call-2", source=CHARLES), reason, at=60, alerts=alerts)

    def test_an_originator_that_was_silent_is_bound_anew(self) -> None:
        stage = Stage(Policy(originator="deny", originator_silence=100 * 10**9))
        stage.rules(invite("K"), "first-use")
        stage.rules(invite("L", call="call-2", source="198.51.100.7"), "first-use", at=101)

    def test_an_originator_that_goes_on_stays_bound(self) -> None:
        stage = Stage(Policy(originator="deny", originator_silence=100 * 10**9))
        stage.rules(invite("K"), "first-use")
        for number, at in enumerate((0.01, 0.05, 60, 60.05, 159)):
            stage.rules(invite(f"L{number}", call=f"call-{number}"), "first-use", at=at)
        stage.rules(invite("M", call="call-9", source=CHARLES), "originator-moved", at=258)

    def test_a_denial_comes_before_the_originators(self) -> None:
        stage = Stage(Policy(originator="deny"))
        stage.rules(invite("K"), "first-use")
        stage.rules(invite("K", call="call-2", source=CHARLES), "key-reused", at=1)


@pytest.mark.parametrize(
    ("reasons", "stands"),
    [
        ("first-use retransmission", "retransmission"),
        ("first-use refresh forked", "refresh"),
        ("refresh relayed moved", "moved"),
        ("first-use stale", "stale"),
        ("stale source-changed dialog-ended", "source-changed"),
        ("originator-moved stale key-reused envelope-reused", "key-reused"),
    ],
)
def test_of_several_rulings_one_stands(reasons: str, stands: str) -> None:
    ruling = worst(Ruling(Reason(reason)) for reason in reasons.split())
    assert ruling.reason is Reason(stands)


def test_the_reasons_fall_into_accepts_and_denials() -> None:
    accepts = {reason.value for reason in Reason if reason.verdict is Verdict.ACCEPT}
    assert accepts == {"first-use", "retransmission", "forked", "refresh", "relayed", "moved"}
