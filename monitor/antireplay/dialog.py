"""Dialogs: what the judge must know of a call beyond the keys (RFC 3261 §12).

A record stands for all dialogs that one initial requester opened under one Call-ID, since forks share the
offer's key. It is made by the first accepted message that bears key material and followed from then on.
Only parties at an address bound to the dialog can change it: whoever else sends a BYE ends nothing.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from monitor import compact_json
from monitor.antireplay.association import CALL_ID_SHOWN, RecordError
from monitor.antireplay.observation import DialogView, T, is_tagged
from monitor.antireplay.policy import Policy

VERSION = 3
"""Earlier ones are read too: 1, whose INVITEs tell of no ways, and 2, which does not tell who took calls."""
MAX_OTHERS = 16
"""Forks remembered of one call; a further one counts as unknown."""
MAX_BOUND = 16
"""Addresses bound to one call."""
MAX_WAYS = 16
"""Ways remembered of one INVITE; it fails without those beyond."""
OPEN, CANCELLED = 0, 1
RETRIED = frozenset({401, 407, 422, 491})
"""Final responses that ask for another try and so end nothing (RFC 3261 §22.2, RFC 4028 §6, §14.1)."""


class Event(NamedTuple):
    """One SIP message as a dialog sees it."""

    method: str
    cseq: int
    status: int | None
    branch: int
    """``branch_hash`` of the topmost Via."""
    next_branch: int | None
    """The same of the second Via, None where there is none."""
    requester: str
    """Party of the From."""
    responder: str | None
    """Party of the To; None in a request outside a dialog."""
    source: bytes
    """Effective source (packed)."""
    destination: bytes
    target: bytes
    """Whom it is for: of a response the requester, also where a trusted relay stands before him (packed)."""
    time: int
    known: bool = False
    """The message bore key material that a party of this dialog has used in it."""


class Invite(NamedTuple):
    """The last INVITE of one party, and the ways it took: behind a proxy it may be seen on several.

    Where a proxy's both sides are seen, what lies behind it is no way of its own: how the INVITE ends is what
    the proxy tells the hop before it (RFC 3261 §16.7), not what one of its forks did.
    """

    cseq: int
    closed: int | None = None
    """When it had its final response: a 2xx, or a failure on each way."""
    ways: tuple[tuple[int, int], ...] = ()
    """Top Via branches, with the final response on each, ``OPEN`` or ``CANCELLED`` before that."""

    def on(self, event: Event) -> Self:
        """The INVITE once it is known to have gone a message's way; one way more reopens what had failed."""
        known = [way for way, _ in self.ways]
        if len(known) >= MAX_WAYS or event.branch in known or event.next_branch in known:
            return self
        refused = all(end >= 300 for _, end in self.ways)
        closed = None if refused else self.closed
        return type(self)(self.cseq, closed, (*self.ways, (event.branch, OPEN)))

    def cancelled(self, branch: int) -> Self:
        """After a CANCEL, which has the branch of its INVITE (RFC 3261 §9.1)."""
        return self._replace(ways=self._with(branch, CANCELLED))

    def answered(self, event: Event, status: int) -> Self:
        """After a response."""
        invite = self.on(event)
        if status < 200:
            return invite
        invite = invite._replace(ways=invite._with(event.branch, status))
        over = status < 300 or all(end >= 200 for _, end in invite.ways)
        return invite._replace(closed=event.time) if over and invite.closed is None else invite

    @property
    def failed(self) -> bool:
        """Whether it came to nothing on every way, and nobody was asked to try again."""
        return all(end == CANCELLED or (end >= 300 and end not in RETRIED) for _, end in self.ways)

    def _with(self, branch: int, end: int) -> tuple[tuple[int, int], ...]:
        return tuple((way, end if way == branch and was < 200 else was) for way, was in self.ways)


