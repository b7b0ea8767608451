"""Versions of templates and policies: equal where they say the same, whatever their files look like."""

import hashlib
import json
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from typing import Any


def version_of(value: object) -> str:
    """12 hexadecimal digits of the SHA-256 over everything that ``value``, of plain dataclasses, says."""
    document = json.dumps(_plain(value), sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:12]


def _plain(value: object) -> Any:
    """``value`` as JSON knows it, sets in a fixed order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted(map(json.dumps, map(_plain, value)))
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else str(value)
