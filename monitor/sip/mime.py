"""MIME entities of SIP bodies (RFC 2045, RFC 2046, RFC 5621): split by ourselves, bounded."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entity:
    """A body or body part."""

    media_type: str
    """``type/subtype`` in lower case."""
    parameters: tuple[tuple[str, str], ...]
    """Of the Content-Type, names in lower case."""
    headers: tuple[tuple[str, bytes], ...]
    """As in ``Message.headers``."""
    content: bytes
    """Content-Transfer-Encoding undone (base64, quoted-printable), Content-Encoding not yet."""
    raw: bytes
    """Headers and content exactly as they stood: what a detached signature covers."""

    def parameter(self, name: str) -> str | None:
        """The value of the Content-Type parameter ``name`` (lower case), None where there is none."""
        return next((value for key, value in self.parameters if key == name), None)
