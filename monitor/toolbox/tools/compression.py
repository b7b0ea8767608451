"""Compression: Content-Encoding (RFC 3261 §20.12) and CompressedData (RFC 3274), both bounded."""

from collections.abc import Mapping
from typing import Any, ClassVar

from monitor.cms.content import CompressedData
from monitor.exceptions import ExceptionName
from monitor.sip import coding, mime
from monitor.sip.error import SipError
from monitor.sip.mime import Entity
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service
from monitor.toolbox.tool import NOTHING, Databases, Peeled

ZLIB = "1.2.840.113549.1.9.16.3.8"
"""id-alg-zlibCompress (RFC 3274 §2)."""


class Compression:
    """Undoes content codings and compression."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.CODED, Kind.COMPRESSED})
    provides: ClassVar[frozenset[Service]] = frozenset({Service.COMPRESSION})
    needs: ClassVar[frozenset[Service]] = frozenset()
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        pass

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Decompress one layer."""
        value = layer.value
        case.provided.add(Service.COMPRESSION)
        if isinstance(value, Entity):
            return Peeled(entities=(_decoded(value, case),))
        assert isinstance(value, CompressedData)
        if value.algorithm.oid != ZLIB:
            case.report(ExceptionName.UNSUPPORTED, f"compression algorithm {value.algorithm.oid}")
            return NOTHING
        try:
            content = coding.deflated(value.compressed, case.report)
        except SipError as error:
            case.report(error.name, error.detail)
            return NOTHING
        return Peeled(typed=((value.content_type, content),))


def _decoded(entity: Entity, case: Case) -> Entity:
    """The entity without its codings; as it stands where they cannot be undone."""
    codings = b",".join(value for name, value in entity.headers if name == "content-encoding")
    content = entity.content
    if mime.sniff(content) and codings.strip().lower() != b"identity":
        case.report(ExceptionName.AMBIGUOUS, "content said to be compressed that can be read without")
    else:
        try:
            content = coding.decode(content, codings, case.report)
        except SipError as error:
            case.report(error.name, error.detail)
    headers = tuple(header for header in entity.headers if header[0] != "content-encoding")
    return entity._replace(headers=headers, content=content)


TOOLS: dict[str, type[Any]] = {"compression": Compression}
