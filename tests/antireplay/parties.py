"""The parties of random conversations: their calls, and what a machine between makes of what they say."""

from dataclasses import dataclass, field, replace

from playbook import ALICE, B2BUA, BOB, PROXY, Said

from monitor.antireplay.observation import Tier
from monitor.sip.message import Via

DESK = "192.0.2.2"
"""Where Alice's second phone is."""
PHONES = {"alice": ALICE, "desk": DESK}


@dataclass
class Sent:
    """A message that somebody sent in earnest."""

    said: Said
    call: "Call"
    at: float
    of: Said
    """What its party said, before anything came between."""
    onward: Said | None = None
    """What the machine between makes of it."""
    seen: bool = True
    """Whether it goes by where the monitor is."""
    behind: str = "arrives"
    """What becomes of it there."""
    heard: bool = False


@dataclass
class Call:
    """A call as its parties see it."""

    id: str
    tier: Tier
    between: str = ""
    """The machine that it goes through."""
    side: str = "both"
    bob: str = BOB
    """Where Bob is."""
    cseq: dict[str, int] = field(default_factory=lambda: {"bob": 1})
    keys: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each party uses now."""
    pending: list[Said] = field(default_factory=list)
    """Requests without a final response; of an INVITE each copy."""
    early: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    """Who answered and was heard by Bob."""
    taken: str | None = None
    """Who took the call."""
    taken_at: float = 0.0
    acknowledged: bool = False
    over: bool = False

    def address(self, party: str) -> str:
        return self.bob if party == "bob" else PHONES[party]

    def hops(self, said: Said) -> list[Said]:
        """A message on each side of the machine between, its own first."""
        if self.between == PROXY:
            return self._proxied(said)
        return self._bridged(said) if self.between else [said]

    def _proxied(self, said: Said) -> list[Said]:
        base = said.branch.removesuffix("-desk")
        own = Via("UDP", PROXY, None, f"{said.branch}-p")
        if said.status is not None:
            below = Via("UDP", said.destination, None, base, said.destination)
            first = replace(said, destination=PROXY, vias=(own, below))
            return [first, replace(said, source=PROXY, vias=(below,))]
        first = replace(said, destination=PROXY, branch=base)
        below = Via("UDP", said.source, None, base, said.source)
        onward = replace(said, source=PROXY, vias=(own, below))
        return [first, onward] if said.branch == base else [onward]

    def _bridged(self, said: Said) -> list[Said]:
        """Bob speaks with the B2BUA in one call, who speaks with Alice in the other."""
        to_bob = replace(said, requester=self._unless_bob(said.requester, "gateway"))
        if said.responder is not None:
            to_bob = replace(to_bob, responder=self._unless_bob(said.responder, "gateway"))
        names = {"bob": "gateway"}
        to_alice = replace(
            said,
            call=f"{said.call}-b",
            branch=f"{said.branch}-b",
            requester=names.get(said.requester, said.requester),
            responder=names.get(said.responder or "", said.responder),
        )
        sender = said.requester if said.status is None else said.responder
        first, onward = (to_bob, to_alice) if sender == "bob" else (to_alice, to_bob)
        return [replace(first, destination=B2BUA), replace(onward, source=B2BUA)]

    @staticmethod
    def _unless_bob(name: str, other: str) -> str:
        return name if name == "bob" else other

    def sees(self, said: Said) -> bool:
        """Whether the monitor stands where a hop of a message goes by."""
        phones = set(PHONES.values()) & {said.source, said.destination}
        return self.side == "both" or not self.between or (self.side == "callees") == bool(phones)
