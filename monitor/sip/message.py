"""SIP messages (RFC 3261 §7), read strictly where a reading matters for keys."""

import re
from typing import NamedTuple

from monitor.exceptions import ExceptionName
from monitor.sip import header, name_addr, start_line
from monitor.sip.header import Fields
from monitor.sip.sniff import is_innocent
from monitor.sip.start_line import BLANK, StartLine, Troubles, text

MAX_VIAS = 256
"""Via values in one message: more hops than Max-Forwards allows."""

_SINGLE = (
    "call-id",
    "content-length",
    "content-type",
    "cseq",
    "from",
    "to",
)
"""Header fields that stand once in a message and that a reading for keys rests on."""

_USUAL_VIA = re.compile(
    rb"SIP/2\.0/([A-Z]++) ([^\s;,:\[\]\"]++)(?>(?::(\d{1,4}+))?)"
    rb"(?>(?:;rport)?);branch=([!#-+\--:<-~]++)(?>(?:;rport)?)"
)
_VIA = re.compile(
    rb"\s*+SIP\s*+/\s*+[^\s/,;]++\s*+/\s*+([^\s;,/]++)\s++(\[[^\]]*+\]|[^\s;,:\[]++)\s*+(?>(?::\s*+(\d++))?)",
    re.IGNORECASE,
)
_VIA_PARAMETER = re.compile(
    rb";\s*+(branch|received|rport)(?=[\s;=]|\Z)\s*+(?>(?:=\s*+([^;\s]*+))?)", re.IGNORECASE
)
_CSEQ = re.compile(rb"(\d++)\s*+(\S*+)(.*)", re.DOTALL)
_MANDATORY = ("via", "from", "to", "call-id", "cseq")
_METHODS = {name.encode(): name for name in start_line.METHODS}
_WORD = 1 << 32
_MISSING = StartLine("", None)


class Via(NamedTuple):
    """One Via header field value (RFC 3261 §20.42)."""

    transport: str
    """Upper case, e.g. ``UDP``."""
    host: str
    """sent-by host, IPv6 brackets removed."""
    port: int | None
    branch: str
    received: str = ""
    """The ``received`` parameter (RFC 3261 §18.2.1), empty where absent."""
    rport: int | None = None


class Message(NamedTuple):
    """One SIP request or response, whole."""

    start_line: str
    method: str
    """Of the request line, or of the CSeq for a response."""
    status: int | None
    """None for a request."""
    headers: tuple[tuple[str, bytes], ...]
    """Name in lower case, compact names expanded; value unfolded and stripped."""
    body: bytes
    """As Content-Length cuts it, before any Content-Encoding is undone."""
    call_id: str
    from_uri: str
    from_tag: str | None
    to_uri: str
    to_tag: str | None
    cseq: int
    vias: tuple[Via, ...]
    """Topmost first."""
    troubles: tuple[tuple[ExceptionName, str], ...] = ()
    """What was odd and did not keep the message from being read, in the order found."""

    def header(self, name: str) -> bytes | None:
        """The value of the first header field ``name`` (lower case), None where there is none."""
        return next((value for key, value in self.headers if key == name), None)


def parse(raw: bytes, *, stream: bool = False) -> Message:
    """Read one message: a datagram's payload, or with ``stream`` what stream framing cut out.

    Whatever is odd and leaves one best reading is told in ``Message.troubles``; a mandatory header field that
    is missing reads as empty (CSeq as 0), so that key material in the body still comes to light.

    :raises SipError: malformed, no start line; limit, too many or too long header fields.
    """
    troubles: Troubles = []
    head, rest, found = header.split(raw.lstrip(BLANK), troubles)
    line, _, section = head.partition(b"\r\n")
    start = start_line.parse(line, troubles)
    if not found:
        troubles.append((ExceptionName.MALFORMED, "no blank line after the header section"))
    if section[:1] in (b" ", b"\t"):
        troubles.append((ExceptionName.AMBIGUOUS, "folded line after the start line"))
        section = section.lstrip(b" \t")
    return _message(text(line), start, header.fields(section, troubles), rest, stream, False, troubles)


