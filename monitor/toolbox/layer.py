"""Layers: what a message is peeled into, each with the kind by which templates send it to tools."""

from enum import StrEnum
from typing import NamedTuple

from monitor.cms.content import CompressedData
from monitor.cms.enveloped import EnvelopedData
from monitor.cms.signed import SignedData
from monitor.sip.mime import Entity

MAX_LAYERS = 64
"""Layers of one message, of all kinds together."""
MAX_NESTING = 16
"""Layers within layers: envelopes, signatures, multiparts, compression, codings, tunnels."""


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
    ARRIVAL = "arrival"
    """The message as a whole, before anything in it is looked at."""
    MESSAGE = "message"
    """The message as a whole, once everything in it is peeled."""


class Service(StrEnum):
    """The security services of the toolbox that a message can be given or lack."""

    CONFIDENTIALITY = "confidentiality"
    INTEGRITY = "integrity"
    PKI = "pki"
    AUTHENTICATION = "authentication"
    COMPRESSION = "compression"


class Place(NamedTuple):
    """Where in its message a layer was found."""

    depth: int = 0
    within: bytes | None = None
    """Content fingerprint of the outermost envelope around it."""
    services: frozenset[Service] = frozenset()
    """What it has been given by the layers around it."""

    def deeper(self) -> "Place":
        """One layer further in."""
        return self._replace(depth=self.depth + 1)


class Signed(NamedTuple):
    """Signed content: opaque, or detached with the entity that it is over."""

    data: SignedData
    covered: Entity | None = None
    """The first part of a multipart/signed, whose raw octets are signed."""


Value = bytes | EnvelopedData | Signed | CompressedData | Entity | None


class Layer(NamedTuple):
    """One layer of a message."""

    kind: Kind
    value: Value
    place: Place = Place()
