"""A frame: captured octets with the place and time of their capture."""

from typing import NamedTuple

NANOSECONDS = 1_000_000_000
"""Nanoseconds in a second. All times below the shells are integers of them, since the epoch (UTC)."""


class Frame(NamedTuple):
    """One captured packet, as the queue or a capture file gave it. A named tuple, as ``wire.flow`` says."""

    number: int
    """1-based, over all captures of a run."""
    time: int
    """Nanoseconds since the epoch."""
    link: int
    """LINKTYPE_ value of the pcap registry; ``wire.link`` names those it reads."""
    data: bytes
    length: int
    """Octets the packet had on the wire; more than ``len(data)`` where a snapshot length cut it."""
    mark: int = 0
    """The packet mark (nfmark), 0 in captures."""
    interface: str = ""
    """The input interface, empty where unknown."""
