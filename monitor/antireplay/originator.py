"""Originators: who a message is from, bound to the source of their first message with key material.

The signer's certificate names the originator, else the address-of-record of the party whose body bears
the key. The binding lasts until the originator has been silent from its source for the policy's time.
"""

from typing import NamedTuple, Self

from monitor import compact_json
from monitor.antireplay.association import RecordError
from monitor.antireplay.policy import Policy

VERSION = 1
FINENESS = 1000
"""Into so many parts the time of silence is divided: within one of them the record is not written anew for
every message. So an originator may count as silent by a thousandth too soon."""


class Originator(NamedTuple):
    """The source that an originator is bound to."""

    source: bytes
    """Packed address."""
    last: int
    """When it was last heard from there (nanoseconds)."""

    def encode(self) -> bytes:
        """The record for the store."""
        return compact_json.encode([VERSION, "originator", self.source.hex(), self.last]).encode()

    @classmethod
    def decode(cls, record: bytes) -> Self:
        """Read a record.

        :raises RecordError: it is not one of this version.
        """
        try:
            version, kind, source, last = compact_json.decode(record)
            if (version, kind) != (VERSION, "originator"):
                raise RecordError(f"originator record of version {version}, this program reads {VERSION}")
            compact_json.expect(int, (last,))
            return cls(bytes.fromhex(source), last)
        except (ValueError, TypeError) as error:
            raise RecordError(f"originator record cannot be read: {error}") from None


def hear(
    originator: Originator | None, source: bytes, time: int, policy: Policy, moved: bool = False
) -> tuple[bool, Originator]:
    """One more accepted message of an originator.

    :param moved: the policy allowed the move, so that the binding follows.
    :returns: whether this is a new source for a known originator, and the binding as it is to be: the same
        object where nothing is to be written.
    """
    if originator is None or moved or time - originator.last > policy.originator_silence:
        return False, Originator(source, time)
    if policy.same_source(originator.source, source):
        if time - originator.last <= policy.originator_silence // FINENESS:
            return False, originator
        return False, originator._replace(last=time)
    return True, originator
