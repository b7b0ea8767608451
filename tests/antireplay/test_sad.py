"""The database as a whole: what is kept and what not, and who may change a dialog."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from playbook import ALICE, BOB, CHARLES, HASHES, START, Said, Stage, answer, invite, request

from monitor.antireplay.observation import T as T_NANOSECONDS
from monitor.antireplay.observation import Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.sad import MAX_TRIES, Evidence, Facts, Sighting, address_of_record
from monitor.antireplay.table import Change, StoreError
from monitor.store.memory import MemoryStore
from monitor.wire.address import pack
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


class Contended(MemoryStore):
    """A store that another monitor writes to as well: each swap fails, for so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.swaps = 0

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        self.swaps += 1
        return self.swaps > self.times and super().compare_and_swap(changes)


class TestAnotherMonitorOnTheStore:
    def test_was_faster(self) -> None:
        stage = Stage(store=Contended(MAX_TRIES - 1))
        stage.rules(invite("K"), "first-use")

    @pytest.mark.parametrize("said", [invite("K", cseq=2), request("BYE")])
    def test_is_always_faster(self, said: Said) -> None:
        """A ruling that cannot be kept is none."""
        stage = Stage()
        stage.rules(invite("K"), "first-use")
        stage.store.compare_and_swap = lambda changes: False  # type: ignore[method-assign]
        with pytest.raises(StoreError, match=r"\Athe store is contended[^\n]*\Z"):
            stage.hear(said, at=1)

    def test_rules_on_what_the_other_has_put_there(self) -> None:
        here, there = Stage(), Stage()
        there.store = here.store
        there.__post_init__()
        here.rules(invite("K"), "first-use")
        there.rules(invite("K", source=CHARLES), "source-changed", at=1)


def facts(said: Said, policy: Policy | None = None) -> Facts:
    source, destination = pack(said.source), pack(said.destination)
    return Facts.of(said.message(), source, destination, START, policy or Policy(), HASHES)


class TestWhatIsKept:
    SIGHTINGS = (Sighting(HASHES.master_key(b"K"), Tier.MASTER_KEY),)

    def test_of_a_glance_or_a_thought_nothing(self) -> None:
        stage = Stage()
        stage.database.glance(facts(invite("K")), self.SIGHTINGS, stage.policy)
        assert stage.database.consider(facts(invite("K")), Evidence(self.SIGHTINGS), stage.policy).changes
        stage.rules(invite("K", call="call-2"), "first-use")

    def test_a_glance_rules_as_the_whole_does(self, stage: Stage) -> None:
        ruling, (known,) = stage.database.glance(
            facts(invite("K", call="call-2")), self.SIGHTINGS, stage.policy
        )
        assert str(ruling.reason) == "key-reused"
        assert known is not None
        assert known.first.sender == "tag:bob"

    def test_of_a_denied_message_nothing(self, stage: Stage) -> None:
        """No key of it, and not whom it is from."""
        stage.rules(invite("L", "K", call="call-2", source=CHARLES), "key-reused", at=2)
        stage.rules(invite("L", call="call-3"), "first-use", at=3)

    def test_of_a_message_without_keys_in_no_known_dialog_nothing(self) -> None:
        stage = Stage()
        stage.hear(request("BYE"))
        stage.rules(invite("K"), "first-use")
        stage.rules(request("INVITE", "K", cseq=3), "refresh", at=100)

    def test_for_as_long_as_is_asked_after_the_last_accepted(self) -> None:
        stage = Stage()
        stage.database.retention = 5
        decision = stage.database.consider(facts(invite("K")), Evidence(self.SIGHTINGS), stage.policy)
        assert {change.expires for change in decision.changes} == {START + 5}


class TestRecordsOfADialog:
    """One for all that one party opens under a Call-ID: forks share the offer's key (RFC 3261 §12.1)."""

    def test_either_party_finds_it(self, stage: Stage) -> None:
        hers = Said("BYE", requester="alice", responder="bob", cseq=7, source=ALICE, destination=BOB)
        stage.hear(hers, at=10)
        stage.rules(answer(200, "A", cseq=2), "dialog-ended", at=10 + 2 * T)

    def test_two_who_open_under_one_call_id_have_one_each(self, stage: Stage) -> None:
        """Carol calls Bob under the Call-ID of his call to Alice: the end of one is not that of the other."""
        hers = invite("C", requester="carol", source="192.0.2.3", destination=BOB)
        stage.rules(hers, "first-use", at=2)
        stage.hear(request("BYE", cseq=3), at=10)
        stage.rules(replace(hers, cseq=2), "refresh", at=10 + 2 * T)
        stage.rules(request("INVITE", "K", cseq=4), "dialog-ended", at=10 + 2 * T)


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("sip:bob@example.org", "bob@example.org"),
        ("sips:bob@EXAMPLE.org:5061;transport=tcp?Subject=x", "bob@example.org"),  # RFC 3261 §10.3, §19.1.4
        ("sip:bob;phone-context=x@example.org", "bob@example.org"),
        ("sip:bob:secret@example.org", "bob@example.org"),
        ("sip:Bob@example.org", "Bob@example.org"),  # §19.1.4: the user's case counts
        ("sip:example.org", "example.org"),
        ("sip:bob@[2001:DB8::5]:5060;transport=udp", "bob@[2001:db8::5]"),
        ("sip:anonymous@anonymous.invalid", ""),  # RFC 3323 §4.1.1.3
        ("sip:anonymous@Anonymous.Invalid:5060", ""),
    ],
)
def test_who_an_originator_is(uri: str, address: str) -> None:
    assert address_of_record(uri) == address


def test_whose_body_it_is() -> None:
    """The sender in requests, who answers in responses (RFC 3261 §8.2.6.2)."""
    offer, reply = facts(invite("K")), facts(answer(200, "A"))
    assert (offer.sender, offer.peer, offer.address_of_record) == ("tag:bob", None, "bob@example.org")
    assert (reply.sender, reply.peer, reply.address_of_record) == (
        "tag:alice",
        "tag:bob",
        "alice@example.org",
    )
