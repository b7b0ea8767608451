"""What rulings tell of the media: which keys came where they must not, and whose call an endpoint is in."""

from collections.abc import Iterable

from monitor.antireplay.observation import Endpoint, Tier
from monitor.antireplay.ruling import Reason
from monitor.record import RulingRecord
from monitor.wire import address
from monitor.wire.flow import Flow

MAX_KEYS = 200_000
"""Master keys of which it is remembered that they were seen; a further one is never found to come again."""
MAX_SUSPECTS = 4096
"""Master keys whose media is looked for."""
MAX_ENVELOPES = 200_000
"""Fingerprints of envelopes whose keys are remembered; of further ones only their own keys are known."""
MAX_ENDPOINTS = 65_536
"""Media endpoints whose calls are remembered."""
MAX_CALLS = 64
"""Calls remembered of one endpoint; the oldest are forgotten."""
CALL_ID_KEPT = 256
"""Characters of a Call-ID that are kept."""

_SUSPICIOUS = frozenset((str(Reason.DUPLICATE_KEY), str(Reason.REKEY_MISSING)))
"""Alerts that tell of one key for two streams."""


class Signalling:
    """Hears the rulings of a run."""

    def __init__(self) -> None:
        self.suspects: dict[bytes, None] = {}
        """Fingerprints of the master keys under which media may repeat its keystream, in the order found."""
        self.left_out = 0
        """Keys that came when ``MAX_KEYS`` or ``MAX_SUSPECTS`` were there; and for envelopes that were denied
        when nobody remembered, for ``MAX_ENVELOPES``, what they held, one key each."""
        self._seen: set[bytes] = set()
        self._held: dict[bytes, tuple[bytes, ...]] = {}
        self._calls: dict[Endpoint, tuple[tuple[int, str], ...]] = {}

    def hear(self, record: RulingRecord) -> None:
        """Take in one ruling."""
        masters: list[bytes] = []
        envelopes: list[bytes] = []
        for sighting in record.sightings:
            (masters if sighting.tier is Tier.MASTER_KEY else envelopes).append(sighting.fingerprint)
            self._locate(sighting.endpoints, record)
        if record.denies:
            # An envelope that is denied is not opened: it holds what it held when it first came.
            held = (key for envelope in envelopes for key in self._held.get(envelope, ()))
            # Not whatever else came with it: an attacker can add as many fresh keys as he likes.
            self._suspect(key for key in (*masters, *held) if key in self._seen)
            if len(self._held) >= MAX_ENVELOPES:
                self.left_out += sum(envelope not in self._held for envelope in envelopes)
        elif masters and len(self._held) < MAX_ENVELOPES:
            for envelope in envelopes:
                self._held.setdefault(envelope, tuple(masters))
        if _SUSPICIOUS.intersection(record.alerts):
            self._suspect(masters)
        for key in masters:
            if len(self._seen) < MAX_KEYS:
                self._seen.add(key)
            elif key not in self._seen:
                self.left_out += 1

    def _suspect(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            if len(self.suspects) < MAX_SUSPECTS:
                self.suspects[key] = None
            elif key not in self.suspects:
                self.left_out += 1

    def _locate(self, endpoints: Iterable[Endpoint], record: RulingRecord) -> None:
        for endpoint in endpoints:
            calls = self._calls.get(endpoint, ())
            if not calls and len(self._calls) >= MAX_ENDPOINTS:
                continue
            call_id = record.call_id[:CALL_ID_KEPT]
            if not calls or calls[-1][1] != call_id:
                self._calls[endpoint] = (*calls[-MAX_CALLS + 1 :], (record.time, call_id))

    def call_of(self, flow: Flow, time: int) -> str:
        """The Call-ID of the call that media of a flow belongs to, empty where no description names its ends.

        Of several calls it is the one that an end was last named in before ``time``.
        """
        ends = ((flow.destination, flow.destination_port), (flow.source, flow.source_port))
        named = [
            call
            for host, port in ends
            for call in self._calls.get((address.text(host), port), ())
            if call[0] <= time
        ]
        return max(named, key=lambda call: call[0], default=(0, ""))[1]
