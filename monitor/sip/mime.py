"""MIME entities of SIP bodies (RFC 2045, RFC 2046, RFC 5621): split by ourselves, bounded."""

import re
from typing import NamedTuple

from monitor.exceptions import ExceptionName, Report
from monitor.sip import coding, header, message
from monitor.sip import sniff as sniffing
from monitor.sip.error import SipError
from monitor.sip.message import Message
from monitor.sip.sniff import CMS, SDP
from monitor.sip.sniff import sniff as sniff
from monitor.sip.start_line import Troubles, text

MAX_PARTS = 64
"""Parts of one multipart that are read."""

OCTETS = "application/octet-stream"
"""The type of content that has none and does not give itself away."""

_TYPE = re.compile(rb"\s*+([^\s/;,\"]++)\s*+/\s*+([^\s/;,\"]++)\s*+")
_FIELD = re.compile(rb"[^\s:;=\"<>@,/\[\]?()\\]++[ \t]*+:")
_DASHES = re.compile(rb"[\r\n]--([^\r\n]+)")
_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")


class Entity(NamedTuple):
    """A body or body part."""

    media_type: str
    """``type/subtype`` in lower case."""
    parameters: tuple[tuple[str, str], ...]
    """Of the Content-Type, names in lower case."""
    headers: tuple[tuple[str, bytes], ...]
    """As in ``Message.headers``."""
    content: bytes
    """Content-Transfer-Encoding undone (base64, quoted-printable), Content-Encoding not yet."""
    raw: bytes
    """Headers and content exactly as they stood: what a detached signature covers."""

    def parameter(self, name: str) -> str | None:
        """The value of the Content-Type parameter ``name`` (lower case), None where there is none."""
        return next((value for key, value in self.parameters if key == name), None)


def body(message: Message, report: Report) -> Entity | None:
    """The body of a message as an entity, None where it has none."""
    if not message.body.strip():
        return None
    headers = tuple([field for field in message.headers if field[0].startswith("content-")])
    if "content-type" not in dict(headers):
        report(ExceptionName.MALFORMED, "body without Content-Type")
    return _entity(headers, message.body, message.body, report)


def parse_entity(octets: bytes, report: Report | None = None) -> Entity:
    """The MIME entity that a CMS content or a body part is: header fields, blank line, content.

    A session description or CMS without any header section is one too. A header section without a blank
    line is an entity without content.

    :raises SipError: limit; too many or too long header fields.
    """
    report = _ignore if report is None else report
    if line_end := _LINE_END.match(octets):
        return _entity((), octets[line_end.end() :], octets, report)
    if sniffing.sniff_plain(octets):
        return _entity((), octets, octets, report)
    if not _FIELD.match(octets):
        report(ExceptionName.MALFORMED, "entity without a header section")
        return _entity((), octets, octets, report)
    troubles: Troubles = []
    head, content, found = header.split(octets, troubles)
    headers = header.fields(head, troubles)
    if not found:
        troubles.append((ExceptionName.MALFORMED, "entity without a blank line"))
    for trouble in troubles:
        report(*trouble)
    types = set(header.values(headers, "content-type"))
    if len(types) > 1:
        report(ExceptionName.AMBIGUOUS, "content-type more than once")
    return _entity(tuple(headers), content, octets, report)


def _ignore(name: ExceptionName, detail: str) -> None:
    """Report nothing."""


def _entity(headers: tuple[tuple[str, bytes], ...], content: bytes, raw: bytes, report: Report) -> Entity:
    found = list(headers)
    content = _transferred(header.values(found, "content-transfer-encoding"), content, report)
    value = next(iter(header.values(found, "content-type")), b"")
    if value == b"application/sdp":
        return Entity(SDP, (), headers, content, raw)
    if sniff(content) == CMS:
        content = coding.unarmoured(content)
    match = _TYPE.match(value)
    rest = value[match.end() :] if match else b""
    if (value and match is None) or (rest and not rest.startswith(b";")):
        report(ExceptionName.MALFORMED, f"Content-Type {text(value[:32])!r}")
    if match is None:
        return Entity(_untyped(content, report), (), headers, content, raw)
    media_type = f"{text(match[1])}/{text(match[2])}".lower()
    parameters = tuple((name, str(value, "latin-1")) for name, value in header.parameters(rest))
    return Entity(media_type, parameters, headers, content, raw)


def _untyped(content: bytes, report: Report) -> str:
    kind = sniff(content)
    if kind is None and sniffing.is_readable(content):
        report(ExceptionName.AMBIGUOUS, "lines that bear keys in content of no type")
        return SDP
    return kind or OCTETS


