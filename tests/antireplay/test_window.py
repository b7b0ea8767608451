"""The anti-replay window: one requester's CSeq numbers, copies and answers, table by table."""

import pytest

from monitor.antireplay.observation import T, Transaction
from monitor.antireplay.window import MAX_ANSWERS, MAX_BRANCHES, MAX_TRANSACTIONS, WIDTH, Window

LATER = T + 1
"""The first moment at which nothing of a transaction comes again (RFC 3261 §17.1.1.2, §17.2.1)."""


def said(method: str = "INVITE", cseq: int = 100, status: int | None = None, branch: int = 1) -> Transaction:
    return Transaction(method, cseq, status, branch, None)


def window(*transactions: Transaction, every: int = 0) -> Window:
    """A window that has seen these, ``every`` so many nanoseconds."""
    made = Window()
    for index, each in enumerate(transactions):
        made = made.with_message(each, index * every)
    return made


def place(made: Window, now: Transaction, at: int = 0, pending: int | None = None) -> str:
    return str(made.place(now, at, pending, None))


class TestNumbers:
    """RFC 4303 §3.4.3, over the numbers of RFC 3261 §12.2.1.1."""

    SEEN = tuple(said("UPDATE", number) for number in (100, 103, 200))

    @pytest.mark.parametrize(
        ("number", "reason"),
        [
            (201, "refresh"),  # above: the next request, or one far on, since others use numbers too
            (2**31 - 1, "refresh"),
            (199, "refresh"),  # inside and never seen: overtaken
            (200 - WIDTH + 1, "refresh"),
            (200 - WIDTH, "stale"),  # below
            (103, "stale"),
            (0, "stale"),
        ],
    )
    def test_a_new_request(self, number: int, reason: str) -> None:
        assert place(window(*self.SEEN), said("PRACK", number)) == reason

    @pytest.mark.parametrize(("number", "reason"), [(101, "refresh"), (100, "stale"), (99, "stale")])
    def test_it_begins_where_the_key_was_first_seen(self, number: int, reason: str) -> None:
        """Of what came before, nothing is known: an older request cannot bear a key that is newer."""
        assert place(window(*self.SEEN[:2]), said("PRACK", number)) == reason

    def test_an_empty_one_takes_any_number(self) -> None:
        assert place(Window(), said(cseq=0)) == place(Window(), said(cseq=2**31 - 1)) == "refresh"

    def test_it_never_moves_back(self) -> None:
        before = window(*self.SEEN)
        after = before.with_message(said("PRACK", 150), 0)
        assert (after.lowest, after.highest) == (before.lowest, before.highest)
        assert place(after, said("INFO", 150)) == "stale"

    @pytest.mark.parametrize("distance", [1, WIDTH - 1, WIDTH, 10 * WIDTH])
    def test_what_was_seen_is_remembered_as_far_as_it_reaches(self, distance: int) -> None:
        after = window(said("UPDATE", 100), said("UPDATE", 100 + distance))
        assert place(after, said("PRACK", 100)) == "stale"


class TestCopies:
    @pytest.mark.parametrize(
        ("branch", "at", "reason"),
        [
            (1, 0, "retransmission"),  # RFC 3261 §17.1.1.2
            (1, T, "retransmission"),
            (1, LATER, "stale"),
            (2, T, "forked"),  # RFC 3261 §8.2.2.2, §16.6
            (2, LATER, "stale"),
        ],
    )
    def test_a_request_again(self, branch: int, at: int, reason: str) -> None:
        assert place(window(said()), said(branch=branch), at) == reason

    def test_one_number_stands_for_one_transaction(self) -> None:
        """But an ACK, which has its INVITE's (RFC 3261 §13.2.2.4)."""
        made = window(said(cseq=100))
        assert place(made, said("UPDATE", 100)) == "stale"
        assert place(made, said("ACK", 100), pending=100) == "refresh"

    def test_of_more_branches_than_are_kept_each_is_a_fork(self) -> None:
        made = window(*(said(branch=branch) for branch in range(MAX_BRANCHES + 5)))
        assert len(made.latest[0].branches) == MAX_BRANCHES
        assert place(made, said(branch=0)) == "retransmission"
        assert place(made, said(branch=MAX_BRANCHES + 4)) == "forked"

    def test_of_more_transactions_than_are_kept_the_first_is_stale(self) -> None:
        made = window(*(said("UPDATE", number) for number in range(MAX_TRANSACTIONS + 1)))
        assert place(made, said("UPDATE", 1)) == "retransmission"
        assert place(made, said("UPDATE", 0)) == "stale"


