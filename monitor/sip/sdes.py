"""Key material in session descriptions: SDES (RFC 4568) and MIKEY blobs (RFC 4567)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class KeyMaterial:
    """One thing that must be used once, where it stood, and the media it protects."""

    octets: bytes
    """The decoded key‖salt of one ``inline:`` parameter, or a whole MIKEY message."""
    kind: Literal["sdes", "mikey"]
    media: int | None
    """0-based index of the m-line, None at session level."""
    line: int
    """0-based index of the attribute line among all key-bearing lines of the description."""
    endpoint: tuple[str, int] | None = None
    """Connection address and port of the media, None at session level, on hold or with port 0."""
