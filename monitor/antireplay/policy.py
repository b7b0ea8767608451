"""The policy that a message is judged under: the SPD entry of RFC 4301 §4.4.1, one for each kind of peer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from monitor.exceptions import ExceptionName, Outcome
from monitor.wire.address import same_network
from monitor.wire.frame import NANOSECONDS

DEFAULT_OUTCOMES: Mapping[ExceptionName, Outcome] = MappingProxyType(
    {
        ExceptionName.MALFORMED: Outcome.ALERT,
        ExceptionName.AMBIGUOUS: Outcome.DENY,
        ExceptionName.TRUNCATED: Outcome.DENY,
        ExceptionName.LIMIT: Outcome.DENY,
        ExceptionName.UNSUPPORTED: Outcome.ALERT,
        ExceptionName.UNDECRYPTABLE: Outcome.ACCEPT,
        ExceptionName.BAD_SIGNATURE: Outcome.DENY,
        ExceptionName.UNTRUSTED_SIGNER: Outcome.ALERT,
        ExceptionName.IDENTITY_MISMATCH: Outcome.ALERT,
        ExceptionName.NOT_FRESH: Outcome.ALERT,
        ExceptionName.SERVICE_MISSING: Outcome.DENY,
        ExceptionName.REFUSED: Outcome.DENY,
        ExceptionName.STORE_UNAVAILABLE: Outcome.DENY,
        ExceptionName.OVERLOAD: Outcome.DENY,
    }
)


class Remedy(StrEnum):
    """What denying does."""

    DROP = "drop"
    """The packets go no further."""
    RESPOND = "respond"
    """They are dropped, and the sender of a request is told so by a final response. Datagrams only."""
    NEUTRALISE = "neutralise"
    """They go on with the message made harmless in place."""
    RESET = "reset"
    """The recipient's end of the connection is closed. Streams only."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is asked of the messages that this policy takes."""

    name: str = "default"
    relays: frozenset[bytes] = frozenset()
    """Packed addresses of trusted relays, whose Via entries are believed."""
    b2bua: frozenset[bytes] = frozenset()
    """Packed addresses of B2BUAs that copy keys from one leg to the other."""
    moves: bool = False
    """Whether a party may go on from a new source (handover, NAT rebinding)."""
    prefix_ipv4: int = 32
    """Leading bits of an IPv4 source that are bound."""
    prefix_ipv6: int = 128
    originator: Literal["ignore", "alert", "deny"] = "alert"
    originator_silence: int = 30 * 24 * 3600 * NANOSECONDS
    """After this long without a message the originator's source is bound anew (nanoseconds)."""
    strict: bool = False
    """Whether ``duplicate-key`` and ``rekey-missing`` deny."""
    on_deny_udp: Remedy = Remedy.DROP
    """What denying does to datagrams: never ``RESET``."""
    on_deny_tcp: Remedy = Remedy.DROP
    """What it does on streams: never ``RESPOND``."""
    outcomes: Mapping[ExceptionName, Outcome] = field(default_factory=lambda: DEFAULT_OUTCOMES)
    """What each exception means."""

    def same_source(self, one: bytes, other: bytes) -> bool:
        """Whether two packed source addresses count as one under this policy's binding."""
        prefix = self.prefix_ipv4 if len(one) == 4 else self.prefix_ipv6
        return same_network(one, other, prefix)
