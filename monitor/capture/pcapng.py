"""The pcapng file format (IETF draft-ietf-opsawg-pcapng): sections, interfaces with their clocks, packets."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from struct import Struct

from monitor.capture.reader import CaptureError, Reader
from monitor.wire.frame import NANOSECONDS, Frame

MAGIC = b"\x0a\x0d\x0d\x0a"
"""Type of the section header block, the same in both byte orders."""

MAX_BLOCK = 16 << 20
"""Octets in a block. More, in Wireshark as here, is taken for damage."""
MAX_INTERFACES = 65536
"""Interfaces in one section."""
MAX_NAME = 64
"""Octets of an interface name that are kept (a Linux interface name has up to 15)."""
MAX_TIME = 1 << 62
"""Nanoseconds since the epoch; times beyond it (the year 2116) or before 0 are moved to the bound."""

_SECTION = 0x0A0D0D0A
_INTERFACE = 1
_OBSOLETE_PACKET = 2
_SIMPLE_PACKET = 3
_ENHANCED_PACKET = 6
_BYTE_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}

_OPTION_NAME = 2
_OPTION_RESOLUTION = 9
_OPTION_OFFSET = 14


@dataclass(frozen=True, slots=True)
class _Interface:
    """What an interface description block says."""

    link: int
    snap: int
    """Most octets of a packet that were kept, 0 for all."""
    name: str = ""
    factor: int = 1000
    """Nanoseconds in a tick, where ``divisor`` is 1."""
    divisor: int = 1
    offset: int = 0
    """Nanoseconds to add."""


@dataclass(slots=True)
class _Section:
    """The byte order of a section, and its interfaces so far."""

    order: str
    interfaces: list[_Interface] = field(default_factory=list)
    block: Struct = field(init=False)
    enhanced: Struct = field(init=False)
    obsolete: Struct = field(init=False)
    interface: Struct = field(init=False)
    option: Struct = field(init=False)

    def __post_init__(self) -> None:
        self.block = Struct(self.order + "II")
        self.enhanced = Struct(self.order + "IIIII")
        self.obsolete = Struct(self.order + "HHIIII")
        self.interface = Struct(self.order + "HHI")
        self.option = Struct(self.order + "HH")


def frames(reader: Reader, head: bytes, number: int) -> Iterator[Frame]:
    """The frames of a pcapng file of which ``head`` has been read, from ``number`` on.

    :raises CaptureError: it is damaged.
    """
    buffer, at, base = head, 0, reader.offset - len(head)
    section = _Section("<")
    time, clamped = 0, False
    while True:
        if len(buffer) - at < 12:
            base += at
            buffer, at = reader.more(buffer[at:], 12), 0
            if len(buffer) < 12:
                if buffer:
                    _cut_off(reader, base)
                return
        if buffer.startswith(MAGIC, at):
            section = _Section(_byte_order(buffer[at + 8 : at + 12], reader, base + at))
        kind, size = section.block.unpack_from(buffer, at)
        if size < 12 or size % 4 or size > MAX_BLOCK:
            raise _damaged(reader, base + at, f"a block of {size} octets")
        if len(buffer) - at < size:
            base += at
            buffer, at = reader.more(buffer[at:], size), 0
            if len(buffer) < size:
                _cut_off(reader, base)
                return
        body, end = at + 8, at + size - 4
        if kind == _ENHANCED_PACKET or kind == _OBSOLETE_PACKET:  # noqa: SIM109 - it is the hot path
            if end - body < 20:
                raise _damaged(reader, base + at, f"a packet block of {size} octets")
            if kind == _ENHANCED_PACKET:
                index, high, low, captured, length = section.enhanced.unpack_from(buffer, body)
            else:
                index, _, high, low, captured, length = section.obsolete.unpack_from(buffer, body)
            data_at = body + 20
            if captured > end - data_at:
                raise _damaged(reader, base + at, f"a packet of {captured} octets in a block of {size}")
            if index >= len(section.interfaces):
                raise _damaged(reader, base + at, f"a packet of interface {index}, which is not described")
            interface = section.interfaces[index]
            ticks = (high << 32) + low
            time = ticks * interface.factor // interface.divisor + interface.offset
            if not 0 <= time <= MAX_TIME:
                time = min(max(time, 0), MAX_TIME)
                if not clamped:
                    clamped = True
                    reader.warnings.append(
                        f"{reader.name}: times from octet {base + at} on lie before 1970 or after 2116"
                    )
        elif kind == _SIMPLE_PACKET:
            # It has no time: it keeps that of the packet before.
            if not section.interfaces or end - body < 4:
                raise _damaged(reader, base + at, "a simple packet block without an interface")
            interface = section.interfaces[0]
            length = section.block.unpack_from(buffer, at + 4)[1]
            data_at = body + 4
            captured = min(length, interface.snap or length, end - data_at)
        else:
            if kind == _INTERFACE:
                if len(section.interfaces) >= MAX_INTERFACES:
                    raise _damaged(reader, base + at, f"more than {MAX_INTERFACES} interfaces")
                section.interfaces.append(_describe(section, buffer, body, end, reader, base + at))
                reader.snap_length = max(reader.snap_length, section.interfaces[-1].snap)
            at += size
            continue
        yield Frame(
            number, time, interface.link, buffer[data_at : data_at + captured], length, 0, interface.name
        )
        number += 1
        at += size


def _byte_order(magic: bytes, reader: Reader, offset: int) -> str:
    order = _BYTE_ORDERS.get(magic)
    if order is None:
        raise _damaged(reader, offset, f"a section with the byte-order magic {magic.hex()}")
    return order


def _describe(section: _Section, data: bytes, at: int, end: int, reader: Reader, offset: int) -> _Interface:
    """Decode an interface description block; options that make no sense are passed over."""
    if end - at < 8:
        raise _damaged(reader, offset, "an interface description that is too short")
    link, _, snap = section.interface.unpack_from(data, at)
    at += 8
    name, factor, divisor, shift = "", 1000, 1, 0
    while end - at >= 4:
        code, size = section.option.unpack_from(data, at)
        value = data[at + 4 : min(at + 4 + size, end)]
        at += 4 + (size + 3) // 4 * 4
        if code == 0:
            break
        if code == _OPTION_NAME:
            name = value[:MAX_NAME].decode("utf-8", "replace")
        elif code == _OPTION_RESOLUTION and len(value) == 1:
            factor, divisor = _clock(value[0])
        elif code == _OPTION_OFFSET and len(value) == 8:
            shift = int.from_bytes(value, "little" if section.order == "<" else "big", signed=True)
    return _Interface(link, snap, name, factor, divisor, shift * NANOSECONDS)


def _clock(resolution: int) -> tuple[int, int]:
    """Nanoseconds in a tick as a fraction: if_tsresol is a negative power of 10, or of 2 with the top bit."""
    per_second = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    if NANOSECONDS % per_second == 0:
        return NANOSECONDS // per_second, 1
    return NANOSECONDS, per_second


def _damaged(reader: Reader, offset: int, what: str) -> CaptureError:
    return CaptureError(
        f"{reader.name}: damaged at octet {offset}: {what}; cut the rest off with editcap, or capture anew"
    )


def _cut_off(reader: Reader, offset: int) -> None:
    if not offset:
        raise CaptureError(f"{reader.name}: cut off in the file header: nothing can be read; capture anew")
    reader.warnings.append(f"{reader.name}: cut off in the block at octet {offset}, read up to there")
