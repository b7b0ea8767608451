"""The security association database (RFC 4301 §4.4.2): a message's fingerprints judged together and kept."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from monitor.antireplay.association import Association
from monitor.antireplay.dialog import Dialog, Event
from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.judge import judge, worst
from monitor.antireplay.observation import (
    NO_DIALOG,
    DialogView,
    Endpoint,
    Observation,
    Tier,
    Transaction,
    branch_hash,
    party,
)
from monitor.antireplay.originator import Originator, hear
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Reason, Ruling
from monitor.antireplay.signer import SIGNER_CHANGED, Signer, sign
from monitor.antireplay.source import effective_source
from monitor.antireplay.table import Change, Store, StoreError
from monitor.sip.message import Message

MAX_TRIES = 8
"""Times a message is judged anew because another monitor on a shared store was faster."""


class Facts(NamedTuple):
    """What a message says of its call, hop and time."""

    call_id: str
    call: bytes
    requester: str
    responder: str | None
    dialogs: tuple[bytes, ...]
    """Keys under which a record of its dialog may stand: opened by the requester, by the responder."""
    transaction: Transaction
    source: bytes
    hop: bytes
    destination: bytes
    target: bytes
    """Whom it is for: of a response the requester, also where a trusted relay stands before him (packed)."""
    time: int
    address_of_record: str
    """Of the party whose body bears the keys; empty where it is anonymous (RFC 3323 §4.1)."""

    @classmethod
    def of(
        cls,
        message: Message,
        hop: bytes,
        destination: bytes,
        time: int,
        policy: Policy,
        hashes: Fingerprinter,
    ) -> "Facts":
        """The facts of a message that came from address ``hop`` at ``time``."""
        vias, status = message.vias, message.status
        transaction = Transaction(
            message.method,
            message.cseq,
            status,
            branch_hash(vias[0].branch) if vias else 0,
            branch_hash(vias[1].branch) if len(vias) > 1 else None,
        )
        requester = party(message.from_tag, message.from_uri)
        in_dialog = message.to_tag is not None or status is not None
        responder = party(message.to_tag, message.to_uri) if in_dialog else None
        parties = (requester,) if responder is None else (requester, responder)
        return cls(
            message.call_id,
            hashes.call(message.call_id),
            requester,
            responder,
            tuple(hashes.dialog(message.call_id, each) for each in parties),
            transaction,
            effective_source(hop, vias, policy.relays) if status is None else hop,
            hop,
            destination,
            destination if status is None else effective_source(destination, vias, policy.relays),
            time,
            address_of_record(message.from_uri if status is None else message.to_uri),
        )

    @property
    def sender(self) -> str:
        """The party whose body bears the keys."""
        return self.requester if self.transaction.status is None else self.responder or ""

    @property
    def peer(self) -> str | None:
        """The other party."""
        return self.responder if self.transaction.status is None else self.requester

    def event(self, known: bool) -> Event:
        """The message as a dialog sees it."""
        transaction = self.transaction
        return Event(
            transaction.method,
            transaction.cseq,
            transaction.status,
            transaction.branch,
            transaction.next_branch,
            self.requester,
            self.responder,
            self.source,
            self.destination,
            self.target,
            self.time,
            known,
        )


def address_of_record(uri: str) -> str:
    """A SIP URI as ``user@host``, host in lower case, without port and parameters; empty if anonymous."""
    rest = uri.partition(":")[2]
    user, at, host = rest.partition("@")
    if not at:
        user, host = "", rest
    host = host.partition(";")[0].partition("?")[0].lower()
    host = f"{host.partition(']')[0]}]" if host.startswith("[") else host.partition(":")[0]
    if host == "anonymous.invalid":
        return ""
    return f"{user.partition(';')[0].partition(':')[0]}@{host}" if user else host


class Sighting(NamedTuple):
    """One fingerprint in a message."""

    fingerprint: bytes
    tier: Tier
    endpoints: tuple[Endpoint, ...] = ()


class Evidence(NamedTuple):
    """All that a message is judged by."""

    sightings: tuple[Sighting, ...]
    duplicate_key: bool = False
    """One key stood in two places of one session description (RFC 4568 §6.1)."""
    signer: str = ""
    """Hash of the certificate of a signer whose signature is good, empty where there is none."""
    certified: str = ""
    """Hash of the certificate of a signer that was found to be the sender, empty where there is none."""
    held: tuple[tuple[bytes, bytes], ...] = ()
    """By content fingerprint: what the envelope held, encoded."""


class Decision(NamedTuple):
    """A ruling, and what is to be kept of it."""

    ruling: Ruling
    changes: tuple[Change, ...] = ()


@dataclass(slots=True)
class AssociationDatabase:
    """The associations, dialogs, originators and signers in a store.

    :param retention: nanoseconds after its last accepted message that a record must be kept.
    """

    store: Store
    hashes: Fingerprinter
    retention: int

    def glance(
        self, facts: Facts, sightings: Sequence[Sighting], policy: Policy
    ) -> tuple[Ruling, list[Association | None]]:
        """Rule on some fingerprints alone, and keep nothing: what they are associated with comes along.

        :raises StoreError: the store cannot answer.
        """
        count = len(sightings)
        records = self.store.read([*(sighting.fingerprint for sighting in sightings), *facts.dialogs])
        _, _, dialog = _pick_dialog(facts, records[count:])
        view = dialog.view(facts.requester, facts.responder) if dialog else NO_DIALOG
        associations = [None if record is None else Association.decode(record) for record in records[:count]]
        rulings = [
            judge(association, _observation(facts, sighting, view), policy)[0]
            for association, sighting in zip(associations, sightings, strict=True)
        ]
        return worst(rulings), associations

    def consider(self, facts: Facts, evidence: Evidence, policy: Policy) -> Decision:
        """Rule on a message and keep nothing.

        :raises StoreError: the store cannot answer.
        """
        sightings = evidence.sightings
        identity = self._identity(facts, evidence, policy)
        count = len(sightings)
        keys = [sighting.fingerprint for sighting in sightings]
        keys += facts.dialogs
        further = len(keys)
        if identity is not None:
            keys.append(identity)
        if evidence.certified:
            keys.append(self.hashes.originator(f"signer:{facts.address_of_record}"))
        records = self.store.read(keys)
        dialog_key, dialog_record, dialog = _pick_dialog(facts, records[count : count + len(facts.dialogs)])
        view = dialog.view(facts.requester, facts.responder) if dialog else NO_DIALOG
        rulings, changes, known = [], [], False
        expires = facts.time + self.retention
        held = dict(evidence.held)
        for sighting, record in zip(sightings, records, strict=False):
            before = None if record is None else Association.decode(record)
            seen = _observation(facts, sighting, view)
            ruling, after = judge(before, seen, policy)
            rulings.append(ruling)
            known = known or _of_a_party(before, seen, dialog, policy)
            if after is not None and not ruling.reason.denies:
                if sighting.fingerprint in held:
                    after = after._replace(held=held[sighting.fingerprint])
                changes.append(Change(sighting.fingerprint, record, after.encode(), expires))
        ruling = worst(rulings)
        if not ruling.reason.denies:
            ruling = _with_duplicate(ruling, evidence, policy)
        if ruling.reason.denies:
            return Decision(ruling)
        if identity is not None:
            record = records[further]
            ruling, more = _with_originator(ruling, facts, identity, record, policy, expires)
            if ruling.reason.denies:
                return Decision(ruling)
            changes += more
        if evidence.certified:
            ruling, more = _with_signer(ruling, evidence.certified, keys[-1], records[-1], expires)
            changes += more
        event = facts.event(known)
        dialog = dialog or Dialog.opened_by(event, facts.call_id)
        followed = dialog.after(event, policy)
        changes.append(Change(dialog_key, dialog_record, followed.encode(), expires))
        return Decision(ruling, tuple(changes))

    def rule(self, facts: Facts, evidence: Evidence, policy: Policy) -> Ruling:
        """Rule on a message and, where it is accepted, put what is known now in place for the next commit.

        :raises StoreError: the store cannot answer, or others were faster ``MAX_TRIES`` times.
        """
        for _ in range(MAX_TRIES):
            decision = self.consider(facts, evidence, policy)
            if not decision.changes or self.store.compare_and_swap(decision.changes):
                return decision.ruling
        raise StoreError("the store is contended: other monitors change the same records")

    def follow(self, facts: Facts, policy: Policy) -> None:
        """Let a message without key material change the dialog it belongs to, if that is known.

        :raises StoreError: the store cannot answer, or others were faster ``MAX_TRIES`` times.
        """
        for _ in range(MAX_TRIES):
            key, record, dialog = _pick_dialog(facts, self.store.read(facts.dialogs))
            if dialog is None:
                return
            after = dialog.after(facts.event(False), policy)
            if after == dialog:
                return
            change = Change(key, record, after.encode(), facts.time + self.retention)
            if self.store.compare_and_swap([change]):
                return
        raise StoreError("the store is contended: other monitors change the same records")

    def _identity(self, facts: Facts, evidence: Evidence, policy: Policy) -> bytes | None:
        """The key of the originator's record, None where no originator is to be bound."""
        between = facts.source in policy.relays or facts.source in policy.b2bua
        if policy.originator == "ignore" or between:
            return None
        if evidence.signer:
            return self.hashes.originator(f"certificate:{evidence.signer}")
        if facts.address_of_record:
            return self.hashes.originator(f"address:{facts.address_of_record}")
        return None


