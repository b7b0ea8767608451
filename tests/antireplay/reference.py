"""The rules once more, for comparison: each ruling drawn afresh from all that was ever heard.

No windows, no legs, no records: only questions to a history, in the words of the table of reasons. It
knows one hop: relays and B2BUAs have tests of their own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from playbook import Said

from monitor.antireplay.observation import Tier

SECOND = 10**9
T = 37 * SECOND
WINDOW = 64
ACCEPTS = ("first-use", "retransmission", "forked", "refresh", "moved")
"""The freshest first."""
DENIALS = ("key-reused", "envelope-reused", "reflected", "source-changed", "dialog-ended", "stale")
"""In the order in which the first that fits is the reason."""
TRY_AGAIN = (401, 407, 422, 491)


@dataclass(frozen=True)
class Heard:
    """A message that passed, and when."""

    said: Said
    time: int

    @property
    def sender(self) -> str | None:
        """Whose body it is."""
        return self.said.requester if self.said.status is None else self.said.responder

    @property
    def peer(self) -> str | None:
        return self.said.responder if self.said.status is None else self.said.requester

    @property
    def is_request(self) -> bool:
        return self.said.status is None

    @property
    def status(self) -> int:
        return self.said.status or 0


@dataclass
class Invite:
    """An INVITE in the light of what followed."""

    number: int
    ways: dict[str, int] = field(default_factory=dict)
    """The final response on each branch, 0 where there was none."""
    cancelled: set[str] = field(default_factory=set)
    closed: int | None = None

    @property
    def came_to_nothing(self) -> bool:
        return all(
            end >= 300 and end not in TRY_AGAIN if end else way in self.cancelled
            for way, end in self.ways.items()
        )


@dataclass
class Call:
    """What happened in the dialogs that one party opened under one Call-ID, as its own parties told it."""

    opener: str
    told: list[Heard]

    def other(self, heard: Heard) -> str | None:
        said = heard.said
        return said.responder if said.requester == self.opener else said.requester

    @property
    def addresses(self) -> set[str]:
        """Where the parties are: at both ends of the first message, and of each INVITE."""
        first = self.told[0].said
        found = {first.source, first.destination}
        for each in self.told:
            found.add(each.said.source)
            if each.is_request and each.said.method == "INVITE":
                found.add(each.said.destination)
        return found

    def others(self, until: int | None = None) -> set[str]:
        """Who answered; where nobody did, whom the opener spoke to within a dialog."""
        answered: set[str] = set()
        for index, each in enumerate(self.told[:until]):
            name, method = self.other(each), each.said.method
            if name is None or method == "BYE":
                continue
            if not each.is_request:
                if method == "INVITE" and 100 < each.status < 300:
                    answered.add(name)
            elif not answered and not (method == "CANCEL" and each.said.cseq == self.initial(index)):
                answered.add(name)
        return answered

    def initial(self, until: int | None = None) -> int:
        """Number of the latest INVITE outside a dialog."""
        numbers = [
            each.said.cseq
            for each in self.told[:until]
            if each.is_request and each.said.method == "INVITE" and each.said.responder is None
        ]
        return max(numbers, default=-1)

    def invites(self, requester: str) -> Iterator[tuple[int, Invite]]:
        """The requester's latest INVITE, after each message that concerns it; with the message's index."""
        latest: Invite | None = None
        for index, each in enumerate(self.told):
            said = each.said
            if said.requester != requester:
                continue
            if said.method == "CANCEL" and each.is_request and latest is not None:
                if said.cseq == latest.number == self.initial(index):
                    latest.cancelled.add(said.branch)
                    yield index, latest
                continue
            if said.method != "INVITE" or (not each.is_request and each.status <= 100):
                continue
            if latest is None or said.cseq > latest.number:
                latest = Invite(said.cseq)
            if said.cseq < latest.number:
                continue
            if said.branch not in latest.ways:
                if all(end >= 300 for end in latest.ways.values()):
                    latest.closed = None
                latest.ways[said.branch] = 0
            if each.status >= 200:
                latest.ways[said.branch] = latest.ways[said.branch] or each.status
                if latest.closed is None and (each.status < 300 or all(latest.ways.values())):
                    latest.closed = each.time
            yield index, latest

    def last_invite(self, requester: str) -> Invite | None:
        found = [invite for _, invite in self.invites(requester)]
        return found[-1] if found else None

    def accepts(self) -> dict[str | None, int]:
        """Who accepted the opener's INVITE, and when first."""
        found: dict[str | None, int] = {}
        for index, invite in self.invites(self.opener):
            each = self.told[index]
            if 200 <= each.status < 300 and invite.number >= self.initial(index + 1):
                found.setdefault(self.other(each), each.time)
        return found

    @property
    def taken(self) -> bool:
        """Whether the opener's INVITE was accepted."""
        first = self.told[0]
        return (first.is_request and first.said.responder is not None) or bool(self.accepts())

    @property
    def failed(self) -> int | None:
        """When the initial INVITE came to nothing; another try within T, or a late accept, undoes that."""
        if self.taken:
            return None
        since: int | None = None
        for index, invite in self.invites(self.opener):
            each = self.told[index]
            within_a_dialog = each.is_request and each.said.responder is not None
            if (within_a_dialog and each.said.method == "INVITE") or invite.number < self.initial(index + 1):
                continue
            if invite.came_to_nothing:
                since = each.time if since is None else since
            elif since is not None and each.time - since <= T:
                since = None
        return since

    def ended(self, heard: Heard) -> int | None:
        """When the dialog that a message names came to its end."""
        byes: dict[str, int] = {}
        for index, each in enumerate(self.told):
            name = self.other(each)
            if each.said.method == "BYE" and each.is_request and name is not None:
                known = self.others(index)
                if not known or name in known:
                    byes.setdefault(name, each.time)
        name, known = self.other(heard), self.others()
        if name in byes:
            return byes[name]
        if self.failed is not None and (name is None or not known or name in known):
            return self.failed
        accepts = self.accepts()
        if accepts and name in known and name not in accepts:
            return min(accepts.values())
        if byes and (known & accepts.keys() or known) <= set(byes):
            return max(byes.values())
        return None


