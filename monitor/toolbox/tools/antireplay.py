"""Anti-replay: both tiers of fingerprints, and the judgement over them."""

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor import compact_json
from monitor.antireplay.association import RecordError
from monitor.antireplay.observation import Tier
from monitor.antireplay.sad import Evidence, Sighting
from monitor.cms.enveloped import EnvelopedData
from monitor.sip import sdp
from monitor.toolbox.case import Case, Denied
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled


class EnvelopeTier:
    """Fingerprints wrapped keys and encrypted content, before anything is decrypted.

    An envelope that is denied ends the case here. One whose content is known gives what it held when it was
    first opened, so that a replay costs no private-key operation.
    """

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.ENVELOPE})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Judge one envelope."""
        envelope = layer.value
        assert isinstance(envelope, EnvelopedData)
        hashes, directory = self._databases.hashes, self._databases.directory
        sightings = [
            Sighting(hashes.wrapped_key(directory.normalise(recipient)), Tier.ENVELOPE)
            for recipient in envelope.recipients
        ]
        content = None
        if envelope.encrypted_content:
            content = hashes.content(envelope.encrypted_content)
            sightings.append(Sighting(content, Tier.ENVELOPE))
        within = layer.place.within or content
        for sighting in sightings:
            # The outermost envelope's own fingerprints are not among what it held.
            case.sight(sighting, layer.place.within)
        if not sightings:
            return Peeled(within=within)
        ruling, associations = self._databases.associations.glance(case.facts, sightings, case.policy)
        if ruling.reason.denies:
            case.conclude(ruling, Tier.ENVELOPE)
            raise Denied
        known = associations[-1] if content is not None else None
        if known is not None and known.held:
            recall(known.held, case, within)
            return Peeled(within=within, done=True)
        return Peeled(within=within)


class MasterKeyTier:
    """Fingerprints the key material of session descriptions (RFC 4568, RFC 4567)."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SESSION})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._hashes = databases.hashes

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Find the keys of one session description."""
        assert isinstance(layer.value, bytes)
        lines: dict[bytes, int] = {}
        for key in sdp.keys(layer.value, case.report):
            hashed = self._hashes.master_key if key.kind == "sdes" else self._hashes.mikey
            fingerprint = hashed(key.octets)
            endpoints = () if key.endpoint is None else (key.endpoint,)
            case.sight(Sighting(fingerprint, Tier.MASTER_KEY, endpoints), layer.place.within)
            if lines.setdefault(fingerprint, key.line) != key.line:
                case.duplicate_key = True
        return NOTHING


class Judge:
    """Rules on the message by all that was found in it, and keeps what is accepted."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.MESSAGE})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        self._associations = databases.associations

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Give the case its ruling, if there is anything to rule on."""
        if case.sightings:
            held = tuple((content, remember(found, case)) for content, found in case.held.items())
            evidence = Evidence(
                tuple(case.sightings.values()), case.duplicate_key, case.signer, case.certified, held
            )
            found = {sighting.tier for sighting in evidence.sightings}
            ruling = self._associations.rule(case.facts, evidence, case.policy)
            case.conclude(ruling, *(tier for tier in Tier if tier in found))
        return NOTHING


def remember(sightings: list[Sighting], case: Case) -> bytes:
    """What an envelope held, for its association."""
    found = [[each.fingerprint.hex(), each.tier.value, each.endpoints] for each in sightings]
    return compact_json.encode([found, case.duplicate_key, case.signer]).encode("ascii")


def recall(held: bytes, case: Case, within: bytes | None) -> None:
    """Add what a known envelope held to a case.

    :raises RecordError: it is nothing that ``remember`` made.
    """
    try:
        found, duplicate_key, signer = compact_json.decode(held)
        compact_json.expect(bool, (duplicate_key,))
        compact_json.expect(str, (signer,))
        sightings = [_sighting(*items) for items in found]
    except (ValueError, TypeError) as error:
        raise RecordError(f"what an envelope held cannot be read: {error}") from None
    case.duplicate_key |= duplicate_key
    case.signer = case.signer or signer
    if within is not None:
        case.held.setdefault(within, [])
    for sighting in sightings:
        case.sight(sighting, within)


def _sighting(fingerprint: str, tier: str, endpoints: list[list[Any]]) -> Sighting:
    pairs = tuple([(host, port) for host, port in endpoints])
    compact_json.expect(str, (host for host, _ in pairs))
    compact_json.expect(int, (port for _, port in pairs))
    return Sighting(bytes.fromhex(fingerprint), Tier(tier), pairs)


TOOLS: dict[str, type[Any]] = {
    "anti-replay.envelope": EnvelopeTier,
    "anti-replay.master-key": MasterKeyTier,
    "anti-replay.judge": Judge,
}
