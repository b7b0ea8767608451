"""Which stretches of which keystreams have been used, and by what (RFC 3711 §4.1)."""

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

MAX_PAGES = 2048
"""Pages of ``PAGE`` packets; with 24 KiB each."""
PAGE = 1024

_HASH_OCTETS = 6
_HASH_BITS = 8 * _HASH_OCTETS


class KeystreamFull(Exception):  # noqa: N818 - it is no error, only the end of what is remembered
    """No more can be remembered."""


class Use(NamedTuple):
    """One packet that used the keystream of its master key, SSRC and index."""

    stream: int
    """Number of its stream, from 1 on and below 2^16."""
    digest: int
    """Stands for its ciphertext."""
    frame: int
    time: int
    """Nanoseconds since the epoch."""


def digest(ciphertext: bytes) -> int:
    """A short hash: it tells repeated packets from others and proves nothing."""
    return int.from_bytes(blake2b(ciphertext, digest_size=_HASH_OCTETS).digest())


def _numbers() -> "array[int]":
    return array("Q", bytes(8 * PAGE))


@dataclass(slots=True, eq=False)
class _Page:
    """The first uses of ``PAGE`` indexes; 0 where there was none."""

    streams: "array[int]" = field(default_factory=_numbers)
    """Number of the stream, and the digest."""
    frames: "array[int]" = field(default_factory=_numbers)
    times: "array[int]" = field(default_factory=_numbers)


class Keystream:
    """Remembers the first use of each index."""

    def __init__(self) -> None:
        self._pages: dict[tuple[bytes, int, int], _Page] = {}

    def use(self, key: bytes, ssrc: int, index: int, use: Use) -> Use | None:
        """Note that a packet uses the keystream; the first use, where this is not it.

        :raises KeystreamFull: it cannot be noted.
        """
        number, at = divmod(index, PAGE)
        page = self._pages.get((key, ssrc, number))
        if page is None:
            if len(self._pages) >= MAX_PAGES:
                raise KeystreamFull
            page = self._pages[key, ssrc, number] = _Page()
        before = page.streams[at]
        if before:
            stream, known = divmod(before, 1 << _HASH_BITS)
            return Use(stream, known, page.frames[at], page.times[at])
        page.streams[at] = use.stream << _HASH_BITS | use.digest
        page.frames[at], page.times[at] = use.frame, use.time
        return None
