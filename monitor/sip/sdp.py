"""Session descriptions (RFC 8866), read for the key material in them and the media it protects."""

import re
from typing import Literal

from monitor.exceptions import ExceptionName, Report
from monitor.sip import sdes
from monitor.sip.sdes import KeyMaterial
from monitor.wire import address

MAX_LINES = 16384
"""Lines of one session description that are read."""

MAX_KEYS = 256
"""Keys of one session description."""

MAX_HOST = 255
"""Characters of a connection address that are kept, as long as a host's name can be (RFC 1035 §2.3.4)."""

_ODD_LINE = re.compile(rb"[\s\0]*+([amc])[ \t]*+=[ \t]*+(.*)", re.IGNORECASE | re.DOTALL)
_CAPABILITY = re.compile(rb"\s*+acap\s*+:\s*+\d++\s++", re.IGNORECASE)
_ROLE = re.compile(rb"\A(\s*+\d++[ \t]++)(?:client|server|both)[ \t]++", re.IGNORECASE)


def keys(content: bytes, report: Report) -> tuple[KeyMaterial, ...]:
    """All key material of a session description, in the order of its lines.

    Read are ``a=crypto`` (RFC 4568), ``a=key-mgmt`` (RFC 4567), either of them as a potential configuration
    (``a=acap``, RFC 5939), ``a=cryptoscale``, and whatever a lenient receiver might take for one of these.
    A line against its grammar is reported malformed, and its keys are given where they can be told.
    """
    lowered = content.lower()
    return _Description(report).read(content, lowered) if _may_bear_key(lowered) else ()


def _may_bear_key(lowered: bytes) -> bool:
    # Not by "in", which takes the octets for a number first and makes an error message each time.
    find = lowered.find
    return find(b"crypto") >= 0 or find(b"inline") >= 0 or find(b"key-mgmt") >= 0


def _lines(content: bytes) -> list[bytes]:
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n", MAX_LINES)


class _Description:
    """One session description while it is read."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._found: list[tuple[bytes, Literal["sdes", "mikey"], int | None, int]] = []
        self._lines = 0
        self._address: bytes | None = None
        self._media: list[tuple[int, bytes | None]] = []

    def read(self, content: bytes, lowered: bytes) -> tuple[KeyMaterial, ...]:
        lines = _lines(content)
        if len(lines) > MAX_LINES:
            self._report(ExceptionName.LIMIT, f"session description of more than {MAX_LINES} lines")
            lines.pop()
        for line, low in zip(lines, _lines(lowered), strict=False):
            kind = line[:2]
            if kind == b"a=":
                if _may_bear_key(low):
                    self._attribute(line[2:])
            elif kind == b"m=":
                self._media_line(line[2:])
            elif kind == b"c=":
                self._connection(line[2:])
            elif line[1:2] != b"=" or line[:1].isupper():
                self._odd_line(line)
            if len(self._found) > MAX_KEYS:
                self._report(ExceptionName.LIMIT, f"session description with more than {MAX_KEYS} keys")
                break
        endpoints = [self._endpoint(port, own) for port, own in self._media]
        return tuple(
            KeyMaterial(octets, kind, media, line, None if media is None else endpoints[media])
            for octets, kind, media, line in self._found[:MAX_KEYS]
        )

    def _odd_line(self, line: bytes) -> None:
        """A line that strict receivers do not read, and some others do."""
        match = _ODD_LINE.match(line)
        if match is None:
            return
        kind = match[1].lower()
        if kind == b"a":
            if self._attribute(match[2]):
                self._report(ExceptionName.MALFORMED, "key attribute in a line that is written oddly")
        elif kind == b"m":
            self._media_line(match[2])
        else:
            self._connection(match[2])

    def _attribute(self, attribute: bytes) -> bool:
        """Take the keys of an attribute; whether there were any."""
        if attribute.startswith(b"crypto:"):
            return self._take("sdes", sdes.crypto(attribute[7:], self._report))
        if capability := _CAPABILITY.match(attribute):
            # acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:...
            attribute = attribute[capability.end() :]
        name, _, value = attribute.partition(b":")
        name = name.strip().lower()
        if name == b"crypto":
            if not capability:
                self._report(ExceptionName.MALFORMED, "crypto attribute that is written oddly")
            return self._take("sdes", sdes.crypto(value.strip(), self._report))
        if name == b"cryptoscale":
            # cryptoscale:1 client AES_CM_128_HMAC_SHA1_80 inline:...
            return self._take("sdes", sdes.crypto(_ROLE.sub(rb"\1", value.strip(), 1), self._report))
        if name == b"key-mgmt":
            return self._take("mikey", sdes.key_mgmt(value, self._report))
        return self._take("sdes", sdes.inline(attribute, self._report))

    def _take(self, kind: Literal["sdes", "mikey"], found: list[bytes]) -> bool:
        if not found:
            return False
        media = len(self._media) - 1 if self._media else None
        self._found += [(octets, kind, media, self._lines) for octets in found]
        self._lines += 1
        return True

    def _media_line(self, value: bytes) -> None:
        # m=audio 49170/2 RTP/SAVP 0
        words = value.split(None, 2)
        digits = words[1].partition(b"/")[0] if len(words) > 1 else b""
        port = int(digits) if digits.isdigit() and len(digits) <= 5 else 0
        self._media.append((port if port <= 65535 else 0, None))

    def _connection(self, value: bytes) -> None:
        # c=IN IP4 224.2.1.1/127
        words = value.split(None, 3)
        host = words[2].partition(b"/")[0] if len(words) > 2 else b""
        if self._media:
            port, _ = self._media[-1]
            self._media[-1] = (port, host)
        else:
            self._address = host

    def _endpoint(self, port: int, own: bytes | None) -> tuple[str, int] | None:
        host = str((self._address if own is None else own) or b"", "ascii", "backslashreplace")
        if not port or not host:
            return None
        try:
            packed = address.pack(host)
        except ValueError:
            return host.lower()[:MAX_HOST], port
        return (address.text(packed), port) if any(packed) else None
