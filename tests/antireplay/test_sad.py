"""The database as a whole: who may change a dialog beside those who have called and were called."""

import pytest
from playbook import ALICE, BOB, CHARLES, Stage, answer, invite, request

from monitor.antireplay.observation import T as T_NANOSECONDS
from monitor.antireplay.policy import Policy
from monitor.wire.frame import NANOSECONDS

T = T_NANOSECONDS / NANOSECONDS
STRANGE = ("originator-moved",)


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.rules(invite("K"), "first-use")
    stage.rules(answer(200, "A"), "first-use", at=1)
    return stage


class TestStrangersInTheNameOfAParty:
    """A fresh key is accepted under any identifiers; sent again it is known, and still a stranger's."""

    def test_a_key_sent_twice_makes_nobody_a_party(self, stage: Stage) -> None:
        mine = request("INVITE", "X", cseq=50, source=CHARLES)
        stage.rules(mine, "first-use", at=5, alerts=STRANGE)
        stage.rules(mine, "retransmission", at=5.5, alerts=STRANGE)
        stage.hear(request("BYE", cseq=51, source=CHARLES), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)

    def test_nor_does_one_that_goes_on(self, stage: Stage) -> None:
        for number in (50, 51):
            mine = request("INVITE", "X", cseq=number, source=CHARLES)
            stage.hear(mine, at=number)
        stage.hear(request("BYE", cseq=52, source=CHARLES), at=60)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=60 + 2 * T)

    def test_nor_does_a_call_of_his_own_with_it(self, stage: Stage) -> None:
        stage.rules(invite("X", call="call-2", requester="charles", source=CHARLES), "first-use", at=5)
        stage.rules(request("INVITE", "X", cseq=50, source=CHARLES), "key-reused", at=6)
        stage.hear(request("BYE", cseq=51, source=CHARLES), at=10)
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)


def test_a_party_that_moved_with_its_key_is_one_still() -> None:
    stage = Stage(Policy(moves=True))
    stage.rules(invite("K"), "first-use")
    stage.rules(answer(200, "A"), "first-use", at=1)
    stage.rules(request("INVITE", "K", source="192.0.2.77"), "moved", at=60, alerts=("moved",))
    stage.hear(request("BYE", cseq=3, source="192.0.2.77"), at=70)
    stage.rules(request("INVITE", "K", cseq=4, source="192.0.2.77"), "dialog-ended", at=70 + 2 * T)


@pytest.mark.parametrize(("source", "destination"), [(BOB, ALICE), (ALICE, BOB)])
def test_either_party_ends_the_call(stage: Stage, source: str, destination: str) -> None:
    names = {"requester": "bob", "responder": "alice"}
    if source == ALICE:
        names = {"requester": "alice", "responder": "bob"}
    stage.hear(request("BYE", cseq=9, source=source, destination=destination, **names), at=10)
    stage.rules(request("INVITE", "K", cseq=3), "dialog-ended", at=10 + 2 * T)
