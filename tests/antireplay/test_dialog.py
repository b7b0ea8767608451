"""Dialogs: who opens, takes and ends them, and who has no say in it (RFC 3261 §12, §13, §15)."""

from typing import Any

import pytest

from monitor.antireplay.association import RecordError
from monitor.antireplay.dialog import MAX_BOUND, MAX_OTHERS, MAX_WAYS, RETRIED, Dialog, Event
from monitor.antireplay.observation import T
from monitor.antireplay.policy import Policy
from monitor.wire.address import pack

BOB, ALICE, PROXY, CHARLES = map(pack, ("192.0.2.5", "192.0.2.1", "192.0.2.10", "192.0.2.66"))
EXACT = Policy()


def said(method: str = "INVITE", **more: Any) -> Event:
    """Bob's request outside a dialog."""
    facts: dict[str, Any] = {
        "method": method,
        "cseq": 1,
        "status": None,
        "branch": 1,
        "next_branch": None,
        "requester": "tag:bob",
        "responder": None,
        "source": BOB,
        "destination": ALICE,
        "target": ALICE,
        "time": 0,
    }
    return Event(**{**facts, **more})


def answered(status: int, by: str = "tag:alice", **more: Any) -> Event:
    """A response to it."""
    facts = {"responder": by, "source": ALICE, "destination": BOB, "target": BOB, "status": status}
    return said(**{**facts, **more})


def request(method: str, to: str = "tag:alice", **more: Any) -> Event:
    """Bob's request within the dialog."""
    return said(method, **{"responder": to, "cseq": 2, **more})


def dialog(*events: Event, policy: Policy = EXACT) -> Dialog:
    """What is known after these; the first made the record."""
    made = Dialog.opened_by(events[0], "call-1")
    for each in events:
        made = made.after(each, policy)
    return made


def ended(made: Dialog, other: str | None = "tag:alice") -> int | None:
    return made.view("tag:bob", other).ended


TAKEN = (said(), answered(200))
BYE = request("BYE", time=5)


class TestTheEnd:
    @pytest.mark.parametrize(
        "event", [BYE, request("BYE", time=5, source=ALICE, requester="tag:alice", to="tag:bob")]
    )
    def test_a_bye_of_either_party(self, event: Event) -> None:
        """RFC 3261 §15.1."""
        assert ended(dialog(*TAKEN, event)) == 5

    @pytest.mark.parametrize(
        "event",
        [
            request("BYE", time=5, source=CHARLES),  # a stranger
            request("BYE", "tag:nobody", time=5),  # to nobody who answered
            said("BYE", time=5),  # RFC 3261 §15.1.1: outside a dialog there is nothing to end
            said("CANCEL", time=5),  # §9.1: has no effect once there was a final response
            request("CANCEL", time=5),
            answered(486, time=5, cseq=2, method="UPDATE"),
            answered(481, time=5, cseq=2, method="BYE"),
            request("INFO", time=5),
        ],
    )
    def test_what_ends_no_call_that_was_taken(self, event: Event) -> None:
        assert ended(dialog(*TAKEN, event)) is None

    @pytest.mark.parametrize("event", [BYE, said("BYE", time=5)])
    def test_a_bye_before_the_other_party_is_known(self, event: Event) -> None:
        made = dialog(said(), event)
        assert (ended(made), ended(made, None)) == (5, 5)
        assert ended(made.after(answered(200, time=6), EXACT)) == (5 if event is BYE else None)

    def test_a_copy_of_the_bye_puts_nothing_off(self) -> None:
        assert ended(dialog(*TAKEN, BYE, request("BYE", time=6), request("BYE", time=T))) == 5

    @pytest.mark.parametrize("status", [300, 302, 400, 403, 404, 408, 480, 486, 487, 500, 503, 600, 603])
    def test_a_refusal(self, status: int) -> None:
        """RFC 3261 §13.2.2.2, §13.2.2.3."""
        assert ended(dialog(said(), answered(status, time=5))) == 5

    @pytest.mark.parametrize("status", sorted(RETRIED))
    def test_a_call_for_another_try_is_none(self, status: int) -> None:
        """RFC 3261 §22.2, §14.1; RFC 4028 §6."""
        assert ended(dialog(said(), answered(status, time=5))) is None

    @pytest.mark.parametrize("status", [100, 180, 183, 199])
    def test_nor_is_a_provisional_response(self, status: int) -> None:
        assert ended(dialog(said(), answered(status, time=5))) is None

    @pytest.mark.parametrize(
        "event",
        [
            answered(486, time=5, source=CHARLES),
            said("CANCEL", time=5, source=CHARLES),
            answered(200, time=5, method="CANCEL"),  # of the CANCEL itself, RFC 3261 §9.2
            said("CANCEL", time=5, cseq=2),
            said("CANCEL", time=5, branch=2),  # §9.1: it has the branch of what it cancels
        ],
    )
    def test_what_leaves_it_ringing(self, event: Event) -> None:
        assert ended(dialog(said(), event)) is None

    def test_a_cancel(self) -> None:
        """RFC 3261 §9.1; the 487 that follows changes nothing."""
        assert ended(dialog(said(), said("CANCEL", time=5), answered(487, time=6))) == 5

    def test_an_accept_that_crossed_the_cancel(self) -> None:
        """RFC 3261 §15: the caller has a dialog, and sends BYE if he does not want it."""
        assert ended(dialog(said(), said("CANCEL", time=5), answered(200, time=6))) is None

    @pytest.mark.parametrize(("at", "end"), [(5 + T, None), (6 + T, 5)])
    def test_another_try_within_t_undoes_it(self, at: int, end: int | None) -> None:
        again = said(cseq=2, branch=2, time=at)
        assert ended(dialog(said(), answered(415, time=5), again)) == end

    def test_a_reinvite_that_fails_or_is_cancelled(self) -> None:
        """RFC 3261 §14.1: the dialog goes on as it was."""
        reinvite = request("INVITE", cseq=2, branch=2, time=5)
        for end in (
            answered(488, cseq=2, branch=2, time=6),
            request("CANCEL", cseq=2, branch=2, time=6),
            answered(487, cseq=2, branch=2, time=6),
        ):
            assert ended(dialog(*TAKEN, reinvite, end)) is None