def parse_fragment(raw: bytes) -> Message:
    """Read a ``message/sipfrag`` (RFC 3420): start line, header fields and body may each be missing.

    :raises SipError: limit; too many or too long header fields.
    """
    troubles: Troubles = []
    raw = raw.lstrip(BLANK)
    head, rest, _ = header.split(raw, troubles)
    line, _, section = head.partition(b"\r\n")
    start = _MISSING
    if start_line.START.match(line):
        start = start_line.parse(line, troubles)
    else:
        line, section = b"", head
    return _message(text(line), start, header.fields(section, troubles), rest, False, True, troubles)


def declared_length(found: Fields, troubles: Troubles) -> int | None:
    """The Content-Length (RFC 3261 §20.14), None where there is none or no telling: that is trouble."""
    values = header.values(found, "content-length")
    numbers = {_length(value) for value in values}
    if len(numbers) > 1:
        troubles.append((ExceptionName.AMBIGUOUS, "Content-Lengths that differ"))
        return None
    if len(values) > 1:
        troubles.append((ExceptionName.MALFORMED, "Content-Length twice"))
    number = next(iter(numbers), None)
    if values and number is None:
        troubles.append((ExceptionName.AMBIGUOUS, f"Content-Length {text(values[0][:32])!r}"))
    return number


def _length(value: bytes) -> int | None:
    # Above 32 bits some stacks wrap, so there is no telling.
    digits = value.lstrip(b"0")
    if not value.isdigit() or len(digits) > 10:
        return None
    number = int(value) if len(value) <= 10 else int(digits or b"0")
    return number if number < _WORD else None


def _message(
    line: str, start: StartLine, found: Fields, rest: bytes, stream: bool, fragment: bool, troubles: Troubles
) -> Message:
    index = dict(found)
    length, vias = index.get("content-length"), [index["via"]] if "via" in index else []
    if len(index) != len(found):
        _settle_doubles(found, index, troubles)
        length, vias = None, header.values(found, "via")
    if length is not None and len(length) < 10 and length.isdigit():
        cut: int | None = int(length)
    else:
        cut = declared_length(found, troubles)
    body = _body(index, rest, cut, stream, fragment, troubles)
    sender, recipient = index.get("from"), index.get("to")
    call_id, sequence = index.get("call-id"), index.get("cseq")
    if not (vias and sender and recipient and call_id and sequence) and not fragment:
        missing = [name for name in _MANDATORY if not index.get(name)]
        troubles.append((ExceptionName.MALFORMED, f"no {', '.join(missing)}"))
    from_uri, from_tag = name_addr.parse(sender or b"", "from", troubles)
    to_uri, to_tag = name_addr.parse(recipient or b"", "to", troubles)
    method, cseq = start.method, 0
    if sequence:
        cseq, cseq_method = _cseq(sequence, troubles)
        if not method:
            method = cseq_method
        elif cseq_method and method != cseq_method:
            troubles.append((ExceptionName.MALFORMED, f"CSeq of method {cseq_method[:32]!r}"))
    return Message(
        start_line=line,
        method=method,
        status=start.status,
        headers=tuple(found),
        body=body,
        call_id=text(call_id) if call_id else "",
        from_uri=from_uri,
        from_tag=from_tag,
        to_uri=to_uri,
        to_tag=to_tag,
        cseq=cseq,
        vias=_vias(vias, troubles),
        troubles=tuple(troubles),
    )


def _settle_doubles(found: Fields, index: dict[str, bytes], troubles: Troubles) -> None:
    """Make ``index`` give the first of each single field, and tell of the others."""
    names = [name for name, _ in found]
    for name in _SINGLE:
        if names.count(name) > 1:
            values = header.values(found, name)
            index[name] = values[0]
            if name == "content-length":  # declared_length tells
                continue
            same = all(value == values[0] for value in values)
            trouble = ExceptionName.MALFORMED if same else ExceptionName.AMBIGUOUS
            troubles.append((trouble, f"{name} more than once"))


