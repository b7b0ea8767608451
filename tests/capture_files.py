"""Capture files made by hand, in either byte order."""

import struct


def pcap_file(
    packets: list[tuple[int, int, bytes]], order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1
) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    return head + b"".join(struct.pack(order + "IIII", s, f, len(d), len(d)) + d for s, f, d in packets)


class Builder:
    """Blocks in one byte order."""

    def __init__(self, order: str) -> None:
        self.order = order

    def block(self, kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        size = struct.pack(self.order + "I", len(body) + 12)
        return struct.pack(self.order + "I", kind) + size + body + size

    def section(self) -> bytes:
        return self.block(0x0A0D0D0A, struct.pack(self.order + "IHHq", 0x1A2B3C4D, 1, 0, -1))

    def option(self, code: int, value: bytes) -> bytes:
        return struct.pack(self.order + "HH", code, len(value)) + value + bytes(-len(value) % 4)

    def interface(self, link: int, snap: int = 0, options: bytes = b"") -> bytes:
        return self.block(1, struct.pack(self.order + "HHI", link, 0, snap) + options)

    def packet(self, interface: int, ticks: int, data: bytes, length: int | None = None) -> bytes:
        head = (
            interface,
            ticks >> 32,
            ticks & 0xFFFFFFFF,
            len(data),
            len(data) if length is None else length,
        )
        return self.block(6, struct.pack(self.order + "IIIII", *head) + data + bytes(-len(data) % 4))

    def obsolete(self, interface: int, ticks: int, data: bytes) -> bytes:
        head = (interface, 9, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        return self.block(2, struct.pack(self.order + "HHIIII", *head) + data)

    def simple(self, length: int, data: bytes) -> bytes:
        return self.block(3, struct.pack(self.order + "I", length) + data)


LITTLE, BIG = Builder("<"), Builder(">")