class TestForks:
    """RFC 3261 §13.2.2.4, §16.7."""

    EARLY = (said(), *(answered(183, f"tag:{name}") for name in ("a1", "a2")))

    def test_each_that_answers_is_a_party(self) -> None:
        view = dialog(*self.EARLY).view("tag:bob", "tag:a1")
        assert view.others == {"tag:a1", "tag:a2"}
        assert not view.confirmed

    def test_who_takes_the_call_ends_the_others(self) -> None:
        made = dialog(*self.EARLY, answered(200, "tag:a2", time=5))
        assert (ended(made, "tag:a1"), ended(made, "tag:a2")) == (5, None)

    def test_a_second_who_takes_it_has_it_too(self) -> None:
        made = dialog(*self.EARLY, answered(200, "tag:a2", time=5), answered(200, "tag:a1", time=6))
        assert (ended(made, "tag:a1"), ended(made, "tag:a2")) == (None, None)

    def test_a_bye_to_one_leaves_the_other(self) -> None:
        made = dialog(*self.EARLY, answered(200, "tag:a2", time=5), answered(200, "tag:a1", time=6))
        made = made.after(request("BYE", "tag:a1", time=7), EXACT)
        assert (ended(made, "tag:a1"), ended(made, "tag:a2"), ended(made, None)) == (7, None, None)
        made = made.after(request("BYE", "tag:a2", time=9), EXACT)
        assert ended(made, None) == 9

    def test_it_fails_when_the_last_way_has(self) -> None:
        ways = (said(branch=1), said(branch=2))
        made = dialog(*ways, answered(486, "tag:a1", branch=1, time=5))
        assert ended(made) is None
        assert ended(made.after(answered(603, "tag:a2", branch=2, time=9), EXACT)) == 9

    def test_one_way_more_opens_it_again(self) -> None:
        """RFC 3261 §16.5: one after the other."""
        made = dialog(said(), answered(486, "tag:a1", time=5), said(branch=2, time=6))
        assert ended(made) is None

    def test_behind_a_proxy_seen_on_both_sides_the_proxy_speaks(self) -> None:
        """What one fork says to it is not what it tells the caller (RFC 3261 §16.7)."""
        onward = said(branch=7, next_branch=1, source=PROXY)
        made = dialog(said(), onward, answered(486, "tag:a1", branch=7, next_branch=1, time=5))
        assert ended(made) is None
        assert ended(made.after(answered(408, "tag:proxy", time=9), EXACT)) == 9

    def test_limits(self) -> None:
        made = dialog(
            *(said(branch=way, source=pack(f"2001:db8::{way:x}"), known=True) for way in range(1, 99))
        )
        (invite,) = (each for _, each in made.invites)
        assert (len(invite.ways), len(made.bound)) == (MAX_WAYS, MAX_BOUND)
        made = dialog(said(), *(answered(183, f"tag:{number}") for number in range(99)))
        assert len(made.others) == MAX_OTHERS


