"""What a store offers beside the judge's use of it: listing, forgetting, pruning, sizes."""

from dataclasses import dataclass
from typing import Literal, Protocol

from monitor.antireplay.table import Store

Durability = Literal["process", "power"]
"""What a commit outlasts: the end of the daemon by any signal, or a loss of power too."""

LISTING = 1000
"""Records in one answer of ``ManagedStore.records`` unless asked otherwise."""
FOREVER = 2**63 - 1
"""The latest expiry that a store keeps (the year 2262); a later one counts as this."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record as it stands in a store."""

    key: bytes
    record: bytes
    expires: int
    """Nanoseconds since the epoch."""


class ManagedStore(Store, Protocol):
    """A store as its owner sees it.

    All methods raise ``StoreError`` where the store cannot answer, and are called from one thread at a time.
    They speak of what is committed. Where an error undoes swaps, the next commit tells it too, so that
    who meets the error over one message cannot take the others' swaps for made.
    """

    def records(self, *, prefix: bytes = b"", after: bytes = b"", limit: int = LISTING) -> list[Entry]:
        """The first ``limit`` records by key of those that are above ``after`` and start with ``prefix``."""
        ...

    def forget(self, key: bytes) -> bool:
        """Drop a record, durably and at once; False where there was none."""
        ...

    def prune(self, now: int, limit: int) -> int:
        """Look at the next ``limit`` records and drop those that expired before ``now``; how many those were.

        Each call goes on where the last one ended, and begins anew after the last record.
        """
        ...

    def count(self) -> int:
        """How many records there are."""
        ...

    def size_bytes(self) -> int:
        """Octets that the store takes up."""
        ...

    def close(self) -> None:
        """Let go of the store; swaps since the last commit are dropped."""
        ...


UNDONE = "an error before this commit undid what was to be committed"
"""Said by the commit after such an error."""


def successor(prefix: bytes) -> bytes | None:
    """The least octets greater than all that start with ``prefix``; None where there are none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None
