"""A case: one message on its way through the toolbox, and what was found in it so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from monitor.antireplay.observation import Tier
from monitor.antireplay.policy import Policy
from monitor.antireplay.ruling import Ruling
from monitor.antireplay.sad import Facts, Sighting
from monitor.exceptions import ExceptionName, Outcome
from monitor.exhibit import Keep
from monitor.sip.message import Message
from monitor.toolbox.layer import Service

MAX_SIGHTINGS = 256
"""Fingerprints of one message."""
MAX_RAISED = 16
"""Exceptions that are told of one message, each once; further ones that do not deny are not."""


class Denied(Exception):  # noqa: N818  (no error: it ends a case)
    """Ends a case: an exception whose outcome is to deny. Caught by the engine, and by nobody else."""


class Raised(NamedTuple):
    """One exception of a case with its outcome."""

    name: ExceptionName
    outcome: Outcome
    detail: str


@dataclass(slots=True, eq=False)
class Case:
    """What tools read and add to."""

    message: Message
    facts: Facts
    policy: Policy
    sightings: dict[bytes, Sighting] = field(default_factory=dict)
    """By fingerprint, in the order found."""
    held: dict[bytes, list[Sighting]] = field(default_factory=dict)
    """By content fingerprint of an envelope that was opened: what it held."""
    duplicate_key: bool = False
    signer: str = ""
    """Hash of the certificate of the first signer whose signature is good."""
    signed_by: bytes = b""
    """DER of that certificate; empty where the envelope that it was in was not opened again."""
    certified: str = ""
    """Hash of the certificate of a signer that was found to be the sender."""
    signed_times: list[int] = field(default_factory=list)
    """What those who signed the layer at hand well say of when (nanoseconds since the epoch)."""
    keep: Keep | None = None
    """Whether the message is to be kept as evidence; None: it is not."""
    signers: list[bytes] = field(default_factory=list)
    """DER of the certificates of those who signed the layer at hand well."""
    signatures: int = 0
    """How many there were so far."""
    certificates: Sequence[bytes] = ()
    """DER of the certificates that came with that layer."""
    provided: set[Service] = field(default_factory=set)
    """Services that the layer at hand was found to give to what is in it."""
    alerts: list[str] = field(default_factory=list)
    """Findings of tools that do not deny."""
    raised: list[Raised] = field(default_factory=list)
    ruling: Ruling | None = None
    tiers: tuple[Tier, ...] = ()
    """The tiers that spoke in the ruling."""
    denied: bool = False
    """An exception's outcome has denied the message."""
    meanings: Mapping[ExceptionName, Outcome] | None = None
    """What the template's step that is at work says of failures, before the policy is asked."""

    def report(self, name: ExceptionName, detail: str) -> None:
        """Raise an exception of the case; returns where its outcome lets the message go on.

        :raises Denied: its outcome is to deny.
        """
        outcome = (self.meanings or {}).get(name) or self.policy.outcomes[name]
        raised = Raised(name, outcome, detail)
        if outcome is Outcome.DENY or (len(self.raised) < MAX_RAISED and raised not in self.raised):
            self.raised.append(raised)
        if outcome is Outcome.DENY:
            self.denied = True
            raise Denied

    def sight(self, sighting: Sighting, within: bytes | None) -> None:
        """Add one fingerprint; one that was seen before gains the endpoints.

        :param within: content fingerprint of the envelope it came out of.
        :raises Denied: there are too many, and the policy says so.
        """
        known = self.sightings.get(sighting.fingerprint)
        if known is not None:
            endpoints = dict.fromkeys((*known.endpoints, *sighting.endpoints))
            sighting = Sighting(sighting.fingerprint, sighting.tier, tuple(endpoints))
        elif len(self.sightings) >= MAX_SIGHTINGS:
            self.report(ExceptionName.LIMIT, f"more than {MAX_SIGHTINGS} fingerprints in one message")
            return
        self.sightings[sighting.fingerprint] = sighting
        if within is not None:
            self.held.setdefault(within, []).append(sighting)

    def conclude(self, ruling: Ruling, *tiers: Tier) -> None:
        """Give the case its ruling, said by these tiers."""
        self.ruling = Ruling(ruling.reason, (*ruling.alerts, *self.alerts))
        self.tiers = tiers

    @property
    def fingerprints(self) -> tuple[bytes, ...]:
        """Of the last tier that spoke: what the ruling is about."""
        return tuple(key for key, each in self.sightings.items() if each.tier in self.tiers[-1:])
