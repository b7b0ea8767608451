"""IP addresses as packed octets: 4 for IPv4, 16 for IPv6, IPv4-mapped IPv6 folded to IPv4."""

import ipaddress
import socket
from functools import lru_cache

_MAPPED = bytes(10) + b"\xff\xff"


@lru_cache(maxsize=65536)
def text(packed: bytes) -> str:
    """The canonical text of a packed address (RFC 5952 for IPv6)."""
    if len(packed) == 4:
        return ".".join(map(str, packed))
    return str(ipaddress.ip_address(packed))


@lru_cache(maxsize=65536)
def pack(address: str) -> bytes:
    """The packed octets of an address in text, IPv6 brackets allowed.

    :raises ValueError: it is not an address.
    """
    try:
        return socket.inet_pton(socket.AF_INET, address)  # a tenth of the time, and the usual case
    except (OSError, UnicodeEncodeError):
        return fold(ipaddress.ip_address(address.strip("[]")).packed)


def fold(packed: bytes) -> bytes:
    """An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) as the IPv4 address that it stands for."""
    return packed[12:] if len(packed) == 16 and packed.startswith(_MAPPED) else packed


def network(packed: bytes, prefix: int) -> bytes:
    """The first address of the network of ``prefix`` bits that a packed address is in."""
    shift = len(packed) * 8 - prefix
    return (int.from_bytes(packed) >> shift << shift).to_bytes(len(packed))


def same_network(one: bytes, other: bytes, prefix: int) -> bool:
    """Whether two packed addresses of one family agree in their first ``prefix`` bits."""
    if one == other:
        return True
    if len(one) != len(other):
        return False
    shift = len(one) * 8 - prefix
    return int.from_bytes(one) >> shift == int.from_bytes(other) >> shift
