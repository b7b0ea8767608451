"""The rules once more, for comparison: each ruling drawn afresh from all that was ever heard.

No windows, no legs, no records: only questions to a history, in the words of the table of reasons.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from history import Call, Heard, T
from playbook import Said

from monitor.antireplay.observation import Tier

WINDOW = 64
ACCEPTS = ("first-use", "retransmission", "forked", "refresh", "relayed", "moved")
"""The freshest first."""
DENIALS = ("key-reused", "envelope-reused", "reflected", "source-changed", "dialog-ended", "stale")
"""In the order in which the first that fits is the reason."""


def behind(address: str, said: Said, relays: tuple[str, ...]) -> str:
    """Who stands behind an address, by what each trusted relay wrote of the hop before it."""
    for via in said.vias[1:]:
        if address not in relays:
            break
        address = via.received or via.host
    return address


@dataclass(eq=False)
class Sight:
    """A key in a message that passed.

    A key comes along a way: one dialog, one sender, one address. The first sight along a way stands for it.
    """

    heard: Heard
    reason: str
    way: "Sight | None" = None
    """None in the first along it."""
    before: "Sight | None" = None
    """Of the first along a way that goes on from another one, as behind a relay."""
    passed: tuple["Sight", Any] | None = None
    """Where a relay passed it on: from which way, and what tells that it did so once."""
    paired: bool = False
    """A B2BUA carried the key to its other leg."""

    @property
    def since(self) -> int:
        """When its way began, that of the first hop for all."""
        return self.before.since if self.before is not None else self.heard.time


@dataclass
class Reference:
    """Rules on messages by the whole history."""

    moves: bool = False
    same: Callable[[str, str], bool] = str.__eq__
    """Whether two addresses count as one source."""
    relays: tuple[str, ...] = ()
    b2bua: tuple[str, ...] = ()
    sights: dict[str, list[Sight]] = field(default_factory=dict)
    """By key."""
    calls: dict[tuple[str, str], Call] = field(default_factory=dict)

    def came(self, said: Said, time: int) -> Heard:
        """A message as it came."""
        if said.status is None:
            return Heard(said, time, behind(said.source, said, self.relays), said.destination)
        return Heard(said, time, said.source, behind(said.destination, said, self.relays))

    def hear(self, said: Said, time: int) -> str | None:
        """The reason of the ruling; None where there is no key to rule on."""
        now = self.came(said, time)
        reason, known = None, False
        if said.keys:
            call = self._call(now)
            sights = {key: self._sight(key, now, call) for key in said.keys}
            reasons = {sight.reason for sight in sights.values()}
            ranked = [*(each for each in DENIALS if each in reasons), *reversed(ACCEPTS)]
            reason = next(each for each in ranked if each in reasons)
            if reason in DENIALS:
                return reason
            known = call is not None and any(self._used(key, now, call) for key in said.keys)
            for key, sight in sights.items():
                self.sights.setdefault(key, []).append(sight)
        self._tell(now, reason, known)
        return reason

    def _call(self, now: Heard) -> Call | None:
        """The call of a message: one whose parties both are, else its requester's, else its responder's."""
        said = now.said
        names = [said.requester, *([said.responder] if said.responder is not None else [])]
        found = [self.calls[said.call, name] for name in names if (said.call, name) in self.calls]
        both = [call for call in found if call.other(now) is None or call.other(now) in call.others()]
        return next(iter([*both, *found]), None)

    def _tell(self, now: Heard, reason: str | None, known: bool) -> None:
        """Let a message count in its call, if it comes from one of its parties."""
        call = self._call(now)
        if call is None:
            if reason is not None:
                self.calls[now.said.call, now.said.requester] = Call(now.said.requester, [now])
        elif known or any(self.same(address, now.source) for address in call.addresses):
            call.told.append(now)

    def _used(self, key: str, now: Heard, call: Call) -> bool:
        """Whether a party of the call has used the key in it, from its own address."""
        return any(
            self._same_dialog(way, now, call)
            and any(self.same(address, self._place_of(way, key)) for address in call.addresses)
            for way in self._ways(key)
        )

    # Ways

    def _ways(self, key: str) -> list[Sight]:
        return [each for each in self.sights.get(key, ()) if each.way is None]

    def _along(self, way: Sight, key: str) -> list[Sight]:
        return [each for each in self.sights[key] if (each.way or each) is way]

    def _place_of(self, way: Sight, key: str) -> str:
        """The address that a way is from: where its sender moved last."""
        place = way.heard.source
        for each in self._along(way, key):
            place = place if self.same(place, each.heard.source) else each.heard.source
        return place

    def _went_to(self, way: Sight, key: str) -> set[str]:
        """Where the messages of a way went, and what relays passed on of them."""
        onward = [each for each in self.sights[key] if each.passed and each.passed[0] is way]
        return {each.heard.said.destination for each in (*self._along(way, key), *onward)}

    # Rulings

    def _sight(self, key: str, now: Heard, call: Call | None) -> Sight:
        ways = self._ways(key)
        if not ways:
            return Sight(now, "first-use")
        theirs = [way for way in ways if self._same_parties(way.heard, now, call)]
        relayed = self._next_hop(key, theirs, now, call) or self._other_leg(key, ways[0], now, call)
        if relayed is not None:
            return relayed
        reused = "envelope-reused" if ways[0].heard.said.tier is Tier.ENVELOPE else "key-reused"
        if not theirs:
            reflected = any(self._same_dialog(way, now, call) for way in ways)
            return Sight(now, "reflected" if reflected else reused)
        here = [way for way in theirs if self.same(self._place_of(way, key), now.source)]
        way = [*here, *theirs][0]
        place = self._stands(self._along(way, key), now, call)
        if place == "refresh" and now.is_request and now.peer is None and call is not None and call.taken:
            return Sight(now, reused)
        hidden = not here and self._hidden(key, now)
        if not here and not (place == "refresh" and (self.moves or hidden)):
            return Sight(now, "source-changed")
        ended = call.ended(now) if call is not None else None
        if ended is not None and way.since - ended <= T < now.time - ended:
            return Sight(now, "dialog-ended")
        if hidden:
            return Sight(now, place, before=way)
        return Sight(now, place if here else "moved", way)

    def _next_hop(self, key: str, theirs: list[Sight], now: Heard, call: Call | None) -> Sight | None:
        """A trusted relay passes on what was heard, once for each way that it takes."""
        if now.said.source not in self.relays:
            return None
        ended = call.ended(now) if call is not None else None
        if ended is not None and now.time - ended > T:
            return None
        for way in theirs:
            here = self.same(self._place_of(way, key), now.source)
            copies = self._copies(self._along(way, key), now)
            if now.is_request:
                known = now.below in {each.heard.branch for each in copies}
                fits = here and known and now.branch not in {each.heard.branch for each in copies}
                mark: Any = now.transaction, now.below
            else:
                heard_of = {each.heard.below for each in copies}
                copies = [each for each in copies if each.heard.status == now.status]
                fits = not here and bool(copies) and now.branch in heard_of
                mark = now.transaction, now.branch, now.status
            done = any(each.passed == (way, mark) for each in self.sights[key])
            if not fits or done or now.time - copies[0].heard.time > T:
                continue
            if now.is_request:
                return Sight(now, "relayed", way, passed=(way, mark))
            # A response's source is its packet's: from there on it is a way of its own.
            onward = [each for each in theirs if self._place_of(each, key) == now.source]
            if onward:
                return Sight(now, "relayed", onward[0], passed=(way, mark))
            return Sight(now, "relayed", before=way, passed=(way, mark))
        return None

    def _other_leg(self, key: str, origin: Sight, now: Heard, call: Call | None) -> Sight | None:
        """A B2BUA carries a key on that came to it, once, into whichever call."""
        if now.said.source not in self.b2bua or any(each.paired for each in self.sights[key]):
            return None
        back = self._place_of(origin, key) == now.source and self._same_parties(origin.heard, now, call)
        if back or now.said.source not in self._went_to(origin, key) or now.time - origin.since > T:
            return None
        return Sight(now, "relayed", paired=True)

    def _hidden(self, key: str, now: Heard) -> bool:
        """Whether a relay keeps the sender's address back: in every answer, and in all that came before."""
        if now.said.source not in self.relays:
            return False
        ways = [way for way in self._ways(key) if way.heard.sender == now.sender]
        return not now.is_request or all(self._place_of(way, key) in self.relays for way in ways)

    @staticmethod
    def _fits(named: str | None, other: str | None, call: Call | None) -> bool:
        """Whether a key is used with ``other``: with whom it was named first, else with any that answered."""
        if other is None or named == other:
            return True
        others = call.others() if call is not None else set()
        return named is None and (not others or other in others)

    def _same_parties(self, first: Heard, now: Heard, call: Call | None) -> bool:
        same = now.said.call == first.said.call and now.sender == first.sender
        return same and self._fits(first.peer, now.peer, call)

    def _same_dialog(self, way: Sight, now: Heard, call: Call | None) -> bool:
        """Whether it is the dialog of a way, from whichever side."""
        first = way.heard
        if self._same_parties(first, now, call):
            return True
        if now.said.call != first.said.call or now.peer != first.sender or now.sender == first.sender:
            return False
        if not now.is_request and first.peer is None:
            return True  # A response makes the dialog that its To tag names.
        return self._fits(first.peer, now.sender, call)

    @staticmethod
    def _copies(along: list[Sight], now: Heard) -> list[Sight]:
        return [each for each in along if each.heard.transaction == now.transaction]

    def _stands(self, along: list[Sight], now: Heard, call: Call | None) -> str:
        """What the message is to those that came the same way, the source left aside."""
        said = now.said
        # Its sender's own requests and his answers to the other's: the two sides number independently.
        numbers = [each.heard.said.cseq for each in along if each.heard.is_request == now.is_request]
        invite = call.last_invite(said.requester) if call is not None else None
        current = invite is not None and invite.number == said.cseq
        if not numbers or said.cseq > max(numbers):
            unasked = now.is_request and said.method == "ACK" and not current
            return "stale" if unasked else "refresh"  # An ACK has its INVITE's number.
        closed = invite.closed if invite is not None and current else None
        lasts = current and (closed is None or now.time - closed <= T)
        sights = self._copies(along, now)
        copies = [each.heard for each in sights]
        if not copies:
            if lasts and said.method in ("INVITE", "ACK"):
                return "refresh"
            below = said.cseq < max(numbers[0], max(numbers) - WINDOW + 1)
            return "stale" if below or said.cseq in numbers else "refresh"
        known_branch = now.branch in {each.branch for each in copies}
        copy = "retransmission" if known_branch else "forked"
        if now.is_request:
            if now.time - copies[0].time <= T:
                return copy
            # A relay tries one more way for an INVITE that still rings (RFC 3261 §16.5).
            hops = {each.heard.branch for each in sights}
            hops |= {each.heard.below for each in sights if each.passed is None and each.heard.below}
            another = said.source in self.relays and now.below in hops and said.method == "INVITE"
            return "forked" if another and lasts else "stale"
        same = [each for each in copies if each.status == now.status]
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
