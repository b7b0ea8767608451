"""The final response to a denied request (RFC 3261 §8.2.6), as a stateless server of ours gives it."""

import hashlib
import re
from collections import OrderedDict
from dataclasses import dataclass

from monitor.sip.message import Message
from monitor.wire import address
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

RATE, BURST = 100, 200
"""Responses a second, and at once, in all."""
SOURCE_RATE, SOURCE_BURST = 5, 10
"""The same to one source: an IPv4 address, or an IPv6 network of 64 bits."""
MAX_SOURCES = 4096
"""Sources whose rate is remembered; the longest silent go first, and the rate in all holds for them still."""
REFUSED = "refused"
"""What is told of an exception: its name could tell whether a private-key operation worked."""

_DEFAULT_PORT = 5060
_FIRST_VALUE = re.compile(rb"(?>(?:\"(?>(?:[^\"\\]|\\.)*)\"|[^,\"])+)", re.DOTALL)
_RECEIVED = re.compile(rb";[ \t]*+received[ \t]*+=[^;,]*+", re.IGNORECASE)
_RPORT = re.compile(rb";[ \t]*+rport(?=[ \t;]|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Response:
    """A datagram to be sent; addresses are packed."""

    octets: bytes
    source: tuple[bytes, int]
    """Where the request went to, and so where its sender looks for an answer from."""
    destination: tuple[bytes, int]


def respond(message: Message, size: int, flow: Flow, reason: str, secret: bytes) -> Response | None:
    """A ``403 Forbidden`` to a request, with the Reason (RFC 3326) for it.

    It goes to the address that the request came from and to no other (``maddr`` is not heeded), and is never
    larger than the request, so that a forged source brings nobody more than the forger sent.

    :param size: octets of the request.
    :param reason: of the ruling, empty where there was none.
    :param secret: that the To tag is made with: the same request gets the same tag (RFC 3261 §8.2.7).
    :returns: None for what has no answer (responses, ACK) or gets none (oddly formed, too short).
    """
    if message.status is not None or message.method == "ACK" or message.troubles or not message.vias:
        return None
    vias = [value for name, value in message.headers if name == "via"]
    first = _FIRST_VALUE.match(vias[0])
    to = message.header("to") or b""
    if first is None:
        return None
    top = message.vias[0]
    rport = _RPORT.search(first[0])
    vias[0] = _received(first[0], top.host, rport is not None, flow) + vias[0][first.end() :]
    if message.to_tag is None:
        seed = "\0".join((message.call_id, message.from_tag or "", top.branch, str(message.cseq)))
        to += b";tag=" + hashlib.blake2b(seed.encode(), digest_size=8, key=secret).hexdigest().encode()
    fields = [
        *((b"Via", value) for value in vias),
        (b"From", message.header("from") or b""),
        (b"To", to),
        (b"Call-ID", message.header("call-id") or b""),
        (b"CSeq", message.header("cseq") or b""),
        (b"Reason", b'SIP;cause=403;text="%s"' % (reason or REFUSED).encode()),
        (b"Content-Length", b"0"),
    ]
    lines = [b"SIP/2.0 403 Forbidden", *(name + b": " + value for name, value in fields), b"", b""]
    octets = b"\r\n".join(lines)
    if len(octets) > size or octets.count(b"\n") != len(lines) - 1 or octets.count(b"\r") != len(lines) - 1:
        return None
    port = flow.source_port if rport else top.port or _DEFAULT_PORT
    return Response(octets, (flow.destination, flow.destination_port), (flow.source, port))


def _received(via: bytes, sent_by: str, rport: bool, flow: Flow) -> bytes:
    """The topmost Via as a server completes it on receipt (RFC 3261 §18.2.1, RFC 3581 §4)."""
    via = _RECEIVED.sub(b"", via).rstrip()
    if rport:
        via = _RPORT.sub(b";rport=%d" % flow.source_port, via)
    if rport or not _names(sent_by, flow.source):
        via += b";received=" + address.text(flow.source).encode()
    return via


def _names(host: str, packed: bytes) -> bool:
    try:
        return address.pack(host) == packed
    except ValueError:
        return False


class Bucket:
    """A token bucket. Times are in nanoseconds and do not go back."""

    __slots__ = ("_burst", "_rate", "_time", "_tokens")

    def __init__(self, rate: int, burst: int, time: int) -> None:
        self._rate, self._burst, self._time = rate, burst, time
        self._tokens = float(burst)

    def ready(self, time: int) -> bool:
        """Whether there is a token."""
        passed = max(0, time - self._time)
        self._time = max(time, self._time)
        self._tokens = min(self._burst, self._tokens + passed * self._rate / NANOSECONDS)
        return self._tokens >= 1

    def take(self) -> None:
        """Use the token that ``ready`` found."""
        self._tokens -= 1


class Limiter:
    """How many responses go out, to each source and in all."""

    def __init__(self) -> None:
        self._all = Bucket(RATE, BURST, 0)
        self._sources: OrderedDict[bytes, Bucket] = OrderedDict()

    def allows(self, source: bytes, time: int) -> bool:
        """Whether a response may go to ``source`` (packed) now; if so it is counted."""
        key = source if len(source) == 4 else source[:8]
        bucket = self._sources.pop(key, None) or Bucket(SOURCE_RATE, SOURCE_BURST, time)
        self._sources[key] = bucket
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        allowed = bucket.ready(time) and self._all.ready(time)
        if allowed:
            bucket.take()
            self._all.take()
        return allowed
