"""Private-key work as values: the core asks, whoever holds the keys answers."""

from dataclasses import dataclass

from monitor.cms.enveloped import Recipient

MAX_RECIPIENTS = 4
"""Recipients of one request: an envelope that names held keys more often is refused."""


@dataclass(frozen=True, slots=True)
class UnwrapRequest:
    """Ask for the content-encryption key of one envelope.

    ``recipients`` are those of its RecipientInfos that name a held key, in the order of the envelope. All
    of them are unwrapped, since which is the right one only the content tells.
    """

    recipients: tuple[Recipient, ...]
    key_length: int
    """Octets the content-encryption key must have. What does not unwrap, or not to this length, gives
    octets that look like a key (RFC 3218 §2.3.2), so that the answer is no oracle."""
    source: bytes = b""
    """Packed source address of the message, for limits by source."""


@dataclass(frozen=True, slots=True)
class UnwrapAnswer:
    """The content-encryption key, or None where no held key fits or the keyholder is not there."""

    key: bytes | None
    further: tuple[bytes, ...] = ()
    """What the further recipients gave, where several name a held key."""
    refused: bool = False
    """Nobody tried: too many requests wait already."""