def _transferred(encodings: list[bytes], content: bytes, report: Report) -> bytes:
    """``content`` with its Content-Transfer-Encoding undone.

    Many stacks do not look at the encoding, so content that is readable as it stands is not decoded.
    """
    names = {encoding.partition(b";")[0].strip().lower() for encoding in encodings}
    if len(names) > 1:
        report(ExceptionName.AMBIGUOUS, "content-transfer-encoding more than once")
    name = next(iter(names), b"")
    if name in (b"", b"7bit", b"8bit", b"binary"):
        return content
    if name not in (b"base64", b"quoted-printable"):
        report(ExceptionName.UNSUPPORTED, f"Content-Transfer-Encoding {text(name[:32])!r}")
        return content
    if sniffing.is_readable(content):
        report(ExceptionName.AMBIGUOUS, f"content said to be {text(name)} that can be read without")
        return content
    return coding.base64(content, report) if name == b"base64" else coding.quoted_printable(content)


def parts(entity: Entity, report: Report) -> tuple[Entity, ...]:
    """The parts of a multipart entity (RFC 2046 §5.1), at most ``MAX_PARTS``: more is a limit reported."""
    content = entity.content
    boundary = _boundary(entity, report)
    pieces, outside, closed = _pieces(content, b"--" + boundary, report) if boundary else ([], content, False)
    if not pieces:
        report(ExceptionName.AMBIGUOUS, "multipart without parts")
        kind = sniff(content)
        return (Entity(kind, (), (), content, content),) if kind else ()
    if sniffing.has_traces(outside) or sniff(outside.strip()) or (b"--" + boundary) in outside:
        report(ExceptionName.AMBIGUOUS, "what may be key material before or after the parts of a multipart")
    if len(pieces) > MAX_PARTS:
        report(ExceptionName.LIMIT, f"multipart of more than {MAX_PARTS} parts")
    elif not closed:
        report(ExceptionName.MALFORMED, "multipart without an end")
    entities = []
    for raw in pieces[:MAX_PARTS]:
        try:
            entities.append(parse_entity(raw, report))
        except SipError as error:
            report(error.name, error.detail)
    return tuple(entities)


def _boundary(entity: Entity, report: Report) -> bytes:
    found = {value.rstrip(): None for name, value in entity.parameters if name == "boundary"}
    candidates = [value.encode("latin-1") for value in found if value]
    if len(candidates) > 1:
        report(ExceptionName.AMBIGUOUS, "multipart with two boundaries")
    content = b"\n" + entity.content
    for candidate in candidates:
        if b"\n--" + candidate in content or b"\r--" + candidate in content:
            return candidate
    if start := _DASHES.search(content):
        report(ExceptionName.AMBIGUOUS, "multipart whose boundary is not the one that it names")
        return start[1].rstrip()
    return candidates[0] if candidates else b""


def _pieces(content: bytes, delimiter: bytes, report: Report) -> tuple[list[bytes], bytes, bool]:
    """The parts, all that stands before and after them, and whether there was a closing delimiter."""
    pieces: list[bytes] = []
    odd: set[str] = set()
    outside, begin, closed = b"", -1, False
    position = content.find(delimiter)
    while position >= 0 and not closed and len(pieces) <= MAX_PARTS:
        after = position + len(delimiter)
        at_line_start = position == 0 or content[position - 1] in b"\r\n"
        if at_line_start and (line_end := _LINE_END.search(content, after)):
            tail = content[after : line_end.start()]
            closing = tail.startswith(b"--")
            if (tail[2:] if closing else tail).strip(b" \t"):
                odd.add("line that starts like a boundary and goes on")
            else:
                if line_end[0] == b"\r":
                    odd.add("bare CR after a boundary")
                if begin < 0:
                    outside = content[:position]
                else:
                    pieces.append(content[begin : max(begin, _before(content, position))])
                begin, closed = line_end.end(), closing
        position = content.find(delimiter, after)
    for detail in odd:
        report(ExceptionName.AMBIGUOUS, detail)
    if closed:
        return pieces, outside + b"\r\n" + content[begin:], True
    return ([*pieces, content[begin:]] if begin >= 0 else []), outside, False


def _before(content: bytes, position: int) -> int:
    """Where the line break ends that stands before ``position``; it belongs to the boundary."""
    if content.endswith(b"\r\n", 0, position):
        return position - 2
    return position - 1


def tunnelled(entity: Entity) -> Message:
    """The message in a ``message/sip`` (RFC 3261 §23.4) or ``message/sipfrag`` (RFC 3893) entity.

    :raises SipError: as ``message.parse``.
    """
    if entity.media_type == "message/sipfrag":
        return message.parse_fragment(entity.content)
    return message.parse(entity.content)
