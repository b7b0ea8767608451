"""A source as it is counted and blocked: one address, or a network of IPv6."""

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Self

from monitor.wire import address

_OF_MANY = tuple(
    (ipaddress.ip_network(each).network_address.packed, ipaddress.ip_network(each).prefixlen)
    for each in ("fe80::/10", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32")
)
"""Where a network is no one's: a link's addresses, and IPv4 behind NAT64 (RFC 6052, 8215) or Teredo."""


class Source(NamedTuple):
    """All addresses with the first ``prefix`` bits of a packed one, whose further bits are zero."""

    packed: bytes
    prefix: int

    @classmethod
    def of(cls, packed: bytes, prefix: int | None = None) -> Self:
        """The network of this length that an address is in; None: the address alone."""
        if prefix is None:
            return cls(packed, 8 * len(packed))
        return cls(address.network(packed, prefix), prefix)

    @classmethod
    def read(cls, text: str) -> Self:
        """As ``str`` writes it.

        :raises ValueError: it is neither an address nor a network.
        """
        if "/" not in text:
            return cls.of(address.pack(text))
        network = ipaddress.ip_network(text)
        return cls(network.network_address.packed, network.prefixlen)

    def __str__(self) -> str:
        alone = self.prefix == 8 * len(self.packed)
        return address.text(self.packed) if alone else f"{address.text(self.packed)}/{self.prefix}"


@dataclass(frozen=True, slots=True)
class Spared:
    """Who is never blocked: these networks, these relays and B2BUAs (packed), and the host to itself."""

    allowed: Collection[ipaddress.IPv4Network | ipaddress.IPv6Network] = ()
    relays: Collection[bytes] = ()

    def __contains__(self, packed: bytes) -> bool:
        found = ipaddress.ip_address(packed)
        return packed in self.relays or found.is_loopback or any(found in each for each in self.allowed)

    def source(self, packed: bytes, prefix: int) -> Source:
        """What is blocked for an address: its IPv6 network of this length, but itself where one is spared."""
        if len(packed) == 4 or any(address.same_network(packed, one, bits) for one, bits in _OF_MANY):
            return Source.of(packed)
        network = Source.of(packed, prefix)
        whole = ipaddress.IPv6Network((network.packed, prefix))
        spared = any(each.version == 6 and each.overlaps(whole) for each in self.allowed) or any(
            address.same_network(packed, each, prefix) for each in self.relays
        )
        return Source.of(packed) if spared else network
