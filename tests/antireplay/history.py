"""What was heard, as the reference asks about it: messages, and the calls that they tell of."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from playbook import Said

SECOND = 10**9
T = 37 * SECOND
TRY_AGAIN = (401, 407, 422, 491)


@dataclass(frozen=True, eq=False)
class Heard:
    """A message that came, from whom and when."""

    said: Said
    time: int
    source: str
    """Behind the relays."""
    target: str
    """Whom it is for; of a response also behind them."""

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

    @property
    def transaction(self) -> tuple[bool, str, int]:
        """A request's, or what answers it: the two are never compared."""
        return self.is_request, self.said.method, self.said.cseq

    @property
    def branch(self) -> str:
        """Of its topmost Via."""
        return self.said.vias[0].branch if self.said.vias else self.said.branch

    @property
    def below(self) -> str | None:
        """Of the next one: a request's hop before, a response's hop after."""
        return self.said.vias[1].branch if len(self.said.vias) > 1 else None


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
        first = self.told[0]
        found = {first.source, first.said.destination, first.target}
        for each in self.told:
            found.add(each.source)
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
                    latest.cancelled.add(each.branch)
                    yield index, latest
                continue
            if said.method != "INVITE" or (not each.is_request and each.status <= 100):
                continue
            if latest is None or said.cseq > latest.number:
                latest = Invite(said.cseq)
            if said.cseq < latest.number:
                continue
            # What lies behind a hop that was seen is no way of its own (RFC 3261 §16.7).
            if each.branch not in latest.ways and each.below not in latest.ways:
                if all(end >= 300 for end in latest.ways.values()):
                    latest.closed = None
                latest.ways[each.branch] = 0
            if each.status >= 200:
                if each.branch in latest.ways:
                    latest.ways[each.branch] = latest.ways[each.branch] or each.status
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
            if each.said.method == "BYE" and each.is_request:
                known = self.others(index)
                if not known or name in known:
                    byes.setdefault(name or "", each.time)
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
