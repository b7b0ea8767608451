"""Rulings: a verdict with its one reason."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What becomes of a message and the packets that carry it."""

    ACCEPT = "accept"
    DENY = "deny"


class Reason(StrEnum):
    """The one reason of a ruling; accepts first, then denials in the order in which they take precedence."""

    FIRST_USE = "first-use"
    RETRANSMISSION = "retransmission"
    FORKED = "forked"
    REFRESH = "refresh"
    RELAYED = "relayed"
    MOVED = "moved"
    KEY_REUSED = "key-reused"
    ENVELOPE_REUSED = "envelope-reused"
    REFLECTED = "reflected"
    SOURCE_CHANGED = "source-changed"
    DIALOG_ENDED = "dialog-ended"
    STALE = "stale"
    DUPLICATE_KEY = "duplicate-key"
    """Denies under ``strict`` only; an alert otherwise."""
    REKEY_MISSING = "rekey-missing"
    """Denies under ``strict`` only; an alert otherwise."""
    ORIGINATOR_MOVED = "originator-moved"
    """Denies where the policy says so; an alert by default."""

    @property
    def verdict(self) -> Verdict:
        """The verdict that goes with the reason."""
        return Verdict.DENY if _ORDER[self] >= _ORDER[Reason.KEY_REUSED] else Verdict.ACCEPT

    @property
    def rank(self) -> int:
        """Place in the order of declaration."""
        return _ORDER[self]


_ORDER = {reason: index for index, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the judge says of a message."""

    reason: Reason
    alerts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Accept or deny, as the reason says."""
        return self.reason.verdict
