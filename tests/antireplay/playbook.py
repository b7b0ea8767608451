"""Conversations for tests: messages said at a time, and what the judge says of each."""

from dataclasses import dataclass, field, replace
from typing import Any

from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.observation import Endpoint, Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Ruling
from monitor.antireplay.sad import AssociationDatabase, Evidence, Facts, Sighting
from monitor.sip.message import Message, Via
from monitor.store.memory import MemoryStore
from monitor.wire.address import pack
from monitor.wire.frame import NANOSECONDS

BOB, ALICE, CHARLES, PROXY, B2BUA = "192.0.2.5", "192.0.2.1", "192.0.2.66", "192.0.2.10", "192.0.2.20"
START = 1_700_000_000 * NANOSECONDS
HASHES = Fingerprinter(b"a secret of some octets")


@dataclass(frozen=True)
class Said:
    """One message. A request goes from Bob to Alice unless told otherwise."""

    method: str = "INVITE"
    status: int | None = None
    cseq: int = 1
    keys: tuple[str, ...] = ()
    tier: Tier = Tier.MASTER_KEY
    call: str = "call-1"
    requester: str = "bob"
    responder: str | None = None
    source: str = BOB
    destination: str = ALICE
    vias: tuple[Via, ...] = ()
    branch: str = "z9hG4bK-1"
    endpoints: tuple[Endpoint, ...] = (("192.0.2.5", 4000),)
    duplicate: bool = False

    def message(self) -> Message:
        """The message as the decoder would give it."""
        own = Via("UDP", self.source, None, self.branch)
        return Message(
            start_line=f"{self.method} sip:alice@example.org SIP/2.0",
            method=self.method,
            status=self.status,
            headers=(),
            body=b"",
            call_id=self.call,
            from_uri=f"sip:{self.requester}@example.org",
            from_tag=self.requester,
            to_uri=f"sip:{self.responder or 'alice'}@example.org",
            to_tag=self.responder,
            cseq=self.cseq,
            vias=self.vias or (own,),
        )


def invite(*keys: str, **more: Any) -> Said:
    """Bob's INVITE to Alice."""
    return replace(Said(keys=keys), **more)


def answer(status: int, *keys: str, **more: Any) -> Said:
    """Alice's response to Bob."""
    base = Said(
        status=status,
        keys=keys,
        responder="alice",
        source=ALICE,
        destination=BOB,
        endpoints=(("192.0.2.1", 5000),),
        vias=(Via("UDP", BOB, None, "z9hG4bK-1"),),
    )
    return replace(base, **more)


def request(method: str, *keys: str, **more: Any) -> Said:
    """Bob's request within the dialog."""
    return replace(Said(method=method, keys=keys, responder="alice", cseq=2), **more)


@dataclass
class Stage:
    """Where a conversation is held: a store, a policy, and a clock that only tests move."""

    policy: Policy = field(default_factory=Policy)
    store: MemoryStore = field(default_factory=MemoryStore)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.database = AssociationDatabase(self.store, HASHES, 10**18)

    def hear(self, said: Said, at: float | None = None) -> Ruling | None:
        """What the judge says of a message with keys; None for one without, which only moves the dialog."""
        if at is not None:
            self.now = at
        time = START + round(self.now * NANOSECONDS)
        facts = Facts.of(said.message(), pack(said.source), pack(said.destination), time, self.policy, HASHES)
        if not said.keys:
            self.database.follow(facts, self.policy)
            return None
        sightings = tuple(
            Sighting(HASHES.master_key(key.encode()), said.tier, said.endpoints) for key in said.keys
        )
        ruling = self.database.rule(facts, Evidence(sightings, said.duplicate), self.policy)
        self.store.commit()
        return ruling

    def rules(self, said: Said, reason: str, at: float | None = None, alerts: tuple[str, ...] = ()) -> None:
        """Say it, and see that it is ruled so."""
        ruling = self.hear(said, at)
        assert ruling is not None
        assert (ruling.reason.value, ruling.alerts) == (reason, alerts), f"at {self.now} s: {said}"
