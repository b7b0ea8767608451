"""One sighting of a fingerprint: all that the judge is told of the message it came in.

Values that each message makes are named tuples, since frozen dataclasses take three times as long to make.
"""

import hashlib
import zlib
from enum import StrEnum
from typing import NamedTuple

from monitor.wire.frame import NANOSECONDS

T = 37 * NANOSECONDS
"""64·T1 + T4: how long a transaction's messages may come again (RFC 3261 §17)."""

MAX_PARTY = 64
"""Characters of a tag that are kept as they are; a longer one is kept as its hash."""


class Tier(StrEnum):
    """What kind of thing was seen again."""

    ENVELOPE = "envelope"
    MASTER_KEY = "master-key"


Endpoint = tuple[str, int]
"""Address and port of one media stream."""


class Transaction(NamedTuple):
    """The transaction a message belongs to, and the path it took to here."""

    method: str
    """Of the request line, or of the CSeq for a response."""
    cseq: int
    """An ACK bears the number of its INVITE (RFC 3261 §13.2.2.4)."""
    status: int | None
    """None in a request."""
    branch: int
    """``branch_hash`` of the topmost Via."""
    next_branch: int | None
    """Of the second Via: in a request the hop before this one, in a response the hop after it."""


class DialogView(NamedTuple):
    """What the dialog record says at the time of a message (see ``dialog.Dialog.view``)."""

    others: frozenset[str] = frozenset()
    """Tags of the parties that answered the initial requester, as far as known."""
    ended: int | None = None
    """When the dialog that the message names ended (nanoseconds), None while it lives."""
    pending: int | None = None
    """CSeq number of the last INVITE of the message's requester."""
    closed: int | None = None
    """When that INVITE had its final response, None while it is pending."""
    confirmed: bool = False
    """It was accepted by a party with a tag: whoever goes on with it names that."""


NO_DIALOG = DialogView()


class Observation(NamedTuple):
    """One sighting of one fingerprint."""

    tier: Tier
    time: int
    """Packet time, nanoseconds since the epoch."""
    call: bytes
    """Fingerprint of the Call-ID."""
    sender: str
    """The party whose body bears the key: From in requests, To in responses."""
    peer: str | None
    """The other party, None in a request outside a dialog."""
    transaction: Transaction
    source: bytes
    """Effective source address (packed)."""
    hop: bytes
    """The packet's own source address (packed)."""
    destination: bytes
    """The packet's destination address (packed)."""
    endpoints: tuple[Endpoint, ...] = ()
    """Where the media that the key protects is received; none on hold."""
    dialog: DialogView = NO_DIALOG
    call_id: str = ""
    """For people; ``call`` is what is compared."""


def party(tag: str | None, uri: str) -> str:
    """Names a party by its tag, or by its address where it has none (RFC 2543 user agents)."""
    kind, name = ("tag", tag) if tag is not None else ("uri", uri)
    if len(name) > MAX_PARTY:
        name = f"#{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:48]}"
    return f"{kind}:{name}"


def is_tagged(name: str) -> bool:
    """Whether a party is named by its tag."""
    return name.startswith("tag:")


def branch_hash(branch: str) -> int:
    """A short stand-in for a branch parameter; it tells copies of a message apart and proves nothing."""
    return zlib.crc32(branch.encode("utf-8", "surrogateescape"))
