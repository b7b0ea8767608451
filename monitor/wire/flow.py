"""What the network layer hands up: flows, datagrams and segments.

They are named tuples, since each packet makes some: a frozen dataclass takes three times as long.
"""

from typing import Literal, NamedTuple

from monitor.exceptions import DecodeError, ExceptionName

Transport = Literal["udp", "tcp"]


class WireError(DecodeError):
    """A frame that cannot be read, or not for sure, up to its transport layer.

    :param source: the packed source address of the packet, empty where it was not reached.
    """

    def __init__(self, name: ExceptionName, detail: str, source: bytes = b"") -> None:
        super().__init__(name, detail)
        self.source = source


class Discard(Exception):  # noqa: N818 - it is no error, only nothing to read
    """A frame, or a packet in it, that holds no UDP or TCP, or that no receiver would take.

    :param reason: the name of the counter that it goes under.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Flow(NamedTuple):
    """The five-tuple of one direction; addresses are packed (see ``wire.address``)."""

    source: bytes
    source_port: int
    destination: bytes
    destination_port: int
    transport: Transport

    def reversed(self) -> "Flow":
        """The other direction."""
        return Flow(self.destination, self.destination_port, self.source, self.source_port, self.transport)


class Datagram(NamedTuple):
    """One whole UDP datagram."""

    flow: Flow
    payload: bytes
    trouble: WireError | None = None
    """Why the payload may not be what the receiver reads: truncated, or fragments that disagree."""
    alternative: bytes | None = None
    """The other reading, where fragments disagree."""


class Segment(NamedTuple):
    """One TCP segment, header decoded (RFC 9293 §3.1)."""

    flow: Flow
    sequence: int
    acknowledgment: int
    flags: int
    payload: bytes
    trouble: WireError | None = None
    """As in ``Datagram``."""
    missing: int = 0
    """Octets that followed the payload on the wire and were not captured."""
