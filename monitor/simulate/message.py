"""SIP messages as they go from one party to the next (RFC 3261)."""

import hashlib
import random
import re
from dataclasses import dataclass, replace

from monitor.simulate.body import Body
from monitor.simulate.party import Party
from monitor.wire.flow import Transport

PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    401: "Unauthorized",
    407: "Proxy Authentication Required",
    422: "Session Interval Too Small",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
}
COMPACT = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Contact": "m", "Content-Type": "c"}
"""Compact names (RFC 3261 §7.3.3) of the fields that a message here may have."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response, and the hop that it takes."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    source: Party
    destination: Party
    body: Body | None = None
    transport: Transport = "udp"

    def octets(self) -> bytes:
        """The message as it goes over the wire, Content-Length last."""
        fields = [*self.headers, *(self.body.headers if self.body else ())]
        content = self.body.content if self.body else b""
        text = "".join(f"{name}: {value}\r\n" for name, value in (*fields, ("Content-Length", len(content))))
        return f"{self.start_line}\r\n{text}\r\n".encode() + content

    @property
    def method(self) -> str:
        """Of the request, or of the request that this answers."""
        return self.header("CSeq").split()[1]

    @property
    def status(self) -> int | None:
        """Of a response, None for a request."""
        return int(self.start_line.split()[1]) if self.start_line.startswith("SIP/2.0 ") else None

    def header(self, name: str) -> str:
        """The value of the first header field ``name``.

        :raises StopIteration: there is none.
        """
        return next(value for field, value in self.headers if field == name)

    def having(self, name: str, value: str) -> "Message":
        """The message with another value in the first header field ``name``, which is added where missing."""
        headers = list(self.headers)
        for index, (field, _) in enumerate(headers):
            if field == name:
                headers[index] = (name, value)
                break
        else:
            headers.append((name, value))
        return replace(self, headers=tuple(headers))

    def without_first(self, name: str) -> "Message":
        """The message without the first header field ``name``."""
        index = next(index for index, (field, _) in enumerate(self.headers) if field == name)
        return replace(self, headers=self.headers[:index] + self.headers[index + 1 :])

    def bearing(self, body: Body | None) -> "Message":
        """The message with another body."""
        return replace(self, body=body)

    def by(self, source: Party, destination: Party | None = None) -> "Message":
        """The same octets, sent by somebody else, or to somebody else."""
        return replace(self, source=source, destination=destination or self.destination)

    def compact(self) -> "Message":
        """The message with compact header names."""
        return replace(self, headers=tuple((COMPACT.get(name, name), value) for name, value in self.headers))


def branch(rng: random.Random) -> str:
    """A fresh transaction identifier (RFC 3261 §8.1.1.7)."""
    return f"z9hG4bK{rng.getrandbits(64):016x}"


def tag(rng: random.Random) -> str:
    """A fresh tag (RFC 3261 §19.3)."""
    return f"{rng.getrandbits(48):012x}"


def via(party: Party, transport: str, rng: random.Random) -> str:
    """A Via value of ``party`` with a fresh branch."""
    return f"SIP/2.0/{transport.upper()} {party.sent_by};rport;branch={branch(rng)}"


def disguised(message: Message, rng: random.Random) -> Message:
    """The request under a new Call-ID, a new From tag, no To tag and a new branch: a call of its own."""
    fresh = (
        message.having("Call-ID", f"{rng.getrandbits(96):024x}@{message.source.address}")
        .having("From", re.sub(r";tag=\w+", f";tag={tag(rng)}", message.header("From")))
        .having("To", re.sub(r";tag=\w+", "", message.header("To")))
    )
    return rebranched(fresh, rng)


def rebranched(message: Message, rng: random.Random) -> Message:
    """The message with another branch in its top Via: another transaction."""
    return message.having("Via", re.sub(r"branch=\w+", f"branch={branch(rng)}", message.header("Via")))


def over_tcp(message: Message) -> Message:
    """The message as it goes over TCP."""
    top = message.header("Via").replace("/UDP", "/TCP", 1)
    return replace(message.having("Via", top), transport="tcp")


def challenge(rng: random.Random) -> str:
    """A WWW-Authenticate or Proxy-Authenticate value (RFC 3261 §22, RFC 2617)."""
    return f'Digest realm="example.org", nonce="{rng.getrandbits(128):032x}", algorithm=MD5, qop="auth"'


def credentials(challenge: str, user: str, method: str, uri: str, rng: random.Random) -> str:
    """The Authorization value that answers the challenge; the password is ``secret`` (RFC 2617 §3.2.2)."""
    nonce = challenge.split('nonce="')[1].split('"')[0]
    cnonce = f"{rng.getrandbits(32):08x}"
    first, second = _md5(f"{user}:example.org:secret"), _md5(f"{method}:{uri}")
    response = _md5(f"{first}:{nonce}:00000001:{cnonce}:auth:{second}")
    return (
        f'Digest username="{user}", realm="example.org", nonce="{nonce}", uri="{uri}", '
        f'response="{response}", algorithm=MD5, cnonce="{cnonce}", qop=auth, nc=00000001'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
