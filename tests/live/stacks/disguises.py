"""Recorded messages in other clothes: what an attacker makes of one, without the keys of anybody."""

import base64
import gzip
import random
import re
from collections.abc import Callable

from recording import Message

from monitor.simulate import cms

Disguise = Callable[[Message, random.Random], Message]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
COMPACT = {
    "via": "v", "from": "f", "to": "t", "call-id": "i", "contact": "m", "content-type": "c",
    "content-encoding": "e", "supported": "k",
}  # fmt: skip
SDP = ("Content-Type", "application/sdp")
_CRYPTO = re.compile(rb"a=crypto:[^\r\n]*\r\n")


def verbatim(message: Message, rng: random.Random) -> Message:
    """As it was recorded."""
    return message


def new_call(message: Message, rng: random.Random) -> Message:
    """Call-ID, tags and branch of a call of the attacker's own."""
    request = (
        message.having("Call-ID", f"{rng.getrandbits(64):x}@charles")
        .having("From", f"<sip:charles@example.org>;tag={rng.getrandbits(32):x}")
        .having("CSeq", f"1 {message.get('CSeq').split()[1]}")
    )
    if message.is_request:
        request = request.having("To", message.get("To").partition(";tag=")[0])
    return _new_branch(request, rng)


def _new_branch(message: Message, rng: random.Random) -> Message:
    branch = f"branch=z9hG4bK{rng.getrandbits(64):x}"
    return message.having("Via", re.sub(r"branch=[^;,\s]+", branch, message.get("Via")))


def next_number(message: Message, rng: random.Random) -> Message:
    """The next CSeq number of the recorded dialog, in a transaction of its own."""
    number, method = message.get("CSeq").split()
    return _new_branch(message.having("CSeq", f"{int(number) + 1} {method}"), rng)


def compact(message: Message, rng: random.Random) -> Message:
    """Compact names of header fields."""
    headers = tuple((COMPACT.get(name.lower(), name), value) for name, value in message.headers)
    return Message(message.start_line, headers, message.body)


def other_method(message: Message, rng: random.Random) -> Message:
    """The body in a MESSAGE."""
    number = message.get("CSeq").split()[0]
    line = message.start_line.replace("INVITE", "MESSAGE", 1)
    return Message(line, message.headers, message.body).having("CSeq", f"{number} MESSAGE")


def as_answer(message: Message, rng: random.Random) -> Message:
    """The body in a 200 to an INVITE that nobody sent."""
    kept = [field for field in message.headers if field[0].lower() not in ("max-forwards", "route")]
    answer = Message("SIP/2.0 200 OK", tuple(kept), message.body)
    return answer.having("To", f"{message.get('To')};tag={rng.getrandbits(32):x}")


def in_multipart(message: Message, rng: random.Random) -> Message:
    """The body as the second part of a multipart."""
    entity = "".join(f"{name}: {value}\r\n" for name, value in message.entity)
    note = b"--b\r\nContent-Type: text/plain\r\n\r\nsee below\r\n"
    part = b"--b\r\n%b\r\n%b\r\n--b--\r\n" % (entity.encode(), message.body)
    return message.bearing(note + part, ("Content-Type", "multipart/mixed; boundary=b"))


def zipped(message: Message, rng: random.Random) -> Message:
    """The body under a Content-Encoding."""
    return message.bearing(gzip.compress(message.body), SDP, ("Content-Encoding", "gzip"))


def other_padding(message: Message, rng: random.Random) -> Message:
    """The base64 of the key padded where it need not be, not where it should, with other loose bits."""

    def repad(match: re.Match[bytes]) -> bytes:
        text = match[1].decode()
        bare = text.rstrip("=")
        if text == bare:
            return f"inline:{text}=".encode()
        loose = 1 if len(bare) % 4 == 3 else 7
        return f"inline:{bare[:-1]}{LETTERS[LETTERS.index(bare[-1]) ^ loose]}".encode()

    return message.bearing(re.sub(rb"inline:([A-Za-z0-9+/=]+)", repad, message.body), SDP)


def other_blanks(message: Message, rng: random.Random) -> Message:
    """More blanks in the crypto line, and line feeds alone."""
    body = message.body.replace(b" inline:", b" \t inline:").replace(b"\r\n", b"\n")
    return message.bearing(body, SDP)


def other_lifetime(message: Message, rng: random.Random) -> Message:
    """A lifetime and a master key identifier behind the key."""
    return message.bearing(re.sub(rb"(inline:[^|\s]+)[^\s]*", rb"\1|2^20|1:4", message.body), SDP)


def at_session_level(message: Message, rng: random.Random) -> Message:
    """The key above all media."""
    keys = b"".join(_CRYPTO.findall(message.body))
    body = _CRYPTO.sub(b"", message.body).replace(b"t=0 0\r\n", b"t=0 0\r\n" + keys)
    return message.bearing(body, SDP)


def at_other_media(message: Message, rng: random.Random) -> Message:
    """The key at a stream of its own, behind one with a fresh key."""
    keys = b"".join(_CRYPTO.findall(message.body))
    fresh = b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + base64.b64encode(rng.randbytes(30)) + b"\r\n"
    body = _CRYPTO.sub(b"", message.body) + fresh + b"m=video 40002 RTP/SAVP 99\r\n" + keys
    return message.bearing(body + b"a=rtpmap:99 H264/90000\r\n", SDP)


def _of_the_blob(change: Callable[[bytes, random.Random], bytes]) -> Disguise:
    def disguise(message: Message, rng: random.Random) -> Message:
        text = base64.encodebytes(change(base64.b64decode(message.body), rng))
        return message.bearing(text, *message.entity)

    disguise.__name__ = change.__name__
    return disguise


def folded(blob: bytes, rng: random.Random) -> bytes:
    """The same octets, whose base64 gets lines."""
    return blob


def of_a_call(disguise: Disguise) -> Disguise:
    """In a call of the attacker's own."""

    def both(message: Message, rng: random.Random) -> Message:
        return disguise(new_call(message, rng), rng)

    both.__name__ = disguise.__name__
    return both


EVERY = (verbatim, next_number, *map(of_a_call, (verbatim, compact, other_method, as_answer, in_multipart)))
PLAIN = (
    *EVERY,
    *map(
        of_a_call,
        (zipped, other_padding, other_blanks, other_lifetime, at_session_level, at_other_media),
    ),
)
SEALED = (
    *EVERY,
    *(
        of_a_call(_of_the_blob(change))
        for change in (folded, cms.indefinite, cms.with_attribute, cms.with_recipient, cms.flipped_block)
    ),
)
