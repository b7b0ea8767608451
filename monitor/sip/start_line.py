"""Start lines (RFC 3261 §7.1, §7.2): what tells SIP from everything else on the wire."""

import re
from typing import NamedTuple

from monitor.exceptions import ExceptionName
from monitor.sip.error import SipError

Troubles = list[tuple[ExceptionName, str]]
"""What was odd so far, in the order found."""

_REGISTERED = (
    "INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK UPDATE INFO SUBSCRIBE NOTIFY REFER MESSAGE PUBLISH"
)
METHODS = frozenset(_REGISTERED.split())
"""The registered methods. Some stacks compare them without regard to case."""

_TOKEN = rb"[A-Za-z0-9\-.!%*_+`'~]{1,256}+"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([^\s<>\"]++) SIP/2\.0")
_RESPONSE = re.compile(rb"SIP/2\.0 (\d{3})(?: .*)?", re.DOTALL)

_LENIENT_RESPONSE = re.compile(rb"SIP[ \t]*/[ \t]*([\d.]*)[ \t]*(\d*)", re.IGNORECASE)
_LENIENT_REQUEST = re.compile(
    rb"(" + _TOKEN + rb")[ \t]++(\S++(?=[ \t]++SIP)|<?[a-z][a-z0-9+.\-]*+:[^\r\n]*?(?=[ \t]SIP))[ \t]++"
    rb"SIP[ \t]*+/[ \t]*+([\d.]++)[ \t]*+(.*)",
    re.IGNORECASE | re.DOTALL,
)
_VERSIONLESS = re.compile(rb"(" + _TOKEN + rb")[ \t]++(<?sips?:\S++)[ \t]*+(.*)", re.IGNORECASE | re.DOTALL)

START = re.compile(
    rb"(?:SIP[ \t]*+/[ \t]*+\d"
    rb"|" + _TOKEN + rb"[ \t]++(?:"
    rb"\S++[ \t]++SIP[ \t]*+/[ \t]*+\d"
    rb"|<?[a-z][a-z0-9+.\-]*+:[^\r\n]*?[ \t]SIP[ \t]*+/[ \t]*+\d"
    rb"|<?sips?:\S++[ \t]*+(?:[\r\n]|\Z)))",
    re.IGNORECASE,
)
"""Matches where a line starts that some stack would take for the first of a SIP message."""

UNFINISHED = re.compile(rb"SIP[ \t]*+(?:/|\Z)|" + _TOKEN + rb"(?:[ \t]|\Z)", re.IGNORECASE)
"""Matches where what there is of a line may become a start line."""

BLANK = b"\r\n\t \0"
"""Octets that stacks skip before a start line: keep-alives (RFC 5626 §3.5.1) and NAT pings."""

_STATUS_DIGITS = 10


class StartLine(NamedTuple):
    """What a start line says."""

    method: str
    """Empty for a response."""
    status: int | None
    """None for a request."""


def text(octets: bytes) -> str:
    """Octets for people and for comparison: UTF-8, every other octet as ``\\xNN``."""
    return str(octets, "utf-8", "backslashreplace")


def parse(line: bytes, troubles: Troubles) -> StartLine:
    """Read a start line without its line end; what is odd in it is added to ``troubles``.

    :raises SipError: malformed; it is none.
    """
    if match := _REQUEST.fullmatch(line):
        return StartLine(_method(text(match[1]), troubles), None)
    if match := _RESPONSE.fullmatch(line):
        return StartLine("", _status(int(match[1]), troubles))
    if match := _LENIENT_RESPONSE.match(line):
        if match[1] != b"2.0":
            troubles.append((ExceptionName.MALFORMED, f"SIP version {text(match[1][:16])!r}"))
        if not match[2] or len(match[2]) > _STATUS_DIGITS:
            raise SipError(ExceptionName.MALFORMED, f"status code {text(match[2][:16])!r}")
        return StartLine("", _status(int(match[2]), troubles))
    if match := _LENIENT_REQUEST.match(line):
        if match[3] != b"2.0":
            troubles.append((ExceptionName.MALFORMED, f"SIP version {text(match[3][:16])!r}"))
        elif match[4] or _REQUEST.fullmatch(line.upper()) is None:
            troubles.append((ExceptionName.MALFORMED, "request line with stray characters"))
        return StartLine(_method(text(match[1]), troubles), None)
    if match := _VERSIONLESS.match(line):
        troubles.append((ExceptionName.MALFORMED, "request line without a SIP version"))
        return StartLine(_method(text(match[1]), troubles), None)
    raise SipError(ExceptionName.MALFORMED, "no SIP start line")


def _status(status: int, troubles: Troubles) -> int:
    if not 100 <= status <= 699:
        troubles.append((ExceptionName.MALFORMED, f"status code {status}"))
    return status


def _method(method: str, troubles: Troubles) -> str:
    if method not in METHODS and method.upper() in METHODS:
        troubles.append((ExceptionName.AMBIGUOUS, f"case of the method {method!r} matters to some"))
        return method.upper()
    return method
