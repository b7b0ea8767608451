"""Layers: what a message is peeled into, each with the kind by which templates send it to tools."""

from dataclasses import dataclass
from enum import StrEnum

from monitor.cms.content import CompressedData
from monitor.cms.enveloped import EnvelopedData
from monitor.cms.signed import SignedData
from monitor.sip.mime import Entity

MAX_LAYERS = 64
"""Layers of one message, of all kinds together."""
MAX_NESTING = 8
"""Layers within layers: envelopes, signatures, compression, codings, tunnels."""


class Kind(StrEnum):
    """The kinds of layers."""

    SESSION = "session-description"
    """An SDP body (RFC 8866)."""
    ENVELOPE = "envelope"
    """EnvelopedData or AuthEnvelopedData (RFC 5652 §6, RFC 5083)."""
    SIGNED = "signed"
    """SignedData, opaque or detached (RFC 5652 §5, RFC 1847)."""
    COMPRESSED = "compressed"
    """CompressedData (RFC 3274)."""
    CODED = "coded"
    """An entity with a Content-Encoding (RFC 3261 §20.12)."""
    MESSAGE = "message"
    """The message as a whole, once everything in it is peeled."""


@dataclass(frozen=True, slots=True)
class Detached:
    """A signature with the entity that it is over (multipart/signed)."""

    signature: SignedData
    covered: bytes
    """The entity's octets exactly as they stood."""


Value = bytes | EnvelopedData | SignedData | Detached | CompressedData | Entity | None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a message."""

    kind: Kind
    value: Value
    depth: int = 0
    within: bytes | None = None
    """Content fingerprint of the outermost envelope that it came out of."""
