"""Packets around messages, by scapy: datagrams whole or in fragments, TCP segments, link layers."""

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, fragment6
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Ether
from scapy.packet import Packet, Raw

from monitor.simulate.party import Party

Link = Literal["ethernet", "cooked", "cooked2", "raw"]
LINK_TYPES: dict[Link, int] = {"ethernet": 1, "cooked": 113, "cooked2": 276, "raw": 101}
"""LINKTYPE_ values of the pcap registry."""
MTU = 1500


def datagram(
    source: Party, destination: Party, payload: bytes, rng: random.Random, mtu: int = MTU
) -> list[Packet]:
    """A UDP datagram as IP packets: one, or fragments of at most ``mtu`` octets."""
    packet = (
        _network(source, destination, rng) / UDP(sport=source.port, dport=destination.port) / Raw(payload)
    )
    if source.family == 4:
        if len(payload) + 28 <= mtu:
            return [packet]
        # Built first, since the checksum covers the datagram and not the fragment.
        return list(fragment(IP(bytes(packet)), fragsize=(mtu - 20) // 8 * 8))
    if len(payload) + 48 <= mtu:
        return [packet]
    ipv6 = IPv6(bytes(packet))
    # Dissected, the next header stands as it was; it is the fragment header's from here on.
    ipv6.payload = IPv6ExtHdrFragment(nh=ipv6.nh, id=rng.getrandbits(32)) / ipv6.payload
    ipv6.nh = 44
    return list(fragment6(ipv6, mtu))


def segment(
    source: Party,
    destination: Party,
    rng: random.Random,
    *,
    flags: str,
    sequence: int,
    acknowledgment: int,
    payload: bytes = b"",
) -> Packet:
    """One TCP segment."""
    options = [("MSS", 1460)] if "S" in flags else []
    tcp = TCP(
        sport=source.port,
        dport=destination.port,
        flags=flags,
        seq=sequence % 2**32,
        ack=acknowledgment % 2**32,
        window=65535,
        options=options,
    )
    packet = _network(source, destination, rng) / tcp
    return packet / Raw(payload) if payload else packet


def linked(packets: Iterable[Packet], source: Party, destination: Party, link: Link) -> Sequence[bytes]:
    """The packets as frames of a link type."""
    protocol = 0x0800 if source.family == 4 else 0x86DD
    address = bytes.fromhex(source.mac.replace(":", ""))
    below: Packet | None = {
        "ethernet": Ether(src=source.mac, dst=destination.mac, type=protocol),
        "cooked": CookedLinux(pkttype=0, lladdrtype=1, lladdrlen=6, src=address + b"\0\0", proto=protocol),
        "cooked2": CookedLinuxV2(
            proto=protocol, ifindex=2, lladdrtype=1, pkttype=0, lladdrlen=6, src=address + b"\0\0"
        ),
        "raw": None,
    }[link]
    return [bytes(packet if below is None else below / packet) for packet in packets]


def _network(source: Party, destination: Party, rng: random.Random) -> Packet:
    if source.family == 4:
        return IP(src=source.address, dst=destination.address, id=rng.getrandbits(16), ttl=64)
    return IPv6(src=source.address, dst=destination.address, hlim=64)
