"""A packet of a netfilter queue: its frame, and who takes its verdict."""

import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from monitor.wire.frame import Frame
from monitor.wire.link import RAW

STAMP = 2_000_000_000
"""Nanoseconds that the kernel's time of a packet and ours may differ; beyond that its clock was set."""


class QueueError(Exception):
    """The queue cannot be had or kept. One line, with the mend."""


class Packet(Protocol):
    """A packet that waits in the kernel for its verdict, given once, at any time and in any order."""

    def accept(self) -> None: ...
    def drop(self) -> None: ...
    def set_payload(self, payload: bytes, /) -> None: ...


Arrival = tuple[Frame, Packet]
"""A frame with the packet to give the verdict to."""
Passes = Callable[[bytes], object]
"""Tells of a packet's octets, by what is true or false, whether it is to be looked at no further."""


def none_passes(_packet: bytes) -> bool:
    """Every packet is to be looked at."""
    return False


def packet_frame(number: int, time: int, octets: bytes, mark: int, interface: int) -> Frame:
    """The frame of an IP packet.

    :param interface: the index of the one it came in by, 0 where there is none.
    """
    return Frame(number, time, RAW, octets, wire_length(octets), mark, _interface_name(interface))


def packet_time(stamp: int, now: int) -> int:
    """The kernel's time of a packet, or ``now`` where it is none or too far from it; all in nanoseconds."""
    return stamp if abs(stamp - now) < STAMP else now


def wire_length(packet: bytes) -> int:
    """Octets that an IP packet says it has, at least those that are there (RFC 791 §3.1, RFC 8200 §3)."""
    length = len(packet)
    if length >= 40 and packet[0] >> 4 == 6:
        return max(length, 40 + int.from_bytes(packet[4:6]))
    if length >= 20 and packet[0] >> 4 == 4:
        return max(length, int.from_bytes(packet[2:4]))
    return length


@lru_cache(maxsize=1024)
def _interface_name(index: int) -> str:
    """The name of an interface, empty where it has gone."""
    if not index:
        return ""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""
