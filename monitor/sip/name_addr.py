"""The addresses of From and To (RFC 3261 §20.10, §25.1): name-addr or addr-spec with a tag."""

import re

from monitor.exceptions import ExceptionName
from monitor.sip.header import QUOTED, parameters
from monitor.sip.start_line import Troubles, text

_USUAL = re.compile(
    rb"(?:\"[^\"\\<>]*+\"[ \t]*+|[^<>\"]*+)<([!#-;=?-~]++)>(?>(?:;tag=([A-Za-z0-9\-.!%*_+`'~]++))?)"
)
_ONLY_TAG = re.compile(rb"\s*+;\s*+tag\s*+=\s*+([A-Za-z0-9\-.!%*_+`'~]++)\s*+", re.IGNORECASE)
_TAG = re.compile(rb"[^\s,;<>\"@]++")


def parse(value: bytes, name: str, troubles: Troubles) -> tuple[str, str | None]:
    """The URI and the tag of a From or To value; ``name`` is the field's, for ``troubles``."""
    if match := _USUAL.fullmatch(value):
        uri, tag = match.groups()
        return str(uri, "ascii"), None if tag is None else str(tag, "ascii")
    masked = value
    if b'"' in value:
        masked = QUOTED.sub(lambda found: b"_" * len(found[0]) if found[1] else found[0], value)
        if b'"' in masked:
            troubles.append((ExceptionName.MALFORMED, f"quoted string without an end in {name}"))
    start = masked.find(b"<")
    if start >= 0:
        end = masked.find(b">", start)
        if end < 0:
            troubles.append((ExceptionName.MALFORMED, f"address without an end in {name}"))
            end = len(value)
        uri, rest = value[start + 1 : end], value[end + 1 :]
    else:
        end = masked.find(b";")
        uri, rest = (value[:end], value[end:]) if end >= 0 else (value, b"")
    return text(uri.strip()), _tag(rest, name, troubles) if rest else None


def _tag(octets: bytes, name: str, troubles: Troubles) -> str | None:
    if match := _ONLY_TAG.fullmatch(octets):
        return str(match[1], "ascii")
    tags = [value for key, value in parameters(octets) if key == "tag"]
    if not tags:
        return None
    if any(tag != tags[0] for tag in tags) or (tags[0] and not _TAG.fullmatch(tags[0])):
        troubles.append((ExceptionName.AMBIGUOUS, f"more than one reading of the {name} tag"))
    elif not tags[0]:
        troubles.append((ExceptionName.MALFORMED, f"empty {name} tag"))
    return text(tags[0]) or None
