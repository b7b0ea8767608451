"""A store in memory, for one run over captures and for tests: gone when the process ends."""

import heapq
from collections.abc import Sequence

from monitor.antireplay.table import Change, StoreError
from monitor.store.managed import FOREVER, LISTING, UNDONE, Entry

RECORDS = 20_000_000
"""Most records that are held; more raise ``StoreError``."""


class MemoryStore:
    """A ``ManagedStore`` over a dictionary."""

    def __init__(self, *, limit: int = RECORDS) -> None:
        self._limit = limit
        self._committed: dict[bytes, tuple[bytes, int]] = {}
        self._pending: dict[bytes, tuple[bytes, int]] = {}
        self._unseen: list[bytes] = []
        self._size = 0
        self._undone = False

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``Store.read``."""
        return [self._read(key) for key in keys]

    def _read(self, key: bytes) -> bytes | None:
        found = self._pending.get(key) or self._committed.get(key)
        return found[0] if found else None

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        """See ``Store.compare_and_swap``."""
        if any(self._read(change.key) != change.expected for change in changes):
            return False
        fresh = sum(change.expected is None for change in changes)
        if fresh and len(self._committed) + len(self._pending) + fresh > self._limit:
            self._undone |= bool(self._pending)
            self._pending.clear()
            raise StoreError(f"memory: {self._limit} records are the most it holds; use sqlite:///PATH")
        for change in changes:
            self._pending[change.key] = (change.record, min(change.expires, FOREVER))
        return True

    def commit(self) -> None:
        """See ``Store.commit``."""
        if self._undone:
            self.close()
            raise StoreError(f"memory: {UNDONE}")
        for key, entry in self._pending.items():
            self._drop(key)
            self._committed[key] = entry
            self._size += len(key) + len(entry[0])
        self._pending.clear()

    def _drop(self, key: bytes) -> bool:
        entry = self._committed.pop(key, None)
        if entry is None:
            return False
        self._size -= len(key) + len(entry[0])
        return True

    def records(self, *, prefix: bytes = b"", after: bytes = b"", limit: int = LISTING) -> list[Entry]:
        """See ``ManagedStore.records``."""
        keys = (key for key in self._committed if key > after and key.startswith(prefix))
        return [Entry(key, *self._committed[key]) for key in heapq.nsmallest(limit, keys)]

    def forget(self, key: bytes) -> bool:
        """See ``ManagedStore.forget``."""
        self._pending.pop(key, None)
        return self._drop(key)

    def prune(self, now: int, limit: int) -> int:
        """See ``ManagedStore.prune``."""
        if not self._unseen:
            self._unseen = list(self._committed)
        looked = self._unseen[-limit:]
        del self._unseen[-limit:]
        expired = [key for key in looked if self._expired(key, now)]
        return sum(self._drop(key) for key in expired)

    def _expired(self, key: bytes, now: int) -> bool:
        entry = self._committed.get(key)
        return entry is not None and entry[1] < now and key not in self._pending

    def count(self) -> int:
        """See ``ManagedStore.count``."""
        return len(self._committed)

    def size_bytes(self) -> int:
        """The octets of keys and records, without what Python adds."""
        return self._size

    def close(self) -> None:
        """See ``ManagedStore.close``."""
        self._pending.clear()
        self._undone = False
