"""Header sections (RFC 3261 §7.3): line ends, folding, names, and the parameters within values."""

import re
from collections.abc import Iterator

from monitor.exceptions import ExceptionName
from monitor.sip.error import SipError
from monitor.sip.start_line import Troubles

MAX_HEADER_SECTION = 128 * 1024
"""Octets from the start line to the blank line; more than any datagram can hold."""

MAX_HEADERS = 512
"""Header field lines in one header section, folded lines counted too."""

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "n": "identity-info",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
"""The compact names of the IANA registry."""

Fields = list[tuple[str, bytes]]
"""Name in lower case, compact names expanded; value unfolded and stripped."""


_USUAL = (
    "Accept Alert-Info Allow Allow-Events Authorization Call-ID Call-Info Contact Content-Disposition "
    "Content-Encoding Content-Length Content-Transfer-Encoding Content-Type CSeq Date Event Expires From "
    "Identity Max-Forwards MIME-Version Min-SE P-Asserted-Identity P-Early-Media P-Preferred-Identity "
    "Privacy Proxy-Authorization RAck Reason Record-Route Remote-Party-ID Require Route RSeq Server "
    "Session-Expires Subject Subscription-State Supported Timestamp To User-Agent Via WWW-Authenticate"
)
_NAMES = {spelling.encode(): name.lower() for name in _USUAL.split() for spelling in (name, name.lower())}
_NAMES |= {spelling.encode(): name for key, name in COMPACT.items() for spelling in (key, key.upper())}

_BLANK_LINE = re.compile(rb"\n\r?\n")
_BLANK_LINE_CR = re.compile(rb"\r\r(?!\n)")
_BARE_CR = re.compile(rb"\r(?!\n)")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_FOLD = re.compile(rb"\r\n[ \t]++")
_BLANK_FOLD = re.compile(rb"\r\n[ \t]++(?=\r\n|\Z)")
_NUL = re.compile(rb"(?<!\\)\0")

_PARAMETER = re.compile(rb";\s*+([^\s;=\"]*+)\s*+(?:=\s*+(\"(?>(?:[^\"\\]|\\.)*)\"?|[^;\"]*+))?", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
QUOTED = re.compile(rb"\"(?>(?:[^\"\\]|\\.)*)(?:(\")|\\?\Z)", re.DOTALL)
"""A quoted string (RFC 3261 §25.1). One without an end goes to the end of the value and has no group: its end
is not to be looked for again from each quote in it."""


def split(octets: bytes, troubles: Troubles) -> tuple[bytes, bytes, bool]:
    """Part a message at its blank line into header section, body, and whether there was a blank line.

    Line ends may be CRLF or LF; those of the section given back are CRLF. Where stacks disagree on what
    ends a line or the section, that is trouble.

    :raises SipError: limit; the header section is longer than ``MAX_HEADER_SECTION``.
    """
    head, blank, body = octets.partition(b"\r\n\r\n")
    pairs = head.count(b"\r\n")
    found = bool(blank)
    if pairs != head.count(b"\n") or pairs != head.count(b"\r") or not found:
        head, body, found = _split_odd(octets, troubles)
    if len(head) > MAX_HEADER_SECTION:
        raise SipError(ExceptionName.LIMIT, f"header section of {len(head)} octets")
    if b"\0" in head and _NUL.search(head):
        troubles.append((ExceptionName.AMBIGUOUS, "NUL in the header section"))
    return head, body, found


def _split_odd(octets: bytes, troubles: Troubles) -> tuple[bytes, bytes, bool]:
    end = _BLANK_LINE.search(octets)
    if end is None and b"\n" not in octets:
        end = _BLANK_LINE_CR.search(octets)
    head, body = (octets[: end.start()], octets[end.end() :]) if end else (octets, b"")
    head = head.removesuffix(b"\r")
    if _BARE_CR.search(head):
        troubles.append((ExceptionName.AMBIGUOUS, "bare CR in the header section"))
    elif end and b"\r\n" in head and octets.find(b"\r\n\r\n") > end.start():
        troubles.append((ExceptionName.AMBIGUOUS, "line ends differ, two places may end the header section"))
    return _LINE_END.sub(b"\r\n", head), body, end is not None


def fields(section: bytes, troubles: Troubles) -> Fields:
    """The header fields of a section with CRLF line ends, start line excluded.

    :raises SipError: limit; it has more than ``MAX_HEADERS`` lines.
    """
    if section.count(b"\n") >= MAX_HEADERS:
        raise SipError(ExceptionName.LIMIT, f"more than {MAX_HEADERS} header lines")
    found: Fields = []
    colonless = False
    names = _NAMES
    for line in section.split(b"\r\n"):
        raw, colon, value = line.partition(b":")
        name = names.get(raw)
        if name is None:
            if line[:1] in (b" ", b"\t"):
                return fields(_unfolded(section, troubles), troubles)
            name = _name(raw)
        if colon:
            found.append((name, value.strip()))
        elif line:
            colonless = True
    if colonless:
        troubles.append((ExceptionName.MALFORMED, "header line without a colon"))
    return found


def _unfolded(section: bytes, troubles: Troubles) -> bytes:
    if _BLANK_FOLD.search(section):
        troubles.append((ExceptionName.AMBIGUOUS, "line of blanks in the header section"))
    return _FOLD.sub(b" ", section.lstrip(b" \t"))


def _name(raw: bytes) -> str:
    name = str(raw, "utf-8", "backslashreplace").strip().lower()
    return COMPACT.get(name, name)


def values(found: Fields, name: str) -> list[bytes]:
    """The values of all fields ``name`` (lower case), in order."""
    return [value for key, value in found if key == name]


def parameters(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """The parameters in ``;name=value;name="quoted value";flag``: names in lower case, quotes undone."""
    for match in _PARAMETER.finditer(octets):
        if name := match[1]:
            yield str(name, "utf-8", "backslashreplace").lower(), unquoted((match[2] or b"").strip())


def unquoted(value: bytes) -> bytes:
    """A quoted string (RFC 3261 §25.1) as what it means; any other value as it is."""
    if not value.startswith(b'"'):
        return value
    inner = value[1:-1] if len(value) > 1 and value.endswith(b'"') else value[1:]
    return _ESCAPE.sub(rb"\1", inner) if b"\\" in inner else inner


def without_quoted(value: bytes) -> bytes:
    """``value`` with each quoted string replaced by an empty one."""
    return QUOTED.sub(lambda found: b'""' if found[1] else found[0], value) if b'"' in value else value
