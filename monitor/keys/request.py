"""Private-key work as values: the core asks, whoever holds the keys answers."""

from dataclasses import dataclass

from monitor.cms.enveloped import Recipient


@dataclass(frozen=True, slots=True)
class UnwrapRequest:
    """Ask for the content-encryption key of one envelope.

    ``recipients`` are those of its RecipientInfos that name a held key, in the order of the envelope;
    the first that can be unwrapped answers.
    """

    recipients: tuple[Recipient, ...]
    key_length: int
    """Octets the content-encryption key must have. For RSA PKCS#1 v1.5 a wrong padding or length gives
    random octets of this length (RFC 3218 §2.3.2), so that the answer is no oracle."""
    source: bytes = b""
    """Packed source address of the message, for limits by source."""


@dataclass(frozen=True, slots=True)
class UnwrapAnswer:
    """The content-encryption key, or None where no held key fits or the keyholder is not there."""

    key: bytes | None
