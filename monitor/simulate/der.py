"""Just enough ASN.1 (X.690) to write CMS, and to write what was read in another encoding.

It reads only what this package wrote itself: definite lengths, tags below 31.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SEQUENCE, SET, INTEGER, OCTET_STRING, NULL, OID = 0x30, 0x31, 0x02, 0x04, 0x05, 0x06
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
CONSTRUCTED = 0x20


def header(tag: int, length: int) -> bytes:
    """Identifier and definite length octets."""
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets


def element(tag: int, *parts: bytes) -> bytes:
    """One element: ``tag`` (identifier octet) around the parts."""
    content = b"".join(parts)
    return header(tag, len(content)) + content


def integer(value: int) -> bytes:
    """INTEGER, not negative."""
    return element(INTEGER, value.to_bytes(value.bit_length() // 8 + 1))


def octet_string(octets: bytes) -> bytes:
    """OCTET STRING."""
    return element(OCTET_STRING, octets)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    octets = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        octets += bytes(reversed(groups))
    return element(OID, bytes(octets))


def sequence(*parts: bytes) -> bytes:
    """SEQUENCE of the parts."""
    return element(SEQUENCE, *parts)


def set_of(*parts: bytes) -> bytes:
    """SET OF the parts, sorted as DER wants it (X.690 §11.6)."""
    return element(SET, *sorted(parts))


def tagged(number: int, *parts: bytes, constructed: bool = True) -> bytes:
    """A context-specific tag around the parts: explicit, or implicit over what ``parts`` contains."""
    return element(0x80 | (CONSTRUCTED if constructed else 0) | number, *parts)


@dataclass(slots=True)
class Node:
    """One element taken apart, so that an attacker may rearrange it."""

    tag: int
    content: bytes
    """Of a primitive element."""
    children: list["Node"]

    def der(self) -> bytes:
        """The element in DER."""
        return element(self.tag, self.content, *(child.der() for child in self.children))

    def ber(self, chunk: int) -> bytes:
        """The element in BER: indefinite lengths, octet strings cut into ``chunk`` octets (X.690 §8.1.3.6,
        §8.7.3).
        """
        if self.tag == OCTET_STRING or self.tag & 0xE0 == 0x80:
            pieces = [self.content[at : at + chunk] for at in range(0, len(self.content), chunk)] or [b""]
            inner = b"".join(octet_string(piece) for piece in pieces)
        elif self.tag & CONSTRUCTED:
            inner = b"".join(child.ber(chunk) for child in self.children)
        else:
            return self.der()
        return bytes((self.tag | CONSTRUCTED, 0x80)) + inner + b"\0\0"


def parse(octets: bytes) -> Node:
    """The element that ``octets`` begin with."""
    return next(_elements(octets))


def _elements(octets: bytes) -> Iterator[Node]:
    at = 0
    while at < len(octets):
        tag, length, start = octets[at], octets[at + 1], at + 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(octets[at + 2 : start])
        content = octets[start : start + length]
        if tag & CONSTRUCTED:
            yield Node(tag, b"", list(_elements(content)))
        else:
            yield Node(tag, content, [])
        at = start + length
