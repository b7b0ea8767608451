"""Which policy takes a message: the ordered list of RFC 4301 §4.4.1, where the first match wins."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import eq
from typing import TypeVar

from monitor.antireplay.policy import Policy
from monitor.config.quantity import IPNetwork, Mark
from monitor.wire.address import same_network

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selector:
    """What a message must be like; an empty field takes any."""

    source: tuple[IPNetwork, ...] = ()
    interface: tuple[str, ...] = ()
    mark: tuple[Mark, ...] = ()
    method: tuple[str, ...] = ()

    def takes(self, source: bytes, interface: str, mark: int, method: str) -> bool:
        """Whether a message is like that; ``source`` is packed."""
        return (
            (not self.method or method in self.method)
            and (not self.interface or interface in self.interface)
            and (not self.mark or any(mark & one.mask == one.value for one in self.mark))
            and (not self.source or any(_holds(network, source) for network in self.source))
        )

    def covers(self, other: "Selector") -> bool:
        """Whether each of ``other``'s entries lies within one of this one's, so that it takes all of them."""
        return (
            _within(other.source, self.source, _network_within)
            and _within(other.interface, self.interface, eq)
            and _within(other.mark, self.mark, _mark_within)
            and _within(other.method, self.method, eq)
        )


@dataclass(frozen=True, slots=True)
class PolicyList:
    """Policies in the order in which they are asked, and the one for all that no other takes."""

    default: Policy
    entries: tuple[tuple[Selector, Policy], ...] = ()

    def choose(self, source: bytes, interface: str = "", mark: int = 0, method: str = "") -> Policy:
        """The policy for a message.

        :param source: packed address that its packet came from.
        :param interface: that it came in by, empty where unknown.
        :param mark: of the packet.
        :param method: of the request, or of the CSeq of a response.
        """
        for selector, policy in self.entries:
            if selector.takes(source, interface, mark, method):
                return policy
        return self.default


def _holds(network: IPNetwork, source: bytes) -> bool:
    return same_network(network.network_address.packed, source, network.prefixlen)


def _within(inner: Sequence[T], outer: Sequence[T], within: Callable[[T, T], bool]) -> bool:
    if not outer or not inner:
        return not outer
    return all(any(within(one, other) for other in outer) for one in inner)


def _network_within(one: IPNetwork, other: IPNetwork) -> bool:
    return one.prefixlen >= other.prefixlen and _holds(other, one.network_address.packed)


def _mark_within(one: Mark, other: Mark) -> bool:
    return one.mask & other.mask == other.mask and one.value & other.mask == other.value