def _body(
    index: dict[str, bytes], rest: bytes, length: int | None, stream: bool, fragment: bool, troubles: Troubles
) -> bytes:
    if "content-length" not in index:
        if stream:
            name = ExceptionName.AMBIGUOUS if "content-type" in index else ExceptionName.MALFORMED
            troubles.append((name, "no Content-Length on a stream"))
        return rest
    if length is None:
        return rest
    if length > len(rest):
        if not fragment:
            troubles.append((ExceptionName.MALFORMED, f"Content-Length {length}, body of {len(rest)} octets"))
        return rest
    # Octets after the body are to be discarded (RFC 3261 §18.3). Some stacks take them for more of it, or for
    # a message of their own: that is of no account only where no reading can show a key.
    surplus = rest[length:].rstrip(BLANK)
    if surplus and not (_plain(index) and is_innocent(rest.rstrip(BLANK))):
        troubles.append((ExceptionName.AMBIGUOUS, f"{len(surplus)} octets after the body"))
    return rest[:length]


def _plain(index: dict[str, bytes]) -> bool:
    """Whether a body would show key material to the eye."""
    return (
        index.get("content-type", b"").strip().lower() in (b"", b"application/sdp")
        and "content-encoding" not in index
        and "content-transfer-encoding" not in index
    )


def _cseq(value: bytes, troubles: Troubles) -> tuple[int, str]:
    digits, _, name = value.partition(b" ")
    if len(digits) < 10 and digits.isdigit() and (known := _METHODS.get(name)):
        return int(digits), known
    match = _CSEQ.fullmatch(value)
    if match is None:
        troubles.append((ExceptionName.MALFORMED, f"CSeq {text(value[:32])!r}"))
        return 0, ""
    digits = match[1].lstrip(b"0")
    number = int(digits or b"0") if len(digits) <= 10 else _WORD
    if number >= _WORD:
        troubles.append((ExceptionName.AMBIGUOUS, "CSeq number of more than 32 bits"))
        number = _WORD - 1
    if not match[2] or match[3].strip():
        troubles.append((ExceptionName.MALFORMED, f"CSeq {text(value[:32])!r}"))
    method = text(match[2])
    upper = method.upper()
    return number, upper if upper in start_line.METHODS else method


def _vias(values: list[bytes], troubles: Troubles) -> tuple[Via, ...]:
    vias: list[Via] = []
    for value in values:
        if b"," in value:
            for one in header.without_quoted(value).split(b",", MAX_VIAS):
                _via(one, vias, troubles)
        else:
            _via(value, vias, troubles)
        if len(vias) > MAX_VIAS:
            troubles.append((ExceptionName.LIMIT, f"more than {MAX_VIAS} Via values"))
            return tuple(vias[:MAX_VIAS])
    return tuple(vias)


def _via(value: bytes, vias: list[Via], troubles: Troubles) -> None:
    if match := _USUAL_VIA.fullmatch(value):
        transport, host, port, branch = match.groups()
        vias.append(
            Via(str(transport, "ascii"), text(host), int(port) if port else None, str(branch, "ascii"))
        )
        return
    match = _VIA.match(value)
    if match is None:
        troubles.append((ExceptionName.MALFORMED, f"Via {text(value[:32])!r}"))
        return
    transport, host, port = match.groups()
    known: dict[bytes, bytes] = {}
    for name, found in _VIA_PARAMETER.findall(value, match.end()):
        name = name.lower()
        if known.setdefault(name, found) != found:
            troubles.append((ExceptionName.AMBIGUOUS, f"two values of {text(name)} in a Via"))
    vias.append(
        Via(
            text(transport).upper(),
            text(host.strip(b"[]")),
            _port(port) if port else None,
            text(known.get(b"branch", b"")),
            text(known.get(b"received", b"").strip(b"[]")),
            _port(known.get(b"rport", b"")),
        )
    )


def _port(digits: bytes) -> int | None:
    if not digits.isdigit() or len(digits) > 5:
        return None
    port = int(digits)
    return port if port <= 65535 else None
