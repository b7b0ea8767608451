"""Messages of a netfilter queue, as the kernel makes them."""

import struct

SAMPLE = bytes.fromhex(
    "77000000 0003 0000 00000000 00000000 02 00 0007 0b000100 00000001 0800 01 00 08000500 00000002"
    "08000300 00001234 10000900 0006 0000 fe96893469250000 14000400 000000006b0420b3 0000000000059e8f"
    "23000a00 4500001f3cb240004011e9950a4200020a420001af1813c4000bc442313233"
)
"""One of Linux 6.18 on a little-endian processor: queue 7, packet 1, mark 0x1234, interface 2."""


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(attributes: bytes, kind: int = 0x300, number: int = 7) -> bytes:
    """A message of queue ``number``; ``kind`` 0x300 is a packet."""
    header = struct.pack("=IHHII", 20 + len(attributes), kind, 0, 0, 0)
    return header + struct.pack(">BBH", 2, 0, number) + attributes


def packet_message(
    identifier: int, octets: bytes, *, mark: int = 0, interface: int = 0, stamp: tuple[int, int] | None = None
) -> bytes:
    """A packet; ``stamp``: seconds and microseconds of its arrival."""
    return message(
        attribute(1, struct.pack(">IHB", identifier, 0x0800, 1))
        + (attribute(5, struct.pack(">I", interface)) if interface else b"")
        + (attribute(3, struct.pack(">I", mark)) if mark else b"")
        + attribute(9, struct.pack(">HH8s", 6, 0, b"address"))
        + (attribute(4, struct.pack(">QQ", *stamp)) if stamp else b"")
        + struct.pack("=HH", 4 + len(octets), 10)
        + octets
    )


def rulings(octets: bytes) -> list[tuple[int, int]]:
    """The verdicts in a datagram without other attributes: packet and kind of each."""
    found = []
    for at in range(0, len(octets), 32):
        size, kind, flags, _, _ = struct.unpack_from("=IHHII", octets, at)
        length, attribute_kind = struct.unpack_from("=HH", octets, at + 20)
        assert (size, kind, flags, length, attribute_kind) == (32, 0x301, 1, 12, 2)
        verdict, identifier = struct.unpack_from(">II", octets, at + 24)
        found.append((identifier, verdict))
    return found
