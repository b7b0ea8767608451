"""Pruning, where it is ours to do: in bounded slices, and never of what still counts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.antireplay.table import Change
from monitor.store.managed import ManagedStore
from monitor.store.memory import MemoryStore
from monitor.store.sqlite import SqliteStore


@pytest.fixture(params=[MemoryStore, SqliteStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ManagedStore:
    if request.param is MemoryStore:
        return MemoryStore()
    return SqliteStore(tmp_path / "store.db", secret_check=b"check")


def key(number: int) -> bytes:
    return number.to_bytes(32)


def fill(store: ManagedStore, numbers: range, expires: Callable[[int], int]) -> None:
    assert store.compare_and_swap([Change(key(n), None, b"r", expires(n)) for n in numbers])
    store.commit()


def test_a_slice_is_bounded_and_the_next_goes_on(store: ManagedStore) -> None:
    fill(store, range(100), lambda n: 5)
    assert [store.prune(now=6, limit=30) for _ in range(4)] == [30, 30, 30, 10]
    assert store.count() == 0
    assert store.prune(now=6, limit=30) == 0


def test_looks_at_everything_again_after_the_last(store: ManagedStore) -> None:
    fill(store, range(100), lambda n: n)
    assert sum(store.prune(now=50, limit=30) for _ in range(4)) == 50
    assert sum(store.prune(now=80, limit=30) for _ in range(3)) == 30
    assert [entry.expires for entry in store.records()] == list(range(80, 100))


def test_keeps_to_the_instant(store: ManagedStore) -> None:
    fill(store, range(1), lambda n: 5)
    assert store.prune(now=5, limit=10) == 0
    assert store.prune(now=6, limit=10) == 1
    assert store.read([key(0)]) == [None]


def test_what_was_swapped_since_the_commit_stays(store: ManagedStore) -> None:
    fill(store, range(3), lambda n: 5)
    assert store.compare_and_swap([Change(key(1), b"r", b"later", 50)])
    assert store.prune(now=6, limit=10) == 2
    store.commit()
    assert store.read([key(n) for n in range(3)]) == [None, b"later", None]
    assert store.count() == 1


def test_what_was_pruned_can_be_claimed_anew(store: ManagedStore) -> None:
    fill(store, range(1), lambda n: 5)
    assert store.read([key(0)]) == [b"r"]
    assert store.prune(now=6, limit=10) == 1
    fill(store, range(1), lambda n: 50)
    assert store.count() == 1