def _pick_dialog(facts: Facts, records: Iterable[bytes | None]) -> tuple[bytes, bytes | None, Dialog | None]:
    """The key, record and dialog that fit the message's parties best; the requester's own if none does."""
    best: tuple[bytes, bytes | None, Dialog | None] = (facts.dialogs[0], None, None)
    fit = 0
    for key, record in zip(facts.dialogs, records, strict=True):
        if record is not None:
            dialog = Dialog.decode(record)
            fits = dialog.involves(facts.requester, facts.responder)
            if fits > fit:
                best, fit = (key, record, dialog), fits
    return best


def _observation(facts: Facts, sighting: Sighting, view: DialogView) -> Observation:
    return Observation(
        sighting.tier,
        facts.time,
        facts.call,
        facts.sender,
        facts.peer,
        facts.transaction,
        facts.source,
        facts.hop,
        facts.destination,
        sighting.endpoints,
        view,
        facts.call_id,
    )


def _of_a_party(before: Association | None, seen: Observation, dialog: Dialog | None, policy: Policy) -> bool:
    """Whether a fingerprint is known from a party of the dialog. A stranger's own becomes known too, once he
    has sent it in the name of one.
    """
    return (
        before is not None
        and dialog is not None
        and any(leg.same_dialog(seen) and dialog.binds(leg.source, policy) for leg in before.legs)
    )


