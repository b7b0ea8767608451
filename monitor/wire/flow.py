"""What the network layer hands up: flows, datagrams and segments."""

from dataclasses import dataclass
from typing import Literal

from monitor.exceptions import DecodeError

Transport = Literal["udp", "tcp"]


class WireError(DecodeError):
    """A frame that cannot be read, or not for sure, up to its transport layer."""


@dataclass(frozen=True, slots=True)
class Flow:
    """The five-tuple of one direction; addresses are packed (see ``wire.address``)."""

    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    transport: Transport


@dataclass(frozen=True, slots=True)
class Datagram:
    """One whole UDP datagram."""

    flow: Flow
    payload: bytes
    trouble: WireError | None = None
    """Why the payload may not be what the receiver reads: truncated, or fragments that disagree."""
    alternative: bytes | None = None
    """The other reading, where fragments disagree."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment, header decoded (RFC 9293 §3.1)."""

    flow: Flow
    sequence: int
    acknowledgment: int
    flags: int
    payload: bytes
    trouble: WireError | None = None
    """As in ``Datagram``."""
