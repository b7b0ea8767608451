"""The anti-replay window over the CSeq numbers of one requester (RFC 4303 §3.4.3, RFC 6479).

Unlike ESP's sequence numbers a CSeq legitimately comes again: as a retransmission, as another fork, as a
further response. So next to the bitmap the window remembers its latest transactions.
"""

from collections.abc import Iterator
from typing import NamedTuple, Self

from monitor.antireplay.observation import T, Transaction
from monitor.antireplay.ruling import Reason

WIDTH = 64
"""CSeq numbers below the highest that may still come in late, if they were never seen."""
MAX_TRANSACTIONS = 8
"""Latest transactions remembered of one requester; an older one that comes again is stale."""
MAX_BRANCHES = 16
"""Branches remembered of one transaction; further copies are accepted as forks and not remembered."""
MAX_ANSWERS = 8
"""Different response codes remembered of one transaction."""


class Seen(NamedTuple):
    """One transaction in which the fingerprint was seen."""

    method: str
    cseq: int
    first: int
    """When it was first seen (nanoseconds)."""
    branches: tuple[int, ...]
    answers: tuple[tuple[int, int], ...] = ()
    """Response codes with the time of the first of each."""
    relayed: tuple[int, ...] = ()
    """Branches under which a relay has passed it on."""
    onward: tuple[int, ...] = ()
    """Of the second Via: in a response what its next hop will bear on top, in a request the hop before."""

    @classmethod
    def of(cls, transaction: Transaction, time: int) -> Self:
        """The first sighting of a transaction."""
        status, onward = transaction.status, transaction.next_branch
        return cls(
            transaction.method,
            transaction.cseq,
            time,
            (transaction.branch,),
            ((status, time),) if status is not None else (),
            (),
            (onward,) if onward is not None else (),
        )

    def with_message(self, transaction: Transaction, time: int) -> Self:
        """The same after one more of its messages."""
        branches, answers, onward = self.branches, self.answers, self.onward
        status, following = transaction.status, transaction.next_branch
        if transaction.branch not in branches and len(branches) < MAX_BRANCHES:
            branches = (*branches, transaction.branch)
        if status is not None and self.answered(status) is None and len(answers) < MAX_ANSWERS:
            answers = (*answers, (status, time))
        if following is not None and following not in onward and len(onward) < MAX_BRANCHES:
            onward = (*onward, following)
        return self._replace(branches=branches, answers=answers, onward=onward)

    @property
    def times(self) -> Iterator[int]:
        """When it and each of its response codes were first seen."""
        yield self.first
        yield from (time for _, time in self.answers)

    def answered(self, status: int) -> int | None:
        """When the response code was first seen."""
        return next((time for code, time in self.answers if code == status), None)

    @property
    def closed(self) -> int | None:
        """When the first final response was seen."""
        return min((time for code, time in self.answers if code >= 200), default=None)


class Window(NamedTuple):
    """Which CSeq numbers of one requester a fingerprint was seen under."""

    lowest: int = 0
    """Left edge: where the window began, or ``WIDTH`` below the highest."""
    highest: int = -1
    """-1 in an empty window."""
    bitmap: int = 0
    """Bit n: number ``highest - n`` was seen."""
    latest: tuple[Seen, ...] = ()
    """Newest last."""

    @property
    def last(self) -> int:
        """When the latest transaction, or code of a response, was first seen; 0 in an empty window."""
        return max((time for seen in self.latest for time in seen.times), default=0)

    def find(self, transaction: Transaction) -> Seen | None:
        """What is remembered of a transaction."""
        for seen in self.latest:
            if seen.cseq == transaction.cseq and seen.method == transaction.method:
                return seen
        return None

    def with_message(self, transaction: Transaction, time: int) -> Self:
        """The window after one more message."""
        seen = self.find(transaction)
        if seen is not None:
            after = seen.with_message(transaction, time)
            return self._replace(latest=tuple(after if each is seen else each for each in self.latest))
        latest = (*self.latest, Seen.of(transaction, time))[-MAX_TRANSACTIONS:]
        cseq = transaction.cseq
        if self.highest < 0:
            return self._replace(lowest=cseq, highest=cseq, bitmap=1, latest=latest)
        if cseq > self.highest:
            shift = min(cseq - self.highest, WIDTH)
            bitmap = ((self.bitmap << shift) | 1) & ((1 << WIDTH) - 1)
            lowest = max(self.lowest, cseq - WIDTH + 1)
            return self._replace(lowest=lowest, highest=cseq, bitmap=bitmap, latest=latest)
        below = self.highest - cseq
        bitmap = self.bitmap | (1 << below) if below < WIDTH else self.bitmap
        return self._replace(bitmap=bitmap, latest=latest)

    def place(self, transaction: Transaction, time: int, invite: int | None, closed: int | None) -> Reason:
        """Where a message stands: ``refresh``, ``retransmission``, ``forked`` or ``stale``.

        :param invite: the number of the requester's last INVITE, however it became known.
        :param closed: when that INVITE had its final response on all its ways.
        """
        pending = invite == transaction.cseq
        if transaction.cseq > self.highest:
            # An ACK has the number of its INVITE (RFC 3261 §13.2.2.4), and goes where that went.
            unasked = transaction.method == "ACK" and transaction.status is None and not pending
            return Reason.STALE if unasked else Reason.REFRESH
        seen = self.find(transaction)
        if seen is None:
            return self._unseen(transaction, time, pending, closed)
        copy = Reason.RETRANSMISSION if transaction.branch in seen.branches else Reason.FORKED
        status = transaction.status
        if status is None:
            return copy if time - seen.first <= T else Reason.STALE
        ends = [end for end in (seen.closed, closed if pending else None) if end is not None]
        # Whoever sends another INVITE has had the final response to the one before (RFC 3261 §14.1).
        over = invite is not None and invite > transaction.cseq
        still_open = (
            transaction.method == "INVITE"
            and not over
            and (not ends if status < 200 else seen.closed is None and (not ends or time - min(ends) <= T))
        )
        before = seen.answered(status)
        if before is not None and time - before <= T:
            return copy
        if still_open:
            return Reason.REFRESH
        since = min(ends) if ends else seen.first
        return copy if time - since <= T else Reason.STALE

    def _unseen(self, transaction: Transaction, time: int, pending: bool, closed: int | None) -> Reason:
        of_invite = transaction.method in ("INVITE", "ACK")
        if pending and of_invite and (closed is None or time - closed <= T):
            return Reason.REFRESH
        below = self.highest - transaction.cseq
        if transaction.cseq < self.lowest or below >= WIDTH or self.bitmap >> below & 1:
            return Reason.STALE
        return Reason.REFRESH