class Dialog(NamedTuple):
    """What one initial requester opened under one Call-ID."""

    call_id: str
    initiator: str
    bound: tuple[bytes, ...] = ()
    """Addresses of its parties (packed)."""
    others: tuple[str, ...] = ()
    """Parties that answered."""
    initial: int = -1
    """CSeq number of the initial INVITE, -1 where it was not seen."""
    confirmed: bool = False
    failed: int | None = None
    """When the initial INVITE was cancelled or finally refused, with no later one accepted."""
    ended: tuple[tuple[str, int], ...] = ()
    """Answering parties whose dialog had its BYE, and when."""
    invites: tuple[tuple[str, Invite], ...] = ()
    """By requester."""
    accepted: int | None = None
    """When the first 2xx to the initial INVITE was seen."""
    takers: tuple[str, ...] = ()
    """Parties that answered it so."""

    @classmethod
    def opened_by(cls, event: Event, call_id: str) -> Self:
        """The record that the first accepted message with key material makes."""
        return cls(
            call_id[:CALL_ID_SHOWN],
            event.requester,
            tuple(dict.fromkeys((event.source, event.destination, event.target))),
            confirmed=event.status is None and event.responder is not None,
        )

    def involves(self, one: str, other: str | None) -> int:
        """How well a record fits two parties: 0 not, 1 by its initiator, 2 by both."""
        if self.initiator not in (one, other):
            return 0
        answering = other if one == self.initiator else one
        return 2 if answering is None or answering in self.others else 1

    def view(self, requester: str, responder: str | None) -> DialogView:
        """What the judge needs of it for a message between two parties."""
        other = responder if requester == self.initiator else requester
        ended = dict(self.ended)
        if other is not None and other in ended:
            end: int | None = ended[other]
        elif self.failed is not None and (other is None or not self.others or other in self.others):
            end = self.failed
        elif self.accepted is not None and other in self.others and other not in self.takers:
            end = self.accepted  # T later its early dialog is no more (RFC 3261 §13.2.2.4)
        elif ended and all(each in ended for each in self.takers or self.others):
            end = max(ended.values())
        else:
            end = None
        invite = dict(self.invites).get(requester)
        return DialogView(
            frozenset(self.others),
            end,
            invite.cseq if invite else None,
            invite.closed if invite else None,
            self.confirmed and all(map(is_tagged, self.others)),
        )

    def after(self, event: Event, policy: Policy) -> Self:
        """The record after one more message; itself where the message changes nothing."""
        if not (event.known or self.binds(event.source, policy)):
            return self
        dialog = self._bind(event)
        return dialog._request(event) if event.status is None else dialog._response(event, event.status)

    def binds(self, source: bytes, policy: Policy) -> bool:
        """Whether ``source`` (packed) is the address of a party."""
        return any(policy.same_source(address, source) for address in self.bound)

    def _bind(self, event: Event) -> Self:
        bound = self.bound
        addresses: Iterable[bytes] = (event.source,)
        if event.status is None and event.method == "INVITE":
            addresses = (event.source, event.destination)
        for address in addresses:
            if address not in bound and len(bound) < MAX_BOUND:
                bound = (*bound, address)
        return self if bound is self.bound else self._replace(bound=bound)

    def _request(self, event: Event) -> Self:
        other = event.responder if event.requester == self.initiator else event.requester
        dialog = self
        if event.method == "INVITE":
            invite = dict(self.invites).get(event.requester)
            if invite is None or event.cseq >= invite.cseq:
                dialog = dialog._invite(event, invite)
        elif event.method == "BYE":
            # While no answer was seen there is no To tag to compare: any will do, and none too.
            return self if self.others and other not in self.others else self._end(other or "", event.time)
        elif event.method == "CANCEL" and event.cseq == self.initial:
            return dialog._cancel(event)
        if other is not None and not dialog.others:
            dialog = dialog._replace(others=(other,))
        return dialog

    def _response(self, event: Event, status: int) -> Self:
        if event.method != "INVITE" or status <= 100:
            return self
        dialog = self
        other = event.responder if event.requester == self.initiator else event.requester
        if status < 300 and other is not None and other not in self.others and len(self.others) < MAX_OTHERS:
            dialog = dialog._replace(others=(*dialog.others, other))
        invite = dict(dialog.invites).get(event.requester)
        if invite is not None and event.cseq < invite.cseq:
            return dialog
        if invite is None or event.cseq > invite.cseq:
            invite = Invite(event.cseq)
        invite = invite.answered(event, status)
        dialog = dialog._with_invite(event.requester, invite)
        if event.requester != self.initiator or event.cseq < self.initial:
            return dialog
        if 200 <= status < 300:
            return dialog._taken(other, event.time)
        return dialog._weigh(invite, event.time)

    def _taken(self, other: str | None, time: int) -> Self:
        takers = self.takers
        if other in self.others and other not in takers:
            takers = (*takers, other)
        accepted = time if self.accepted is None else self.accepted
        return self._replace(confirmed=True, failed=None, accepted=accepted, takers=takers)

    def _end(self, other: str, time: int) -> Self:
        if other in dict(self.ended):
            return self
        return self._replace(ended=(*self.ended[-MAX_OTHERS + 1 :], (other, time)))

    def _invite(self, event: Event, before: Invite | None) -> Self:
        """After an INVITE, or a copy of it that went another way."""
        if before is None or event.cseq > before.cseq:
            before = Invite(event.cseq)
        invite = before.on(event)
        if event.responder is not None:
            return self._with_invite(event.requester, invite)
        return self._with_invite(event.requester, invite, event.cseq)._weigh(invite, event.time)

    def _cancel(self, event: Event) -> Self:
        invite = dict(self.invites).get(event.requester)
        if invite is None or event.cseq != invite.cseq:
            return self
        invite = invite.cancelled(event.branch)
        return self._with_invite(event.requester, invite)._weigh(invite, event.time)

    def _weigh(self, invite: Invite, time: int) -> Self:
        """Note whether the initial INVITE has come to nothing; another try may follow within T."""
        if self.confirmed:
            return self
        if invite.failed:
            return self._replace(failed=time if self.failed is None else self.failed)
        return self._replace(failed=None) if self.failed is not None and time - self.failed <= T else self

    def _with_invite(self, requester: str, invite: Invite, initial: int | None = None) -> Self:
        kept = [(party, each) for party, each in self.invites if party != requester]
        initial = self.initial if initial is None else initial
        return self._replace(initial=initial, invites=(*kept[-MAX_OTHERS:], (requester, invite)))

    def encode(self) -> bytes:
        """The record for the store."""
        items = [
            VERSION,
            "dialog",
            self.call_id,
            self.initiator,
            [address.hex() for address in self.bound],
            self.others,
            self.initial,
            int(self.confirmed),
            self.failed,
            self.ended,
            [[party, invite.cseq, invite.closed, invite.ways] for party, invite in self.invites],
            self.accepted,
            self.takers,
        ]
        return compact_json.encode(items).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Read a record.

        :raises RecordError: it is not one of this version.
        """
        try:
            return cls._from(compact_json.decode(record))
        except (ValueError, TypeError, KeyError, IndexError) as error:
            raise RecordError(f"dialog record cannot be read: {error}") from None

    @classmethod
    def _from(cls, items: list[Any]) -> Self:
        version, kind, call_id, initiator, bound, others, initial, confirmed, failed, ended, *more = items
        invites, accepted, takers = more if version > 2 else (*more, None, ())
        if version not in range(1, VERSION + 1) or kind != "dialog":
            raise RecordError(f"dialog record of version {version}, this program reads {VERSION}")
        compact_json.expect(
            str, (call_id, initiator, *others, *takers, *(party for party, *_ in (*ended, *invites)))
        )
        compact_json.expect(int, (initial, *(time for time in (failed, accepted) if time is not None)))
        compact_json.expect(int, (time for _, time in ended))
        return cls(
            call_id,
            initiator,
            tuple(map(bytes.fromhex, bound)),
            tuple(others),
            initial,
            bool(confirmed),
            failed,
            tuple((party, time) for party, time in ended),
            tuple((party, _invite(*items)) for party, *items in invites),
            accepted,
            tuple(takers),
        )


def _invite(cseq: int, closed: int | None, ways: Iterable[tuple[int, int]] = ()) -> Invite:
    taken = tuple([(branch, end) for branch, end in ways])
    compact_json.expect(
        int, (cseq, *([] if closed is None else [closed]), *(number for way in taken for number in way))
    )
    return Invite(cseq, closed, taken)