class TestAcknowledgments:
    """RFC 3261 §13.2.2.4, §17.1.1.3: the number of the INVITE, though other requests came between."""

    @pytest.mark.parametrize(
        ("number", "pending", "reason"),
        [
            (101, None, "stale"),  # of no INVITE that anybody saw
            (101, 100, "stale"),
            (101, 102, "stale"),
            (101, 101, "refresh"),  # a late offer within the dialog, answered with a known key
            (100, None, "retransmission"),
            (90, 90, "refresh"),  # PRACK and UPDATE went ahead
            (90, None, "stale"),
        ],
    )
    def test_by_number(self, number: int, pending: int | None, reason: str) -> None:
        assert place(window(said("ACK", 100)), said("ACK", number), pending=pending) == reason

    def test_what_some_answer_to_an_ack_is_no_ack(self) -> None:
        """Against RFC 3261 §17.1.1.3, and harmless; sipp does it where messages overtake one another."""
        assert place(window(said(status=200)), said("ACK", 101, 200)) == "refresh"

    @pytest.mark.parametrize("other", ["INVITE", "UPDATE", "PRACK", "INFO"])
    def test_any_other_request_may_be_the_first_of_its_number(self, other: str) -> None:
        assert place(window(said("ACK", 100)), said(other, 101)) == "refresh"


class TestAnswers:
    """RFC 3261 §13.3.1: a response may come while its INVITE is pending, and is sent again for 64·T1."""

    RINGING = said(status=183)
    TAKEN = said(status=200)

    @pytest.mark.parametrize("status", [180, 183, 199, 200])
    def test_while_it_is_pending_at_any_age(self, status: int) -> None:
        assert place(window(self.RINGING), said(status=status), 100 * T, pending=100) == "refresh"

    @pytest.mark.parametrize(
        ("at", "reason"), [(T, "retransmission"), (2 * T, "retransmission"), (2 * T + 1, "stale")]
    )
    def test_the_2xx_is_counted_from_its_own_first_sight(self, at: int, reason: str) -> None:
        made = window(self.RINGING, self.TAKEN, every=T)
        assert place(made, self.TAKEN, at, pending=100) == reason

    @pytest.mark.parametrize(("at", "reason"), [(2 * T, "retransmission"), (2 * T + 1, "stale")])
    def test_a_provisional_one_is_over_with_the_final_one(self, at: int, reason: str) -> None:
        made = window(self.RINGING, self.TAKEN, every=T)
        assert place(made, said(status=180), at, pending=100) == reason

    @pytest.mark.parametrize(("at", "reason"), [(T, "retransmission"), (LATER, "stale")])
    def test_the_next_invite_tells_that_the_one_before_is_over(self, at: int, reason: str) -> None:
        """RFC 3261 §14.1: nobody sends another while one is pending."""
        assert place(window(self.RINGING), said(status=200), at, pending=101) == reason

    @pytest.mark.parametrize("closed", [None, 0])
    def test_a_final_failure_seen_on_all_ways_ends_the_ringing(self, closed: int | None) -> None:
        reason = window(self.RINGING).place(said(status=180), LATER, 100, closed)
        assert reason.value == ("refresh" if closed is None else "stale")

    def test_what_is_no_invite_is_answered_once(self) -> None:
        """RFC 3261 §17.2.2."""
        made = window(said("UPDATE", status=200))
        assert place(made, said("UPDATE", status=200), T) == "retransmission"
        assert place(made, said("UPDATE", status=200), LATER) == "stale"
        assert place(made, said("UPDATE", status=202), LATER) == "stale"

    def test_of_more_codes_than_are_kept_the_rest_are_not_remembered(self) -> None:
        made = window(*(said(status=180 + code) for code in range(MAX_ANSWERS + 1)))
        assert len(made.latest[0].answers) == MAX_ANSWERS
        assert made.latest[0].answered(180 + MAX_ANSWERS) is None


def test_when_it_was_last_heard_of() -> None:
    assert Window().last == 0
    assert window(said(), said(status=183), said(status=200), every=T).last == 2 * T
