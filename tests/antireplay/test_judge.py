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

    def test_a_request_that_was_overtaken(self) -> None:
        stage = established()
        stage.rules(request("UPDATE", "K", cseq=5), "refresh", at=60)
        stage.rules(request("UPDATE", "K", cseq=4), "refresh", at=60.1)


class TestRelayed:
    POLICY = Policy(relays=frozenset({pack(PROXY)}))

    @staticmethod
    def onward(said: Said, branch: str = "z9hG4bK-p") -> Said:
        below = Via("UDP", said.source, None, said.branch, received=said.source)
        return replace(said, source=PROXY, vias=(Via("UDP", PROXY, None, branch), below))

    def test_both_sides_of_a_proxy(self) -> None:
        stage = Stage(self.POLICY)
        first = invite("K", destination=PROXY)
        stage.rules(first, "first-use")
        stage.rules(self.onward(first), "relayed", at=0.01)
        stage.rules(first, "retransmission", at=0.5)
        stage.rules(self.onward(first), "retransmission", at=0.51)
        stage.rules(self.onward(first, "z9hG4bK-q"), "forked", at=0.6)

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

    def test_a_number_that_another_method_had(self) -> None:
        established().rules(request("UPDATE", "K", cseq=1), "stale", at=60)


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
