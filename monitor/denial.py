"""A denial as the enforcement needs it: what was denied, how, and where in its stream it stands."""

from dataclasses import dataclass

from monitor.antireplay.policy import Remedy
from monitor.sip.message import Message
from monitor.wire.flow import Flow


@dataclass(frozen=True, slots=True, eq=False)
class Denial:
    """One denied message, or a stretch of a stream that was denied without one."""

    flow: Flow
    remedy: Remedy
    """Never ``DROP``, which needs nothing to be known."""
    octets: bytes = b""
    """Of the message; empty where there is none to be made harmless, or it is too long to be kept."""
    message: Message | None = None
    """Of a datagram; None where it could not be read."""
    reason: str = ""
    """Of the ruling; empty where an exception denied."""
    start: int = 0
    """Offset in the stream of the first octet."""
    passed: tuple[int, int] = (0, 0)
    """Offsets between which octets of it may have gone on before it was known to be denied."""
    reach: int = 0
    """Offset from which nothing may go on where it cannot be made harmless."""
