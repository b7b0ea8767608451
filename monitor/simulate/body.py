"""Bodies of messages: plain SDP, multipart, S/MIME in its transfer encodings (RFC 8551, RFC 3261 §23)."""

import base64
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from monitor.simulate import cms
from monitor.simulate.keyring import Identity
from monitor.simulate.sdp import Description

Transfer = Literal["binary", "base64"]


@dataclass(frozen=True, slots=True)
class Body:
    """An entity: its headers, Content-Type first, and its content in transfer encoding."""

    headers: tuple[tuple[str, str], ...]
    content: bytes

    def entity(self) -> bytes:
        """Headers, an empty line and the content: a body part, or what S/MIME works on."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return lines.encode() + b"\r\n" + self.content

    def padded(self, size: int) -> "Body":
        """The body grown to ``size`` octets by lines that an SDP reader skips (RFC 4566 §9)."""
        room = size - len(self.content)
        line = b"a=x-filler:" + b"." * 65 + b"\r\n"
        whole, rest = divmod(room, len(line))
        tail = b"a=x-filler:" + b"." * (rest + len(line) - 13) + b"\r\n"
        return replace(self, content=self.content + line * (whole - 1) + tail)


def sdp(description: Description) -> Body:
    """A description as it is."""
    return Body((("Content-Type", "application/sdp"),), description.octets())


def mixed(parts: Sequence[Body], rng: random.Random, subtype: str = "mixed", parameters: str = "") -> Body:
    """A multipart body."""
    boundary = f"boundary-{rng.getrandbits(64):016x}"
    content = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part.entity()) for part in parts)
    return Body(
        (("Content-Type", f'multipart/{subtype};{parameters} boundary="{boundary}"'),),
        content + b"--%b--\r\n" % boundary.encode(),
    )


def note(text: str) -> Body:
    """A text that some stacks put beside an SDP."""
    return Body((("Content-Type", "text/plain"),), text.encode())


def compressed(body: Body, coding: Literal["gzip", "deflate"]) -> Body:
    """The body under a Content-Encoding (RFC 3261 §20.12)."""
    # gzip.compress names another operating system in its header since Python 3.13.
    encoder = zlib.compressobj(9, wbits=31) if coding == "gzip" else zlib.compressobj()
    content = encoder.compress(body.content) + encoder.flush()
    return Body((*body.headers, ("Content-Encoding", coding)), content)


def signed(body: Body, signer: Identity, time: int, rng: random.Random, *, detached: bool = True) -> Body:
    """The body with a signature beside it (multipart/signed) or around it.

    :param time: of the signature, in seconds since the epoch.
    """
    entity = body.entity()
    blob = cms.signature(entity, signer, time, detached=detached)
    if not detached:
        return smime(blob, "signed-data", "binary")
    part = Body(
        (
            ("Content-Type", "application/pkcs7-signature; name=smime.p7s"),
            ("Content-Disposition", "attachment; filename=smime.p7s; handling=required"),
            ("Content-Transfer-Encoding", "binary"),
        ),
        blob,
    )
    return mixed(
        (body, part),
        rng,
        "signed",
        ' protocol="application/pkcs7-signature"; micalg=sha-256;',
    )


def sealed(
    body: Body,
    recipients: Sequence[Identity],
    rng: random.Random,
    *,
    transfer: Transfer = "binary",
    key_length: int = 16,
) -> Body:
    """The body, headers and all, in an envelope for the recipients."""
    return smime(cms.envelope(body.entity(), recipients, rng, key_length), "enveloped-data", transfer)


def smime(blob: bytes, kind: str, transfer: Transfer, width: int = 64, newline: str = "\r\n") -> Body:
    """A CMS blob as an application/pkcs7-mime body.

    :param width: characters on a line of base64, which are whole groups of four.
    """
    content = blob
    if transfer == "base64":
        text = base64.b64encode(blob).decode()
        lines = (text[at : at + width] for at in range(0, len(text), width))
        content = "".join(line + newline for line in lines).encode()
    return Body(
        (
            ("Content-Type", f"application/pkcs7-mime; smime-type={kind}; name=smime.p7m"),
            ("Content-Disposition", "attachment; filename=smime.p7m; handling=required"),
            ("Content-Transfer-Encoding", transfer),
        ),
        content,
    )


def blob_of(body: Body) -> bytes:
    """The CMS blob that an application/pkcs7-mime body carries: what an eavesdropper records."""
    headers = dict(body.headers)
    if headers["Content-Transfer-Encoding"] == "base64":
        return base64.b64decode(body.content)
    return body.content
