"""Compression: Content-Encoding (RFC 3261 §20.12) and CompressedData (RFC 3274), both bounded."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from monitor.cms.content import CompressedData
from monitor.exceptions import ExceptionName
from monitor.sip import coding, mime
from monitor.sip.error import SipError
from monitor.sip.mime import Entity
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer
from monitor.toolbox.tool import NOTHING, Databases, Peeled

ZLIB = "1.2.840.113549.1.9.16.3.8"
"""id-alg-zlibCompress (RFC 3274 §2)."""


class Compression:
    """Undoes content codings and compression."""

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.CODED, Kind.COMPRESSED})
    gives: ClassVar[frozenset[Kind]] = frozenset(Kind) - {Kind.MESSAGE}
    parameters: ClassVar[Mapping[str, type]] = {}

    def __init__(self, databases: Databases) -> None:
        pass

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Decompress one layer."""
        value = layer.value
        if isinstance(value, Entity):
            return Peeled(entities=(_plain(mime.opened(value, case.report)),))
        assert isinstance(value, CompressedData)
        if value.algorithm.oid != ZLIB:
            case.report(ExceptionName.UNSUPPORTED, f"compression algorithm {value.algorithm.oid}")
            return NOTHING
        try:
            return Peeled(
                typed=((value.content_type, coding.decode(value.compressed, b"deflate", case.report)),)
            )
        except SipError as error:
            case.report(error.name, error.detail)
            return NOTHING


def _plain(entity: Entity) -> Entity:
    headers = tuple(header for header in entity.headers if header[0] != "content-encoding")
    return replace(entity, headers=headers)


TOOLS: dict[str, type[Any]] = {"compression": Compression}
