"""The role that a store plays for the association table (the SAD of RFC 4301 §4.4.2)."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """The store cannot answer or commit; nothing since the last commit counts. One line, with the mend."""


class Change(NamedTuple):
    """One record to be put in place of another."""

    key: bytes
    """32 octets."""
    expected: bytes | None
    """What must still stand there; None: nothing."""
    record: bytes
    expires: int
    """Nanoseconds since the epoch; pruning may forget the record after that."""


class Store(Protocol):
    """A table of records by 32-octet key. The octets of a record mean nothing to a store."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records under ``keys``, in their order, uncommitted ones of this store object included.

        :raises StoreError: the store cannot answer.
        """
        ...

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        """Make all changes, or none and answer False where one of their ``expected`` does not stand.

        :raises StoreError: the store cannot answer.
        """
        ...

    def commit(self) -> None:
        """Make every swap since the last commit durable, in the degree the store was opened with.

        :raises StoreError: it could not; every swap since the last commit is undone.
        """
        ...
