"""Reading BER and DER (ITU-T X.690): a cursor over elements, and re-encoding to DER.

Nothing here copies more than it returns, and nothing takes more than linear time: the depth of nesting and
the number of elements looked at are bounded.
"""

from functools import lru_cache
from typing import NoReturn

from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31

CONSTRUCTED = 0x20

MAX_DEPTH = 32
"""Elements within elements, where octets are walked whatever they mean."""
MAX_ELEMENTS = 4096
"""Elements passed on the way to one end-of-contents, in one string, or in one re-encoding."""
MAX_IDENTIFIER = 40
"""Octets of an object identifier."""
MAX_INTEGER = 64
"""Octets of an INTEGER that is read as a number (serial numbers have 20 at most, RFC 5280 §4.1.2.2)."""

Element = tuple[int, int, int, int]
"""Identifier, start and end of the contents, start of what follows."""


def malformed(detail: str) -> NoReturn:
    """Raise the error of octets that no BER reader reads."""
    raise CmsError(ExceptionName.MALFORMED, f"CMS: {detail}")


def ambiguous(detail: str) -> NoReturn:
    """Raise the error of octets that readers take in different ways."""
    raise CmsError(ExceptionName.AMBIGUOUS, f"CMS: {detail}")


def limit(detail: str) -> NoReturn:
    """Raise the error of a limit that was hit."""
    raise CmsError(ExceptionName.LIMIT, f"CMS: {detail}")


def element(octets: bytes, at: int, end: int) -> Element:
    """Read the identifier and the length at ``at``; the whole element must end by ``end``."""
    start = at + 2
    if start <= end:
        tag, length = octets[at], octets[at + 1]
        if tag & 0x1F != 0x1F:
            if length < 0x80:
                stop = start + length
            elif length == 0x82 and start + 2 <= end:
                start += 2
                stop = start + (octets[at + 2] << 8 | octets[at + 3])
            else:
                return _long_element(octets, at, end)
            if stop <= end:
                return tag, start, stop, stop
            malformed("an element ends after what holds it")
    return _long_element(octets, at, end)


def _long_element(octets: bytes, at: int, end: int) -> Element:
    tag, start, length = _header(octets, at, end)
    if length < 0:
        stop = _end_of_contents(octets, start, end)
        return tag, start, stop, stop + 2
    stop = start + length
    if stop > end:
        malformed("an element ends after what holds it")
    return tag, start, stop, stop


