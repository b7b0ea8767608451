"""The role that a store plays for the association table (the SAD of RFC 4301 §4.4.2)."""

from collections.abc import Sequence
from typing import Protocol


class StoreError(Exception):
    """The store cannot answer or commit; nothing since the last commit counts. One line, with the mend."""


class Store(Protocol):
    """A table of records by 32-octet key. The octets of a record mean nothing to a store."""

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The records under ``keys``, in their order, uncommitted ones of this store object included.

        :raises StoreError: the store cannot answer.
        """
        ...

    def compare_and_swap(self, key: bytes, expected: bytes | None, record: bytes, expires: int) -> bool:
        """Put ``record`` where ``expected`` (None: nothing) still stands; False where it does not.

        :param expires: nanoseconds since the epoch; pruning may forget the record after that.
        :raises StoreError: the store cannot answer.
        """
        ...

    def commit(self) -> None:
        """Make every swap since the last commit durable, in the degree the store was opened with.

        :raises StoreError: it could not; every swap since the last commit is undone.
        """
        ...
