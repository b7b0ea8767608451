"""Rulings: a verdict with its one reason."""

from enum import Enum, StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """What becomes of a message and the packets that carry it."""

    ACCEPT = "accept"
    DENY = "deny"


class Reason(Enum):
    """The one reason of a ruling: accepts from the freshest on, then denials, the first to be named first."""

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

    rank: int
    denies: bool
    """Whether the reason is a denial."""

    def __str__(self) -> str:
        return str(self.value)

    @property
    def verdict(self) -> Verdict:
        """The verdict that goes with the reason."""
        return Verdict.DENY if self.denies else Verdict.ACCEPT


for _rank, _reason in enumerate(Reason):
    _reason.rank = _rank
    _reason.denies = _rank >= list(Reason).index(Reason.KEY_REUSED)


class Ruling(NamedTuple):
    """What the judge says of a message."""

    reason: Reason
    alerts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Accept or deny, as the reason says."""
        return self.reason.verdict