def _header(octets: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Identifier, start of the contents, and length (-1: indefinite, X.690 §8.1.3.6)."""
    if end - at < 2:
        malformed("an element is cut off")
    tag = octets[at]
    at += 1
    if tag & 0x1F == 0x1F:
        tag, at = _high_tag(tag, octets, at, end)
        if at == end:
            malformed("an element is cut off")
    length = octets[at]
    at += 1
    if length == 0x80:
        if not tag & CONSTRUCTED:
            malformed("a primitive element of indefinite length")
        return tag, at, -1
    if length > 0x80:
        count = length & 0x7F
        if length == 0xFF or at + count > end:
            malformed("a length is cut off")
        length = int.from_bytes(octets[at : at + count], "big")
        at += count
    return tag, at, length


def _high_tag(first: int, octets: bytes, at: int, end: int) -> tuple[int, int]:
    """Read a tag number of more than one octet (X.690 §8.1.2.4).

    A number below 31 does not need this form, but readers take it for the short one, so it is taken here.
    """
    number = 0
    for index in range(at, min(end, at + 4)):
        number = number << 7 | octets[index] & 0x7F
        if octets[index] < 0x80:
            if number < 31:
                return first & 0xE0 | number, index + 1
            return number << 8 | first, index + 1
    malformed("a tag number is cut off or above 2^28")


def _end_of_contents(octets: bytes, at: int, end: int) -> int:
    """Where the end-of-contents octets of an element of indefinite length stand."""
    open_elements = 1
    for _ in range(MAX_ELEMENTS):
        if end - at < 2:
            malformed("an element of indefinite length has no end")
        if octets[at] == 0:
            if octets[at + 1] != 0:
                malformed("end-of-contents with contents")
            open_elements -= 1
            if not open_elements:
                return at
            at += 2
            continue
        _, at, length = _header(octets, at, end)
        if length < 0:
            open_elements += 1
            if open_elements > MAX_DEPTH:
                limit(f"elements nested deeper than {MAX_DEPTH}")
        else:
            at += length
    limit(f"more than {MAX_ELEMENTS} elements within one of indefinite length")


class Cursor:
    """Reads the elements of one constructed element, in order.

    Every method raises CmsError where the next element is not what was asked for. Tags are the identifier
    octet, of the primitive form where a string may have both.
    """

    __slots__ = ("at", "end", "octets")

    def __init__(self, octets: bytes, at: int = 0, end: int | None = None) -> None:
        self.octets = octets
        self.at = at
        self.end = len(octets) if end is None else end

    def peek(self) -> int:
        """The identifier of the next element, -1 where there is none."""
        if self.at >= self.end:
            return -1
        tag = self.octets[self.at]
        return tag if tag & 0x1F != 0x1F else _high_tag(tag, self.octets, self.at + 1, self.end)[0]

    def enter(self, tag: int) -> "Cursor":
        """A cursor over the contents of the next, constructed element."""
        found, start, stop, self.at = element(self.octets, self.at, self.end)
        if found != tag:
            malformed(f"element {found:#04x} where {tag:#04x} belongs")
        return Cursor(self.octets, start, stop)

    def primitive(self, tag: int) -> bytes:
        """The contents of the next element, which has a primitive form only."""
        found, start, stop, self.at = element(self.octets, self.at, self.end)
        if found != tag:
            malformed(f"element {found:#04x} where {tag:#04x} belongs")
        return self.octets[start:stop]

    def string(self, tag: int = OCTET_STRING) -> bytes:
        """The octets of the next OCTET STRING, whole or in segments (X.690 §8.7)."""
        if self.peek() == tag | CONSTRUCTED:
            segments: list[bytes] = []
            self.at = _segments(self.octets, self.at, self.end, segments)
            return b"".join(segments)
        return self.primitive(tag)

    def integer(self) -> int:
        """The next INTEGER."""
        contents = self.primitive(INTEGER)
        if not 0 < len(contents) <= MAX_INTEGER:
            malformed("an INTEGER without octets or out of bounds")
        return int.from_bytes(contents, "big", signed=True)

    def identifier(self) -> str:
        """The next OBJECT IDENTIFIER, dotted."""
        return dotted(self.primitive(OBJECT_IDENTIFIER))

    def element(self) -> bytes:
        """The next element whole, as it stands."""
        at = self.at
        self.at = element(self.octets, at, self.end)[3]
        return self.octets[at : self.at]

    def rest(self) -> bytes:
        """All that is left, as it stands."""
        at, self.at = self.at, self.end
        return self.octets[at : self.end]

    def finish(self, what: str) -> None:
        """See that nothing is left: some readers pass over what follows the last known field, some do not."""
        if self.at != self.end:
            ambiguous(f"{self.end - self.at} octets too many in {what}")


def _segments(octets: bytes, at: int, end: int, segments: list[bytes]) -> int:
    """Gather the segments of the constructed string at ``at``; returns what follows it."""
    _, at, length = _header(octets, at, end)
    ends = [_inner_end(at, length, end)]
    """Of each string that is open: where it ends, below zero where end-of-contents octets end it."""
    for _ in range(MAX_ELEMENTS):
        innermost = ends[-1]
        if innermost == at or (innermost < 0 and octets[at : min(at + 2, -innermost)] == b"\0\0"):
            at += 2 * (innermost < 0)
            ends.pop()
            if not ends:
                return at
            continue
        tag, at, length = _header(octets, at, abs(innermost))
        if tag == OCTET_STRING:
            stop = _inner_end(at, length, abs(innermost))
            segments.append(octets[at:stop])
            at = stop
        elif tag == OCTET_STRING | CONSTRUCTED:
            ends.append(_inner_end(at, length, abs(innermost)))
            if len(ends) > MAX_DEPTH:
                limit(f"elements nested deeper than {MAX_DEPTH}")
        else:
            ambiguous(f"a segment of an OCTET STRING is an element {tag:#04x}")
    limit(f"more than {MAX_ELEMENTS} segments of one string")


def _inner_end(at: int, length: int, end: int) -> int:
    """Where contents end; where their length is indefinite, where they must have ended, negated."""
    if length < 0:
        return -end
    if at + length > end:
        malformed("an element ends after what holds it")
    return at + length


@lru_cache(maxsize=256)
def dotted(contents: bytes) -> str:
    """The dotted form of an object identifier from its contents octets (X.690 §8.19)."""
    if not 0 < len(contents) <= MAX_IDENTIFIER or contents[-1] & 0x80:
        malformed("an object identifier without end or out of bounds")
    arcs: list[int] = []
    arc = 0
    for octet in contents:
        if octet == 0x80 and not arc:
            ambiguous("an object identifier with padding")
        arc = arc << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(arc) for arc in (first, arcs[0] - 40 * first, *arcs[1:]))


def encode(tag: int, contents: bytes) -> bytes:
    """One element in DER; ``tag`` is an identifier as ``element`` gives it."""
    identifier = bytes((tag,)) if tag < 0x100 else _encode_high_tag(tag)
    length = len(contents)
    if length < 0x80:
        return identifier + bytes((length,)) + contents
    count = (length.bit_length() + 7) // 8
    return identifier + bytes((0x80 | count,)) + length.to_bytes(count, "big") + contents


def _encode_high_tag(tag: int) -> bytes:
    number = tag >> 8
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes((tag & 0xFF, *reversed(octets)))


_STRINGS = frozenset(
    {OCTET_STRING, 0x0C, *range(0x12, 0x17), *range(0x19, 0x1F)},
)
"""Universal types that BER lets stand in segments and DER does not; a BIT STRING is left as it is."""


def der(octets: bytes, *, sort: bool = True) -> bytes:
    """One element re-encoded: definite minimal lengths, strings whole and, with ``sort``, sets in order.

    :raises CmsError: the octets are not exactly one element.
    """
    encoded, at, _ = _der(octets, 0, len(octets), 1, sort, MAX_ELEMENTS)
    if at != len(octets):
        ambiguous("octets after an element")
    return encoded


def _der(octets: bytes, at: int, end: int, depth: int, sort: bool, budget: int) -> tuple[bytes, int, int]:
    """The element at ``at`` re-encoded, where it ends, and what is left of the budget of elements."""
    if depth > MAX_DEPTH or not budget:
        limit(f"more than {MAX_ELEMENTS} elements, or nested deeper than {MAX_DEPTH}")
    budget -= 1
    tag, at, length = _header(octets, at, end)
    if length >= 0:
        if at + length > end:
            malformed("an element ends after what holds it")
        end = at + length
    if not tag & CONSTRUCTED:
        return encode(tag, octets[at:end]), end, budget
    parts: list[bytes] = []
    while at < end:
        if length < 0 and octets[at] == 0:
            break
        part, at, budget = _der(octets, at, end, depth + 1, sort, budget)
        parts.append(part)
    if length < 0:
        if octets[at : min(at + 2, end)] != b"\0\0":
            malformed("an element of indefinite length has no end")
        at += 2
    if tag & ~CONSTRUCTED in _STRINGS:
        whole = b"".join(Cursor(part).string(part[0]) for part in parts)
        return encode(tag & ~CONSTRUCTED, whole), at, budget
    if tag == SET and sort:
        parts.sort()
    return encode(tag, b"".join(parts)), at, budget
