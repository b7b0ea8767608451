"""Session descriptions with SDES keys (RFC 4566, RFC 4568)."""

import base64
import random
from dataclasses import dataclass, replace

from monitor.simulate.party import Party

KEY_LENGTHS = {
    "AES_CM_128_HMAC_SHA1_80": 30,
    "AES_CM_128_HMAC_SHA1_32": 30,
    "AES_256_CM_HMAC_SHA1_80": 46,
    "AEAD_AES_256_GCM": 44,
}
"""Octets of key and salt by crypto suite (RFC 4568 §6.2, RFC 6188, RFC 7714)."""


@dataclass(frozen=True, slots=True)
class Key:
    """One ``a=crypto`` line."""

    octets: bytes
    suite: str = "AES_CM_128_HMAC_SHA1_80"
    tag: int = 1
    lifetime: str = ""
    mki: str = ""
    padded: bool = True
    session: str = ""
    """Session parameters after the key, e.g. ``UNENCRYPTED_SRTCP``."""

    @classmethod
    def fresh(cls, rng: random.Random, suite: str = "AES_CM_128_HMAC_SHA1_80", tag: int = 1) -> "Key":
        """A new key, from the seed."""
        return cls(rng.randbytes(KEY_LENGTHS[suite]), suite, tag)

    def __str__(self) -> str:
        inline = base64.b64encode(self.octets).decode()
        if not self.padded:
            inline = inline.rstrip("=")
        parts = "|".join(part for part in (inline, self.lifetime, self.mki) if part)
        return f"a=crypto:{self.tag} {self.suite} inline:{parts}{' ' if self.session else ''}{self.session}"


@dataclass(frozen=True, slots=True)
class Media:
    """One m-line and what belongs to it."""

    kind: str
    port: int
    keys: tuple[Key, ...]
    direction: str = "sendrecv"
    profile: str = "RTP/SAVP"
    attributes: tuple[str, ...] = ()
    """Further attribute lines, ``a=`` included."""

    def __str__(self) -> str:
        payload, coding = ("0 8 101", "0 PCMU/8000") if self.kind == "audio" else ("99", "99 H264/90000")
        return "\r\n".join(
            (
                f"m={self.kind} {self.port} {self.profile} {payload}",
                *(str(key) for key in self.keys),
                *self.attributes,
                f"a=rtpmap:{coding}",
                f"a={self.direction}",
            )
        )


@dataclass(frozen=True, slots=True)
class Description:
    """An offer or an answer of one party."""

    party: Party
    number: int
    """Session identifier of the o-line."""
    version: int
    media: tuple[Media, ...]
    keys: tuple[Key, ...] = ()
    """At session level."""
    connection: str = ""
    """Address of the c-line where it is not the party's, e.g. 0.0.0.0 for hold."""

    def __str__(self) -> str:
        address, family = self.party.address, f"IP{self.party.family}"
        lines = (
            "v=0",
            f"o={self.party.user} {self.number} {self.version} IN {family} {address}",
            "s=-",
            f"c=IN {family} {self.connection or address}",
            "t=0 0",
            *(str(key) for key in self.keys),
            *(str(media) for media in self.media),
        )
        return "\r\n".join(lines) + "\r\n"

    def octets(self) -> bytes:
        """The description as it goes into a body."""
        return str(self).encode()

    def direction(self, direction: str) -> "Description":
        """The next version, with another direction (RFC 3264 §8.4)."""
        return self.changed(direction=direction)

    def changed(
        self,
        *,
        direction: str | None = None,
        keys: tuple[Key, ...] | None = None,
        port: int | None = None,
        connection: str | None = None,
        party: Party | None = None,
    ) -> "Description":
        """The next version, with these changes to the first m-line or to all of it."""
        first = self.media[0]
        first = replace(
            first,
            direction=first.direction if direction is None else direction,
            keys=first.keys if keys is None else keys,
            port=first.port if port is None else port,
        )
        return replace(
            self,
            version=self.version + 1,
            media=(first, *self.media[1:]),
            connection=self.connection if connection is None else connection,
            party=party or self.party,
        )


def describe(
    party: Party, rng: random.Random, *, kinds: tuple[str, ...] = ("audio",), suites: tuple[str, ...] = ()
) -> Description:
    """A description of ``party`` with fresh keys: a crypto line for each suite in each m-line."""
    suites = suites or ("AES_CM_128_HMAC_SHA1_80",)
    media = tuple(
        Media(
            kind,
            party.media + 2 * index,
            tuple(Key.fresh(rng, suite, tag) for tag, suite in enumerate(suites, 1)),
        )
        for index, kind in enumerate(kinds)
    )
    return Description(party, rng.randrange(10**9, 2 * 10**9), 1, media)
