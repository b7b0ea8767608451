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
from monitor.toolbox.layer import MAX_NESTING, Kind, Layer, Place, Signed

SDP = "application/sdp"
CMS_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime", "application/cms"})
SIGNATURE_TYPES = frozenset({"application/pkcs7-signature", "application/x-pkcs7-signature"})
TUNNEL_TYPES = frozenset({"message/sip", "message/sipfrag"})


def peel(entity: Entity, report: Report, place: Place) -> Iterator[Layer]:
    """The layers of an entity: those of its parts and tunnels too, not yet what is under a signature.

    :param report: told of what cannot be read; it may raise to stop.
    """
    if place.depth > MAX_NESTING:
        report(ExceptionName.LIMIT, f"more than {MAX_NESTING} layers within layers")
        return
    if any(name == "content-encoding" for name, _ in entity.headers):
        yield Layer(Kind.CODED, entity, place)
        return
    media_type = entity.media_type
    if media_type.startswith("multipart/"):
        yield from _multipart(entity, report, place)
        return
    if media_type in TUNNEL_TYPES:
        yield from _tunnel(entity, report, place)
        return
    if media_type != SDP and media_type not in CMS_TYPES | SIGNATURE_TYPES:
        media_type = mime.sniff(entity.content) or media_type
    if media_type == SDP:
        yield Layer(Kind.SESSION, entity.content, place)
    elif media_type in CMS_TYPES:
        yield from _cms(entity.content, report, place)


def peel_typed(content_type: str, octets: bytes, report: Report, place: Place) -> Iterator[Layer]:
    """The layers of encapsulated content of a CMS type (RFC 5652 §5.2)."""
    try:
        content = cms.parse_content(content_type, octets)
    except CmsError as error:
        report(error.name, error.detail)
        return
    yield from _content(content, report, place)


def peel_signed(signed: Signed, report: Report, place: Place) -> Iterator[Layer]:
    """The layers of what is under a signature."""
    if signed.covered is not None:
        yield from peel(signed.covered, report, place)
    if signed.data.content is not None:
        yield from peel_typed(signed.data.content_type, signed.data.content, report, place)


def _cms(octets: bytes, report: Report, place: Place) -> Iterator[Layer]:
    try:
        content = cms.parse(octets)
    except CmsError as error:
        report(error.name, error.detail)
        return
    yield from _content(content, report, place)


def _content(content: Content, report: Report, place: Place) -> Iterator[Layer]:
    if isinstance(content, Data):
        yield from peel(mime.parse_entity(content.content, report), report, place.deeper())
    elif isinstance(content, EnvelopedData):
        yield Layer(Kind.ENVELOPE, content, place)
    elif isinstance(content, CompressedData):
        yield Layer(Kind.COMPRESSED, content, place)
    else:
        yield Layer(Kind.SIGNED, Signed(content), place)


def _multipart(entity: Entity, report: Report, place: Place) -> Iterator[Layer]:
    parts = mime.parts(entity, report)
    if entity.media_type == "multipart/signed" and len(parts) > 1:
        signature = _signature(parts[1], report)
        if signature is not None:
            yield Layer(Kind.SIGNED, Signed(signature, parts[0]), place)
            parts = parts[2:]
    for part in parts:
        yield from peel(part, report, place.deeper())


def _signature(part: Entity, report: Report) -> SignedData | None:
    if part.media_type not in SIGNATURE_TYPES:
        return None
    try:
        content = cms.parse(part.content)
    except CmsError as error:
        report(error.name, error.detail)
        return None
    return content if isinstance(content, SignedData) else None


def _tunnel(entity: Entity, report: Report, place: Place) -> Iterator[Layer]:
    try:
        message = mime.tunnelled(entity)
    except SipError as error:
        report(error.name, error.detail)
        return
    for name, detail in message.troubles:
        report(name, detail)
    inner = mime.body(message, report)
    if inner is not None:
        yield from peel(inner, report, place.deeper())
