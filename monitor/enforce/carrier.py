"""The packet around a payload, rebuilt around another one (RFC 791, RFC 8200, RFC 768, RFC 9293)."""

import struct
from dataclasses import dataclass

from monitor.wire import ip, link
from monitor.wire.flow import Discard, WireError
from monitor.wire.tcp import ACK, FIN, RST

_UDP_HEADER = 8
_TCP_HEADER = 20
_TCP_ADDRESSED = 12
"""Octets of a TCP header up to sequence and acknowledgment number."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A packet of the queue, parted at its payload."""

    network: bytes
    """IP header, options included."""
    transport: bytes
    """UDP or TCP header, options included."""
    payload: bytes

    @classmethod
    def read(cls, packet: bytes) -> "Carrier | None":
        """Part a packet; None for fragments, tunnels, extension headers and what was not captured whole."""
        try:
            found = ip.read(link.by_version(packet, 0), packet, 0, len(packet))
        except (Discard, WireError):
            return None
        if found.fragment or found.extensions or found.missing or found.protocol not in (ip.UDP, ip.TCP):
            return None
        start, end = found.start, found.end
        if end - start < (_UDP_HEADER if found.protocol == ip.UDP else _TCP_HEADER):
            return None
        if found.protocol == ip.UDP:
            header = _UDP_HEADER
            whole = int.from_bytes(packet[start + 4 : start + 6]) == end - start
        else:
            header = (packet[start + 12] >> 4) * 4
            whole = _TCP_HEADER <= header <= end - start
        if not whole:
            return None
        return cls(packet[:start], packet[start : start + header], packet[start + header : end])

    def carrying(self, payload: bytes) -> bytes:
        """The packet with another payload; a TCP segment that is cut short ends no stream."""
        if self._protocol == ip.UDP:
            length = _UDP_HEADER + len(payload)
            return self._assembled(self.transport[:4] + struct.pack("!HH", length, 0), payload)
        transport = bytearray(self.transport)
        if len(payload) < len(self.payload):
            transport[13] &= ~FIN
        return self._assembled(bytes(transport), payload)

    def reset(self, back: int = 0) -> bytes:
        """A TCP segment turned into a reset (RFC 9293 §3.5.3).

        :param back: by how many octets its sequence number is before the segment's. The recipient obeys it
            where it is the one that he expects next (RFC 5961 §3.2).
        """
        sequence = (int.from_bytes(self.transport[4:8]) - back) % (1 << 32)
        rest = struct.pack("!BBHHH", _TCP_HEADER // 4 << 4, RST | ACK, 0, 0, 0)
        return self._assembled(
            self.transport[:4] + struct.pack("!I", sequence) + self.transport[8:_TCP_ADDRESSED] + rest, b""
        )

    @property
    def _protocol(self) -> int:
        return self.network[9] if self.network[0] >> 4 == 4 else self.network[6]

    def _assembled(self, transport: bytes, payload: bytes) -> bytes:
        """All headers and the payload, with lengths and checksums as they must be."""
        network, length = bytearray(self.network), len(transport) + len(payload)
        if network[0] >> 4 == 4:
            struct.pack_into("!H", network, 2, len(network) + length)
            struct.pack_into("!H", network, 10, 0)
            struct.pack_into("!H", network, 10, checksum(bytes(network)))
            addresses = network[12:20]
        else:
            struct.pack_into("!H", network, 4, length)
            addresses = network[8:40]
        at = 6 if self._protocol == ip.UDP else 16
        zeroed = transport[:at] + b"\0\0" + transport[at + 2 :]
        pseudo = bytes(addresses) + struct.pack("!II", length, self._protocol)
        total = checksum(pseudo + zeroed + payload)
        return bytes(network) + transport[:at] + struct.pack("!H", total) + transport[at + 2 :] + payload


def checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071), never 0, which UDP takes for none at all (RFC 768)."""
    # The ones' complement sum of 16-bit words is the number they spell, modulo 65535.
    return 0xFFFF - int.from_bytes(octets + bytes(len(octets) % 2)) % 0xFFFF
