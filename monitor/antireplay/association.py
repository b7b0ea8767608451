"""Associations: what is known of a fingerprint, the security association of RFC 4301 §4.4.2."""

from typing import Any, NamedTuple, Self

from monitor import compact_json
from monitor.antireplay.observation import Endpoint, Observation, Tier
from monitor.antireplay.table import StoreError
from monitor.antireplay.window import Seen, Window

VERSION = 3
"""Of the record's form; the first item of each record. Earlier ones are read too: 1, whose legs have no
Call-ID, and 2, whose legs have one destination."""
MAX_LEGS = 8
"""Hops and B2BUA legs that one fingerprint may be seen on."""
MAX_ENDPOINTS = 16
"""Media endpoints remembered of one key."""
MAX_DESTINATIONS = 8
"""Addresses remembered that a leg's messages went to."""
CALL_ID_SHOWN = 128
"""Characters of the Call-ID kept for people."""


class RecordError(StoreError):
    """A stored record that cannot be read: the store is damaged or of a newer version."""


class Leg(NamedTuple):
    """One dialog, seen at one hop, in which one party uses the fingerprint."""

    call: bytes
    sender: str
    peer: str | None
    """The other party; None where the key was offered outside a dialog, to each fork that answers."""
    source: bytes
    destinations: tuple[bytes, ...]
    """Where its messages went, hop by hop and fork by fork."""
    first: int
    """Nanoseconds since the epoch; of a further hop's leg, that of the leg before it."""
    own: Window
    """Over the sender's requests."""
    answers: Window
    """Over the peer's requests, which the sender answers."""
    endpoints: tuple[Endpoint, ...]
    call_id: str = ""
    """Shown to people, never compared."""

    @classmethod
    def of(cls, seen: Observation, first: int | None = None) -> Self:
        """The leg that a sighting opens."""
        window = Window().with_message(seen.transaction, seen.time)
        own, answers = (window, Window()) if seen.transaction.status is None else (Window(), window)
        return cls(
            seen.call,
            seen.sender,
            seen.peer,
            seen.source,
            (seen.destination,),
            seen.time if first is None else first,
            own,
            answers,
            seen.endpoints[:MAX_ENDPOINTS],
            seen.call_id[:CALL_ID_SHOWN],
        )

    @property
    def last(self) -> int:
        """When its latest transaction, or response code, was first seen (nanoseconds since the epoch)."""
        return max(self.first, self.own.last, self.answers.last)

    def window(self, seen: Observation) -> Window:
        """The window of the message's requester."""
        return self.own if seen.transaction.status is None else self.answers

    def with_window(self, seen: Observation, window: Window) -> Self:
        """The leg with the window of the message's requester put in place."""
        if seen.transaction.status is None:
            return self._replace(own=window)
        return self._replace(answers=window)

    def with_message(self, seen: Observation) -> Self:
        """The leg after one more accepted message."""
        window = self.window(seen).with_message(seen.transaction, seen.time)
        return (
            self.with_window(seen, window)
            .with_destination(seen.destination)
            ._replace(
                endpoints=seen.endpoints[:MAX_ENDPOINTS] or self.endpoints,
            )
        )

    def with_destination(self, destination: bytes) -> Self:
        """The leg after a message went on to ``destination``."""
        if destination in self.destinations or len(self.destinations) >= MAX_DESTINATIONS:
            return self
        return self._replace(destinations=(*self.destinations, destination))

    def same_dialog(self, seen: Observation) -> bool:
        """Whether the message names this leg's dialog, from whichever side."""
        if self.call != seen.call:
            return False
        if seen.sender == self.sender:
            return self._fits(seen.peer, seen)
        if seen.peer != self.sender:
            return False
        # A response makes the dialog that its To tag names (RFC 3261 §12.1).
        makes = self.peer is None and seen.transaction.status is not None
        return makes or self._fits(seen.sender, seen)

    def _fits(self, peer: str | None, seen: Observation) -> bool:
        if peer is None or self.peer is not None:
            return peer is None or self.peer == peer
        return not seen.dialog.others or peer in seen.dialog.others


class Association(NamedTuple):
    """What is known of a fingerprint."""

    tier: Tier
    legs: tuple[Leg, ...]
    """The first is where the fingerprint was first seen."""
    paired: bool = False
    """A B2BUA has carried it to its other leg."""
    held: bytes = b""
    """What the envelope of this content fingerprint held, as ``toolbox`` encodes it."""

    @classmethod
    def of(cls, seen: Observation) -> Self:
        """The association that a first sighting makes."""
        return cls(seen.tier, (Leg.of(seen),))

    @property
    def first(self) -> Leg:
        """The leg where the fingerprint was first seen."""
        return self.legs[0]

    def with_leg(self, leg: Leg, instead_of: Leg | None = None) -> Self:
        """The association with one leg replaced, or added."""
        if instead_of is None:
            return self._replace(legs=(*self.legs, leg))
        return self._replace(legs=tuple(leg if each is instead_of else each for each in self.legs))

    def encode(self) -> bytes:
        """The record for the store."""
        legs = [
            [
                leg.call.hex(),
                leg.sender,
                leg.peer,
                leg.source.hex(),
                ",".join(destination.hex() for destination in leg.destinations),
                leg.first,
                _plain(leg.own),
                _plain(leg.answers),
                leg.endpoints,
                leg.call_id,
            ]
            for leg in self.legs
        ]
        items = [VERSION, self.tier.value, legs, int(self.paired), self.held.decode("ascii")]
        return compact_json.encode(items).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Read a record.

        :raises RecordError: it is not one of this version.
        """
        try:
            version, tier, legs, paired, held = compact_json.decode(record)
            if version not in range(1, VERSION + 1):
                raise RecordError(f"association record of version {version}, this program reads {VERSION}")
            return cls(Tier(tier), tuple(map(_leg, legs)), bool(paired), held.encode("ascii"))
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise RecordError(f"association record cannot be read: {error}") from None


def _plain(window: Window) -> list[Any]:
    if window.highest < 0:
        return []
    latest = [
        [seen.method, seen.cseq, seen.first, seen.branches, seen.answers, seen.relayed, seen.onward]
        for seen in window.latest
    ]
    return [window.lowest, window.highest, window.bitmap, latest]


def _window(items: list[Any]) -> Window:
    if not items:
        return Window()
    lowest, highest, bitmap, latest = items
    compact_json.expect(int, (lowest, highest, bitmap))
    return Window(lowest, highest, bitmap, tuple(map(_seen, latest)))


def _seen(items: list[Any]) -> Seen:
    method, cseq, first, branches, answers, relayed, onward = items
    compact_json.expect(str, (method,))
    compact_json.expect(int, (cseq, first, *branches, *relayed, *onward))
    pairs = tuple([(code, time) for code, time in answers])
    compact_json.expect(int, (number for pair in pairs for number in pair))
    return Seen(method, cseq, first, tuple(branches), pairs, tuple(relayed), tuple(onward))


def _leg(items: list[Any]) -> Leg:
    call, sender, peer, source, destinations, first, own, answers, endpoints, *call_id = items
    compact_json.expect(
        str, (sender, *([] if peer is None else [peer]), *call_id, *(host for host, _ in endpoints))
    )
    compact_json.expect(int, (first, *(port for _, port in endpoints)))
    return Leg(
        bytes.fromhex(call),
        sender,
        peer,
        bytes.fromhex(source),
        tuple(map(bytes.fromhex, destinations.split(","))),
        first,
        _window(own),
        _window(answers),
        tuple((host, port) for host, port in endpoints),
        *call_id,
    )
