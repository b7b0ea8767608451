"""Where SIP messages begin and end: in datagrams by content on any port, in streams by Content-Length."""

import re
from dataclasses import dataclass

from monitor.exceptions import ExceptionName
from monitor.sip import header, message
from monitor.sip.error import SipError
from monitor.sip.header import MAX_HEADER_SECTION
from monitor.sip.sniff import has_traces, sniff
from monitor.sip.start_line import BLANK, START, UNFINISHED, Troubles, text

MAX_MESSAGE = 512 * 1024
"""Octets of one message on a stream, header section and body."""

FIRST_OCTETS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~" + BLANK)
"""Octets that a payload may begin with which some stack takes for SIP."""
_START = re.compile(rb"[\r\n\t \0]*+" + START.pattern, re.IGNORECASE)
_LATER_START = re.compile(rb"\n[\r\t \0]*+(?=" + START.pattern + rb")", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\n\r?\n")


def looks_like_sip(payload: bytes) -> bool:
    """Whether some stack would take a datagram's payload for SIP."""
    return bool(payload) and payload[0] in FIRST_OCTETS and _START.match(payload) is not None


def is_keepalive(payload: bytes) -> bool:
    """Whether a datagram is a ping or pong that holds nothing: CRLFs (RFC 5626 §3.5.1), NULs, blanks."""
    return not payload.strip(BLANK)


@dataclass(frozen=True, slots=True)
class Framed:
    """One message cut out of a stream, keep-alives before it left out."""

    raw: bytes
    """For ``message.parse`` with ``stream=True``."""
    start: int
    """Offset of its first octet in the stream."""
    end: int
    """Offset just after its last octet."""


@dataclass(frozen=True, slots=True)
class Unframed:
    """Octets of a stream that speaks SIP in which no message could be found."""

    error: SipError
    start: int
    end: int


def _may_bear_key(garbage: bytes) -> bool:
    return has_traces(garbage) or sniff(garbage) is not None


class StreamFramer:
    """Cuts the octets of one direction of a TCP connection into messages (RFC 3261 §18.3).

    After a gap or garbage it goes on at the next start line. Streams that do not speak SIP leave at most one
    unfinished line behind. What is held never exceeds ``MAX_MESSAGE`` and the octets of one feed.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._base = 0
        self._scanned = 0
        """Octets held that are known to be without the line end or blank line looked for."""
        self.in_message = False
        """Whether what is held begins with a start line."""
        self.need = 0
        """Length of the message at the front, 0 while its header section is not whole."""
        self._in_line = False
        """Whether the next octet goes on a line of garbage."""
        self._lost = False
        self.speaks_sip = False
        """Whether a start line was seen."""
        self._told: ExceptionName | None = None
        """What was said of the garbage that goes on."""

    @property
    def pending(self) -> int:
        """Octets held of what is, or may be, a message that is not complete yet."""
        return len(self._held)

    @property
    def start(self) -> int:
        """Stream offset of the first octet held, or of the next one expected."""
        return self._base

    @property
    def method(self) -> str:
        """Of the request that is not whole yet; empty for a response, and where there is none."""
        word = bytes(self._held[:257]).partition(b" ")[0] if self.in_message else b""
        return "" if b"/" in word else text(word)

    def feed(self, data: bytes, offset: int, gap: bool = False) -> list[Framed | Unframed]:
        """Take the next octets in and give what they complete.

        :param offset: stream offset of the first octet of ``data``.
        :param gap: octets before ``offset`` are lost for good.
        """
        done: list[Framed | Unframed] = []
        expected = self._base + len(self._held)
        if gap or offset > expected:
            self._lose(offset, done)
        elif offset < expected:
            data = data[expected - offset :]
        self._held += data
        while self._held and self._step(done):
            pass
        return done

    def _lose(self, offset: int, done: list[Framed | Unframed]) -> None:
        if self.in_message:
            error = SipError(ExceptionName.TRUNCATED, "message with a gap in the stream")
            done.append(Unframed(error, self._base, self._base + len(self._held)))
        self._drop(len(self._held))
        self._base = offset
        self._in_line = False
        self._lost = True
        self._told = None

    def _step(self, done: list[Framed | Unframed]) -> bool:
        """Make one move; False where that takes more octets."""
        if not self.in_message:
            return self._seek(done)
        if not self.need:
            return self._measure(done)
        if len(self._held) < self.need:
            return False
        done.append(Framed(bytes(self._held[: self.need]), self._base, self._base + self.need))
        self._drop(self.need)
        return True

    def _seek(self, done: list[Framed | Unframed]) -> bool:
        """Come to the next start line: skip keep-alives, and garbage if need be."""
        held = self._held
        if not self._in_line and held[0] in BLANK:
            self._drop(len(held) - len(held.lstrip(BLANK)))
            return True
        line_end = held.find(b"\n", self._scanned)
        if line_end < 0 and not self._in_line and len(held) <= MAX_HEADER_SECTION and UNFINISHED.match(held):
            self._scanned = len(held)
            return False
        if not self._in_line and 0 <= line_end <= MAX_HEADER_SECTION and START.match(held):
            self.in_message = self.speaks_sip = True
            self._lost = False
            self._told = None
            self._scanned = 0
            return True
        self._in_line = line_end < 0
        self._pass_by(self._garbage(line_end), done)
        return True

    def _garbage(self, line_end: int) -> int:
        """How many octets at the front are garbage, given the end of their first line."""
        held = self._held
        if line_end < 0:
            return len(held)
        later = _LATER_START.search(held, line_end)
        return later.end() if later else held.rfind(b"\n") + 1

    def _pass_by(self, length: int, done: list[Framed | Unframed]) -> None:
        """Drop garbage; on a stream that speaks SIP say so, once, and once more where a key may be in it."""
        if self.speaks_sip and self._told in (None, ExceptionName.MALFORMED):
            name, detail = ExceptionName.MALFORMED, "no start line where a message should begin"
            if self._lost:
                name, detail = ExceptionName.TRUNCATED, "message without its start, after a gap in the stream"
            elif _may_bear_key(bytes(self._held[:length])):
                name, detail = ExceptionName.AMBIGUOUS, "what may be key material outside of any message"
            if name is not self._told:
                done.append(Unframed(SipError(name, detail), self._base, self._base + length))
                self._told = name
        self._drop(length)

    def _measure(self, done: list[Framed | Unframed]) -> bool:
        """Learn from the header section how long the message is."""
        blank = _BLANK_LINE.search(self._held, max(self._scanned - 2, 0))
        end = blank.end() if blank else len(self._held)
        if end > MAX_HEADER_SECTION:
            self._fail(SipError(ExceptionName.LIMIT, "header section too long"), MAX_HEADER_SECTION, done)
            return True
        if blank is None:
            self._scanned = end
            return False
        troubles: Troubles = []
        try:
            head, _, _ = header.split(bytes(self._held[:end]), troubles)
            found = header.fields(head.partition(b"\r\n")[2], troubles)
        except SipError as error:
            self._fail(error, end, done)
            return True
        need = end + (message.declared_length(found, troubles) or 0)
        if need > MAX_MESSAGE:
            self._fail(SipError(ExceptionName.LIMIT, f"message of {need} octets"), end, done)
            return True
        self.need = need
        return True

    def _fail(self, error: SipError, length: int, done: list[Framed | Unframed]) -> None:
        done.append(Unframed(error, self._base, self._base + length))
        self._told = error.name
        self._drop(length)

    def _drop(self, length: int) -> None:
        del self._held[:length]
        self._base += length
        self.in_message = False
        self._scanned = self.need = 0