class TestWhoIsAParty:
    def test_both_ends_of_the_first_message(self) -> None:
        assert set(dialog(said()).bound) == {BOB, ALICE}

    @pytest.mark.parametrize(
        ("event", "source"),
        [
            (said(cseq=2, destination=PROXY), PROXY),  # to where an INVITE of theirs goes
            (said("UPDATE", cseq=2, source=PROXY, known=True), PROXY),  # from where their keys come
        ],
    )
    def test_whom_they_call_and_where_they_go(self, event: Event, source: bytes) -> None:
        assert ended(dialog(*TAKEN, event, request("BYE", cseq=3, source=source, time=5))) == 5

    @pytest.mark.parametrize(
        "event",
        [
            said(cseq=2, source=CHARLES),
            request("INVITE", source=CHARLES),
            request("UPDATE", source=CHARLES),
            answered(200, source=CHARLES),
            request("UPDATE", destination=CHARLES),
        ],
    )  # fmt: skip
    def test_a_stranger_stays_one(self, event: Event) -> None:
        assert ended(dialog(*TAKEN, event, request("BYE", cseq=3, source=CHARLES, time=5))) is None

    def test_a_network_where_the_policy_binds_networks(self) -> None:
        bye = request("BYE", source=CHARLES, time=5)
        assert ended(dialog(*TAKEN, bye, policy=Policy(prefix_ipv4=24))) == 5

    def test_behind_a_relay_the_caller_is_one_though_only_answers_were_seen(self) -> None:
        made = dialog(answered(200, destination=PROXY, target=BOB), request("BYE", time=5))
        assert ended(made) == 5

    @pytest.mark.parametrize(
        ("one", "other", "fit"),
        [
            ("tag:bob", None, 2),
            ("tag:bob", "tag:alice", 2),
            ("tag:alice", "tag:bob", 2),
            ("tag:bob", "tag:carol", 1),
            ("tag:carol", "tag:alice", 0),
        ],
    )
    def test_how_well_a_record_fits(self, one: str, other: str | None, fit: int) -> None:
        assert dialog(*TAKEN).involves(one, other) == fit


class TestInvites:
    """What the judge asks: is one of that number pending (RFC 3261 §14.1: one at a time)?"""

    @pytest.mark.parametrize(
        ("events", "pending", "closed"),
        [
            ((said(time=1),), 1, None),
            ((said(), answered(183, time=3)), 1, None),
            ((said(), answered(200, time=3)), 1, 3),
            ((said(), answered(200, time=3), answered(200, time=4)), 1, 3),
            ((said(), answered(486, time=3)), 1, 3),
            ((*TAKEN, request("INVITE", cseq=7)), 7, None),
            ((*TAKEN, answered(200, cseq=7, time=3)), 7, 3),  # the INVITE itself went another way
            ((*TAKEN, request("INVITE", cseq=7), said(cseq=1)), 7, None),  # a copy that comes late
            ((*TAKEN, request("UPDATE", cseq=7)), 1, 0),
            ((*TAKEN, request("INVITE", cseq=7, source=CHARLES)), 1, 0),
        ],
    )
    def test_the_last_of_its_requester(
        self, events: tuple[Event, ...], pending: int, closed: int | None
    ) -> None:
        view = dialog(*events).view("tag:bob", "tag:alice")
        assert (view.pending, view.closed) == (pending, closed)

    def test_the_two_sides_number_on_their_own(self) -> None:
        hers = said(cseq=70, requester="tag:alice", responder="tag:bob", source=ALICE)
        made = dialog(*TAKEN, hers)
        assert made.view("tag:alice", "tag:bob").pending == 70
        assert made.view("tag:bob", "tag:alice").pending == 1

    @pytest.mark.parametrize(
        ("events", "confirmed"),
        [
            ((said(), answered(183)), False),
            (TAKEN, True),
            (
                (said(), answered(200, "uri:sip:alice@example.org")),
                False,
            ),  # RFC 2543: there is no tag to name
            ((request("UPDATE"),), True),  # the monitor came when the call was on
        ],
    )
    def test_whether_it_was_taken(self, events: tuple[Event, ...], confirmed: bool) -> None:
        assert dialog(*events).view("tag:bob", None).confirmed is confirmed


def test_a_record_comes_back_as_it_was() -> None:
    made = dialog(*TestForks.EARLY, answered(200, "tag:a2", time=5), request("BYE", "tag:a2", time=9))
    assert Dialog.decode(made.encode()) == made


@pytest.mark.parametrize(
    "record",
    [b"", b"\xff", b"{}", b"[]", b'[4,"dialog"]', b'[99,"dialog","","",[],[],0,0,null,[],[],null,[]]'],
)
def test_what_is_no_record_is_told_in_one_line(record: bytes) -> None:
    with pytest.raises(RecordError, match=r"\Adialog record [^\n]*\Z"):
        Dialog.decode(record)
