"""Values that a configuration holds as text: durations, addresses, networks, marks, paths, endpoints."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, Strict, ValidationInfo

from monitor.antireplay.table import StoreError
from monitor.store.location import FORMS, MEMORY, SERVERS, check_server, sqlite_path
from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

_UNITS = {"ms": NANOSECONDS // 1000, "s": NANOSECONDS}
_UNITS |= {
    "m": 60 * _UNITS["s"],
    "h": 3600 * _UNITS["s"],
    "d": 86400 * _UNITS["s"],
    "w": 604800 * _UNITS["s"],
}
_DURATION = re.compile(r"(\d{1,12}) ?([a-z]+)")
_MARK = re.compile(r"(0x[0-9a-f]{1,8}|\d{1,10})(?:/(0x[0-9a-f]{1,8}|\d{1,10}))?", re.IGNORECASE)
_METHOD = re.compile(r"[A-Z][A-Z0-9.!%*_+`'~-]{0,31}")
_MARK_BITS = 0xFFFFFFFF
STANDARD_OUTPUT = Path("-")

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Mark:
    """A packet mark to look for: the bits of ``mask`` must be those of ``value``."""

    value: int
    mask: int = _MARK_BITS

    def __str__(self) -> str:
        return f"{self.value:#x}/{self.mask:#x}"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to listen."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_duration(value: object) -> int:
    """Nanoseconds of ``"2w"``, ``"30d"``, ``"12h"``, ``"15m"``, ``"90s"``, ``"5ms"`` or a number of seconds.

    :raises ValueError: it is none of them, or not above zero.
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12:
        return round(value * NANOSECONDS)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match and match[2] in _UNITS and int(match[1]):
        return int(match[1]) * _UNITS[match[2]]
    if match and match[2] not in _UNITS:
        raise ValueError(f'"{match[2]}" is no unit of time (write ms, s, m, h, d or w, as in "30d")')
    raise ValueError('is no duration (write "30d", "12h", "15m", "90s" or a number of seconds)')


def duration_text(nanoseconds: int) -> str:
    """A duration in the largest unit that gives a whole number."""
    unit = next((u for u in ("w", "d", "h", "m", "s") if nanoseconds % _UNITS[u] == 0), "ms")
    if unit == "w" and nanoseconds != _UNITS["w"]:
        unit = "d"
    return f"{nanoseconds // _UNITS[unit]}{unit}"


def parse_retention(value: object) -> int | None:
    """As ``parse_duration``; None for ``"certificate"``.

    :raises ValueError: it is neither.
    """
    if value == "certificate":
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{str(error)[:-1]}; or "certificate")') from None


def _address(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError('must be an address in text (write "192.0.2.10")')
    try:
        return address.pack(value)
    except ValueError:
        if "/" in value:
            raise ValueError(f'"{value}" is a network (name single addresses)') from None
        raise ValueError(f'"{value}" is no IP address (write "192.0.2.10" or "2001:db8::10")') from None


def _network(value: object) -> IPNetwork:
    if not isinstance(value, str):
        raise ValueError('must be a network in text (write "192.0.2.0/24")')
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        try:
            meant = ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f'"{value}" is no network (write "192.0.2.0/24" or "2001:db8::/32")') from None
        raise ValueError(f'"{value}" has bits beyond its prefix (write "{meant}")') from None


def _mark(value: object) -> Mark:
    match = (
        _MARK.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    )
    if match is None:
        raise ValueError('is no packet mark (write 1, "0x10" or "0x10/0xff")')
    number, mask = int(match[1], 0), int(match[2] or str(_MARK_BITS), 0)
    if number > _MARK_BITS or mask > _MARK_BITS:
        raise ValueError("is more than 32 bits")
    if number & ~mask:
        raise ValueError(f"can never match, since the mask {mask:#x} lacks bits of {number:#x}")
    return Mark(number, mask)


def _method(value: object) -> str:
    if not isinstance(value, str) or not _METHOD.fullmatch(value):
        raise ValueError(f'"{value}" is no method (write "INVITE", in capitals)')
    return value


def _interface(value: object) -> str:
    if (
        not isinstance(value, str)
        or not 0 < len(value.encode()) < 16
        or "/" in value
        or value.split() != [value]
    ):
        raise ValueError('is no interface name (write "eth0"; 15 characters at most)')
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError('must be a path in text (write "/etc/replay-monitor/keys")')
    context: dict[str, Any] = info.context or {}
    return Path(context.get("directory", ""), value)


def _output(value: object, info: ValidationInfo) -> Path:
    return STANDARD_OUTPUT if value == "-" else _path(value, info)


def _socket(value: object, info: ValidationInfo) -> Path | None:
    return None if value == "off" else _path(value, info)


def _endpoint(value: object) -> Endpoint | None:
    if value == "off":
        return None
    host, colon, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    try:
        host = str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]") if "[" in host else host))
        number = int(port) if port.isdecimal() else -1
    except ValueError:
        number = -1
    if not colon or not 0 < number < 65536 or (":" in host and not str(value).startswith("[")):
        raise ValueError('is nowhere to listen (write "127.0.0.1:9464", "[::1]:9464" or "off")')
    return Endpoint(host, number)


def _store_url(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a store's URL in quotes (write {FORMS})")
    try:
        if value.startswith("sqlite:"):
            sqlite_path(value)
        elif value.startswith(SERVERS):
            check_server(value)
    except StoreError as error:
        raise ValueError(str(error)) from None
    if value not in MEMORY and not value.startswith(("sqlite:", *SERVERS)):
        raise ValueError(f'"{value}" is no store (write {FORMS})')
    return value


def _several(value: object) -> object:
    """One value where a list of them may stand."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise ValueError("is an empty list, which nothing matches (leave the key out)")
    return values


Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Duration = Annotated[int, PlainValidator(parse_duration)]
"""Nanoseconds."""
Retention = Annotated[int | None, PlainValidator(parse_retention)]
"""Nanoseconds; None: as long as the certificates that the kept keys belong to."""
Address = Annotated[bytes, PlainValidator(_address)]
"""Packed."""
Addresses = frozenset[Address]
Networks = Annotated[tuple[Annotated[IPNetwork, PlainValidator(_network)], ...], BeforeValidator(_several)]
Marks = Annotated[tuple[Annotated[Mark, PlainValidator(_mark)], ...], BeforeValidator(_several)]
Methods = Annotated[tuple[Annotated[str, PlainValidator(_method)], ...], BeforeValidator(_several)]
Interfaces = Annotated[tuple[Annotated[str, PlainValidator(_interface)], ...], BeforeValidator(_several)]
FilePath = Annotated[Path, PlainValidator(_path)]
"""A relative one begins at the directory of the configuration file."""
Output = Annotated[Path, PlainValidator(_output)]
"""As ``FilePath``; ``-`` is standard output."""
Socket = Annotated[Path | None, PlainValidator(_socket)]
"""As ``FilePath``; None: nowhere."""
Names = tuple[Annotated[str, Strict()], ...]
StoreUrl = Annotated[str, PlainValidator(_store_url)]
Listen = Annotated[Endpoint | None, PlainValidator(_endpoint)]
"""None: nowhere."""
Number = Annotated[int, Strict(), Field(ge=0, le=65535)]
QueueNumbers = Annotated[tuple[Number, ...], BeforeValidator(_several)]