def _with_duplicate(ruling: Ruling, evidence: Evidence, policy: Policy) -> Ruling:
    if not evidence.duplicate_key:
        return ruling
    if policy.strict:
        return Ruling(Reason.DUPLICATE_KEY, ruling.alerts)
    return Ruling(ruling.reason, (*ruling.alerts, Reason.DUPLICATE_KEY.value))


def _with_originator(
    ruling: Ruling, facts: Facts, key: bytes, record: bytes | None, policy: Policy, expires: int
) -> tuple[Ruling, Sequence[Change]]:
    before = None if record is None else Originator.decode(record)
    follows = ruling.reason is Reason.MOVED
    moved, after = hear(before, facts.source, facts.time, policy, follows)
    changes = () if after is before else (Change(key, record, after.encode(), expires),)
    if not moved:
        return ruling, changes
    if policy.originator == "deny":
        return Ruling(Reason.ORIGINATOR_MOVED, ruling.alerts), changes
    return Ruling(ruling.reason, (*ruling.alerts, Reason.ORIGINATOR_MOVED.value)), changes


def _with_signer(
    ruling: Ruling, certificate: str, key: bytes, record: bytes | None, expires: int
) -> tuple[Ruling, Sequence[Change]]:
    before = None if record is None else Signer.decode(record)
    changed, after = sign(before, certificate)
    changes = () if after == before else (Change(key, record, after.encode(), expires),)
    return (Ruling(ruling.reason, (*ruling.alerts, SIGNER_CHANGED)) if changed else ruling), changes
