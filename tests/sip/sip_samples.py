"""Messages and bodies that the tests of this folder share."""

from monitor.exceptions import ExceptionName

KEY_ONE = b"WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
KEY_TWO = b"MTIzNDU2Nzg5QUJDREUwMTIzNDU2Nzg5QUJjZGVm"
OCTETS_ONE = b"YS___semctl () {\t220;}\n}\nunles"
OCTETS_TWO = b"123456789ABCDE0123456789ABcdef"

SDP = (
    b"v=0\r\no=bob 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 49170 RTP/SAVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY_ONE + b"|2^20|1:4\r\n"
)


class Reports(list[tuple[ExceptionName, str]]):
    """A report function that keeps what it is told."""

    def __call__(self, name: ExceptionName, detail: str) -> None:
        self.append((name, detail))

    @property
    def names(self) -> list[ExceptionName]:
        return [name for name, _ in self]


def request(
    *extra: bytes,
    body: bytes = b"",
    content_type: bytes = b"application/sdp",
    length: int | None = None,
    start: bytes = b"INVITE sip:alice@example.org SIP/2.0",
    call_id: bytes = b"a84b4c76e66710@pc33.example.com",
) -> bytes:
    """An INVITE with the header lines ``extra``; ``length`` -1 leaves Content-Length out."""
    lines = [
        start,
        b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;rport",
        b"Max-Forwards: 70",
        b"To: Alice <sip:alice@example.org>",
        b"From: Bob <sip:bob@example.com>;tag=1928301774",
        b"Call-ID: " + call_id,
        b"CSeq: 314159 INVITE",
        *extra,
    ]
    if body and content_type:
        lines.append(b"Content-Type: " + content_type)
    if length != -1:
        lines.append(b"Content-Length: %d" % (len(body) if length is None else length))
    return b"\r\n".join([*lines, b"", body])
