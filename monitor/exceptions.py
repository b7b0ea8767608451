"""The exceptions: what cannot be told for sure, each with a name and a configured outcome."""

from collections.abc import Callable
from enum import StrEnum


class ExceptionName(StrEnum):
    """Why a message, or what looks like one, could not be ruled on as a matter of course."""

    MALFORMED = "malformed"
    """Looks like SIP and cannot be read."""
    AMBIGUOUS = "ambiguous"
    """Has two possible readings."""
    TRUNCATED = "truncated"
    """Fewer octets were captured than the packet had."""
    LIMIT = "limit"
    """A named limit was hit."""
    UNSUPPORTED = "unsupported"
    """A coding or CMS kind that cannot be opened."""
    UNDECRYPTABLE = "undecryptable"
    """An envelope for nobody whose key is held."""
    BAD_SIGNATURE = "bad-signature"
    UNTRUSTED_SIGNER = "untrusted-signer"
    IDENTITY_MISMATCH = "identity-mismatch"
    """The signer's certificate does not name the sender."""
    NOT_FRESH = "not-fresh"
    """A signed time that is too far from the packet's."""
    SERVICE_MISSING = "service-missing"
    """A key without a security service that the message's template requires."""
    REFUSED = "refused"
    """A rule of a further tool, which somebody installed, is broken."""
    STORE_UNAVAILABLE = "store-unavailable"
    OVERLOAD = "overload"


class Outcome(StrEnum):
    """What an exception means for its message."""

    ACCEPT = "accept"
    DENY = "deny"
    ALERT = "alert"
    """Accept and report."""


class DecodeError(Exception):
    """Base of the one error type of each decoding layer.

    :param name: the exception this is, for the policy to rule on.
    :param detail: one line for a person: what was found and where.
    """

    def __init__(self, name: ExceptionName, detail: str) -> None:
        super().__init__(f"{name}: {detail}")
        self.name = name
        self.detail = detail


Report = Callable[[ExceptionName, str], None]
"""How a decoder tells of trouble that does not keep it from reading on: the name and one line of detail."""
