"""Freshness: signed times against the time of the packet (RFC 3261 §23.4.2, RFC 5652 §11.3).

It tells recordings that are older than the monitor's memory, and needs clocks that are right.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar

from monitor.cms.content import DATA
from monitor.exceptions import ExceptionName
from monitor.sip import mime
from monitor.sip.error import SipError
from monitor.toolbox.case import Case
from monitor.toolbox.layer import Kind, Layer, Service, Signed
from monitor.toolbox.peel import TUNNEL_TYPES
from monitor.toolbox.tool import NOTHING, Databases, Peeled
from monitor.wire.frame import NANOSECONDS


class Freshness:
    """Holds every signed time against the packet's: signingTime, and the Date of a signed message/sip.

    :param seconds: how far they may be apart, before and after.
    :param required: whether well-signed content without any such time is not fresh either.
    :raises ValueError: ``seconds`` is not positive.
    """

    takes: ClassVar[frozenset[Kind]] = frozenset({Kind.SIGNED})
    provides: ClassVar[frozenset[Service]] = frozenset()
    needs: ClassVar[frozenset[Service]] = frozenset({Service.INTEGRITY})
    parameters: ClassVar[Mapping[str, type]] = {"seconds": int, "required": bool}

    def __init__(self, databases: Databases, seconds: int = 600, required: bool = False) -> None:
        if seconds < 1:
            raise ValueError("seconds must be 1 or more")
        self._most, self._required = seconds * NANOSECONDS, required

    def apply(self, layer: Layer, case: Case) -> Peeled:
        """Look at the times of one layer that is signed well."""
        assert isinstance(layer.value, Signed)
        if Service.INTEGRITY not in case.provided:
            return NOTHING
        times = [*case.signed_times, *_dates(layer.value)]
        worst = max((abs(time - case.facts.time) for time in times), default=0)
        if worst > self._most:
            case.report(ExceptionName.NOT_FRESH, f"signed {worst // NANOSECONDS} s from the packet's time")
        elif not times and self._required:
            case.report(ExceptionName.NOT_FRESH, "signed without a time")
        return NOTHING


def _dates(signed: Signed) -> Iterator[int]:
    """Times of the Date header fields of a signed message, where one is what is signed."""
    entity = signed.covered
    try:
        if entity is None and signed.data.content is not None and signed.data.content_type == DATA:
            entity = mime.parse_entity(signed.data.content)
        if entity is None or entity.media_type not in TUNNEL_TYPES:
            return
        headers = mime.tunnelled(entity).headers
    except SipError:
        return  # Peeling tells of it.
    for name, value in headers:
        if name == "date":
            try:
                moment = parsedate_to_datetime(value.decode("ascii"))
                if moment.tzinfo is None:
                    moment = moment.replace(tzinfo=UTC)
                yield round(moment.timestamp()) * NANOSECONDS
            except (ValueError, OverflowError, UnicodeError):
                continue


TOOLS: dict[str, type[Any]] = {"anti-replay.freshness": Freshness}
