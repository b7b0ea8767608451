"""Peeling: entities to layers, as far as that takes no key and no algorithm."""

from collections.abc import Iterator

from monitor.cms import content as cms
from monitor.cms.content import CompressedData, Content, Data
from monitor.cms.enveloped import EnvelopedData
from monitor.cms.error import CmsError
from monitor.cms.signed import SignedData
from monitor.exceptions import ExceptionName, Report
from monitor.sip import mime
from monitor.sip.error import SipError
from monitor.sip.mime import Entity
from monitor.toolbox.layer import MAX_NESTING, Detached, Kind, Layer

SDP = "application/sdp"
CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/cms"})
SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
TUNNEL_TYPES = frozenset({"message/sip", "message/sipfrag"})


def peel(entity: Entity, report: Report, depth: int = 0, within: bytes | None = None) -> Iterator[Layer]:
    """The layers of an entity and of what it holds in clear: parts, tunnels, signed content.

    :param report: told of what cannot be read; it may raise to stop.
    :param within: passed on to each layer.
    """
    if depth > MAX_NESTING:
        report(ExceptionName.LIMIT, f"more than {MAX_NESTING} layers within layers")
        return
    if any(name == "content-encoding" for name, _ in entity.headers):
        yield Layer(Kind.CODED, entity, depth, within)
        return
    media_type = entity.media_type
    if media_type.startswith("multipart/"):
        yield from _multipart(entity, report, depth, within)
    elif media_type == SDP:
        yield Layer(Kind.SESSION, entity.content, depth, within)
    elif media_type in CMS_TYPES:
        yield from _cms(entity.content, report, depth, within)
    elif media_type in TUNNEL_TYPES:
        yield from _tunnel(entity, report, depth, within)
    elif media_type not in SIGNATURE_TYPES:
        kind = mime.sniff(entity.content)
        if kind == SDP:
            yield Layer(Kind.SESSION, entity.content, depth, within)
        elif kind in CMS_TYPES:
            yield from _cms(entity.content, report, depth, within)


def peel_octets(octets: bytes, report: Report, depth: int, within: bytes | None) -> Iterator[Layer]:
    """The layers of a MIME entity that came out of an envelope, a signature or a compression."""
    yield from peel(mime.parse_entity(octets, report), report, depth, within)


def peel_content(content: Content, report: Report, depth: int, within: bytes | None) -> Iterator[Layer]:
    """The layers of one CMS content."""
    if depth > MAX_NESTING:
        report(ExceptionName.LIMIT, f"more than {MAX_NESTING} layers within layers")
    elif isinstance(content, Data):
        yield from peel_octets(content.content, report, depth + 1, within)
    elif isinstance(content, EnvelopedData):
        yield Layer(Kind.ENVELOPE, content, depth, within)
    elif isinstance(content, CompressedData):
        yield Layer(Kind.COMPRESSED, content, depth, within)
    else:
        yield Layer(Kind.SIGNED, content, depth, within)
        if content.content is not None:
            yield from peel_typed(content.content_type, content.content, report, depth + 1, within)


def peel_typed(
    content_type: str, octets: bytes, report: Report, depth: int, within: bytes | None
) -> Iterator[Layer]:
    """The layers of encapsulated content of a CMS type (RFC 5652 §5.2)."""
    try:
        content = cms.parse_content(content_type, octets)
    except CmsError as error:
        report(error.name, error.detail)
        return
    yield from peel_content(content, report, depth, within)


def _cms(octets: bytes, report: Report, depth: int, within: bytes | None) -> Iterator[Layer]:
    try:
        content = cms.parse(octets)
    except CmsError as error:
        report(error.name, error.detail)
        return
    yield from peel_content(content, report, depth, within)


def _multipart(entity: Entity, report: Report, depth: int, within: bytes | None) -> Iterator[Layer]:
    parts = mime.parts(entity, report)
    if entity.media_type == "multipart/signed" and len(parts) > 1:
        signature = _signature(parts[1], report)
        if signature is not None:
            yield Layer(Kind.SIGNED, Detached(signature, parts[0].raw), depth, within)
    for part in parts:
        yield from peel(part, report, depth + 1, within)


def _signature(part: Entity, report: Report) -> SignedData | None:
    if part.media_type not in SIGNATURE_TYPES:
        return None
    try:
        content = cms.parse(part.content)
    except CmsError as error:
        report(error.name, error.detail)
        return None
    return content if isinstance(content, SignedData) else None


def _tunnel(entity: Entity, report: Report, depth: int, within: bytes | None) -> Iterator[Layer]:
    message = mime.tunnelled(entity)
    if isinstance(message, SipError):
        report(message.name, message.detail)
        return
    for name, detail in message.troubles:
        report(name, detail)
    inner = mime.body(message, report)
    if inner is not None:
        yield from peel(inner, report, depth + 1, within)