@dataclass
class Reference:
    """Rules on messages by the whole history."""

    moves: bool = False
    same: Callable[[str, str], bool] = str.__eq__
    """Whether two addresses count as one source."""
    heard: list[Heard] = field(default_factory=list)
    calls: dict[tuple[str, str], Call] = field(default_factory=dict)

    def hear(self, said: Said, time: int) -> str | None:
        """The reason of the ruling; None where there is no key to rule on."""
        now = Heard(said, time)
        reason = None
        if said.keys:
            reasons = {self._reason(key, now) for key in said.keys}
            ranked = [*(each for each in DENIALS if each in reasons), *reversed(ACCEPTS)]
            reason = next(each for each in ranked if each in reasons)
            if reason in DENIALS:
                return reason
            self.heard.append(now)
        self._tell(now, reason)
        return reason

    def _call(self, now: Heard) -> Call | None:
        """The call of a message: one whose parties both are, else its requester's, else its responder's."""
        said = now.said
        names = [said.requester, *([said.responder] if said.responder is not None else [])]
        found = [self.calls[said.call, name] for name in names if (said.call, name) in self.calls]
        both = [call for call in found if call.other(now) is None or call.other(now) in call.others()]
        return next(iter([*both, *found]), None)

    def _tell(self, now: Heard, reason: str | None) -> None:
        """Let a message count in its call, if it comes from one of its parties."""
        call = self._call(now)
        if call is None:
            if reason is not None:
                self.calls[now.said.call, now.said.requester] = Call(now.said.requester, [now])
        elif reason not in (None, "first-use") or any(
            self.same(address, now.said.source) for address in call.addresses
        ):
            call.told.append(now)

    def _reason(self, key: str, now: Heard) -> str:
        before = [each for each in self.heard if key in each.said.keys]
        if not before:
            return "first-use"
        call = self._call(now)
        reused = "envelope-reused" if before[0].said.tier is Tier.ENVELOPE else "key-reused"
        if now.said.call != before[0].said.call:
            return reused
        if not self._same_parties(before[0], now, call):
            return "reflected" if self._comes_back(before[0], now, call) else reused
        place = self._place(before, now, call)
        if place == "refresh" and now.is_request and now.peer is None and call is not None and call.taken:
            return reused
        source = before[0].said.source
        for each in before:
            source = source if self.same(source, each.said.source) else each.said.source
        moved = not self.same(source, now.said.source)
        if moved and not (self.moves and place == "refresh"):
            return "source-changed"
        ended = call.ended(now) if call is not None else None
        if ended is not None and before[0].time - ended <= T < now.time - ended:
            return "dialog-ended"
        return "moved" if moved else place

    @staticmethod
    def _fits(named: str | None, other: str | None, call: Call | None) -> bool:
        """Whether a key is used with ``other``: with whom it was named first, else with any that answered."""
        if other is None or named == other:
            return True
        others = call.others() if call is not None else set()
        return named is None and (not others or other in others)

    def _same_parties(self, first: Heard, now: Heard, call: Call | None) -> bool:
        return now.sender == first.sender and self._fits(first.peer, now.peer, call)

    def _comes_back(self, first: Heard, now: Heard, call: Call | None) -> bool:
        if now.peer != first.sender or now.sender == first.sender:
            return False
        if not now.is_request and first.peer is None:
            return True  # A response makes the dialog that its To tag names.
        return self._fits(first.peer, now.sender, call)

    @staticmethod
    def _place(before: list[Heard], now: Heard, call: Call | None) -> str:
        """What the message is to those with the same key and requester, the source left aside."""
        said = now.said
        # Its sender's own requests and his answers to the other's: the two sides number independently.
        earlier = [each for each in before if each.is_request == now.is_request]
        numbers = [each.said.cseq for each in earlier]
        invite = call.last_invite(said.requester) if call is not None else None
        current = invite is not None and invite.number == said.cseq
        if not numbers or said.cseq > max(numbers):
            unasked = now.is_request and said.method == "ACK" and not current
            return "stale" if unasked else "refresh"  # An ACK has its INVITE's number.
        closed = invite.closed if invite is not None and current else None
        copies = [each for each in earlier if (each.said.method, each.said.cseq) == (said.method, said.cseq)]
        if not copies:
            if current and said.method in ("INVITE", "ACK") and (closed is None or now.time - closed <= T):
                return "refresh"
            below = said.cseq < max(numbers[0], max(numbers) - WINDOW + 1)
            return "stale" if below or said.cseq in numbers else "refresh"
        known_branch = said.branch in {each.said.branch for each in copies}
        copy = "retransmission" if known_branch else "forked"
        if now.is_request:
            return copy if now.time - copies[0].time <= T else "stale"
        same = [each for each in copies if each.said.status == said.status]
        if same and now.time - same[0].time <= T:
            return copy
        finals = [each.time for each in copies if each.status >= 200]
        over = [*finals[:1], *([closed] if closed is not None else [])]
        if said.method == "INVITE" and (invite is None or invite.number <= said.cseq):
            if now.status < 200 and not over:
                return "refresh"
            if now.status >= 200 and not finals and (closed is None or now.time - closed <= T):
                return "refresh"
        since = min(over) if over else copies[0].time
        return copy if now.time - since <= T else "stale"
