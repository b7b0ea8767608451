"""What every engine keeps to, whatever it is."""

import time

import pytest

from monitor.antireplay.table import Change
from monitor.store.managed import FOREVER, Entry, ManagedStore, successor

DAY = 24 * 3600 * 10**9
SOON = time.time_ns() + 400 * DAY
ONE, TWO, THREE = b"\x01" * 32, b"\x02" * 32, b"\x02\xff" * 16


def put(store: ManagedStore, *keys: bytes, record: bytes = b"record", expires: int = SOON) -> None:
    assert store.compare_and_swap([Change(key, None, record, expires) for key in keys])
    store.commit()


def test_reads_nothing_from_an_empty_store(store: ManagedStore) -> None:
    assert store.read([ONE, TWO]) == [None, None]
    assert store.read([]) == []
    assert store.count() == 0
    assert store.records() == []


def test_reads_in_the_order_asked_and_before_the_commit(store: ManagedStore) -> None:
    assert store.compare_and_swap([Change(ONE, None, b"a", SOON), Change(TWO, None, b"b", SOON)])
    assert store.read([TWO, THREE, ONE, TWO]) == [b"b", None, b"a", b"b"]
    store.commit()
    assert store.read([TWO, THREE, ONE, TWO]) == [b"b", None, b"a", b"b"]
    assert store.count() == 2


def test_the_second_claim_fails(store: ManagedStore) -> None:
    assert store.compare_and_swap([Change(ONE, None, b"first", SOON)])
    assert not store.compare_and_swap([Change(ONE, None, b"second", SOON)])
    store.commit()
    assert not store.compare_and_swap([Change(ONE, None, b"second", SOON)])
    assert store.read([ONE]) == [b"first"]


def test_swaps_only_what_stands(store: ManagedStore) -> None:
    put(store, ONE, record=b"old")
    assert not store.compare_and_swap([Change(ONE, b"older", b"new", SOON)])
    assert not store.compare_and_swap([Change(TWO, b"old", b"new", SOON)])
    assert store.compare_and_swap([Change(ONE, b"old", b"new", SOON)])
    assert store.compare_and_swap([Change(ONE, b"new", b"newest", SOON)])
    store.commit()
    assert store.read([ONE, TWO]) == [b"newest", None]
    assert store.count() == 1


def test_swaps_all_or_none(store: ManagedStore) -> None:
    put(store, TWO, record=b"stands")
    changes = [Change(ONE, None, b"new", SOON), Change(TWO, None, b"new", SOON)]
    assert not store.compare_and_swap(changes)
    assert not store.compare_and_swap(changes[::-1])
    store.commit()
    assert store.read([ONE, TWO]) == [None, b"stands"]
    assert store.compare_and_swap([])


def test_an_empty_record_is_a_record(store: ManagedStore) -> None:
    put(store, ONE, record=b"")
    assert store.read([ONE]) == [b""]
    assert not store.compare_and_swap([Change(ONE, None, b"x", SOON)])
    assert store.compare_and_swap([Change(ONE, b"", b"x", SOON)])


def test_records_are_octets(store: ManagedStore) -> None:
    record = bytes(range(256)) * 40
    put(store, b"\0" * 32, b"\r\n*?[]\\-^" + b"\xff" * 23, record=record)
    assert store.read([b"\0" * 32, b"\r\n*?[]\\-^" + b"\xff" * 23]) == [record, record]


def test_lists_by_key_in_pages(store: ManagedStore) -> None:
    put(store, THREE, ONE, TWO)
    everything = [Entry(key, b"record", SOON) for key in (ONE, TWO, THREE)]
    assert store.records() == everything
    assert store.records(limit=2) == everything[:2]
    assert store.records(after=TWO) == everything[2:]
    assert store.records(prefix=b"\x02") == everything[1:]
    assert store.records(prefix=b"\x02", after=TWO) == everything[2:]
    assert store.records(prefix=b"\x02", after=b"\xf0") == []
    assert store.records(prefix=b"\xff") == []


@pytest.mark.parametrize("stem", [b"*", b"?", b"[", b"\\", b"\xff"])
def test_a_prefix_is_taken_to_the_letter(store: ManagedStore, stem: bytes) -> None:
    put(store, stem + ONE[1:], ONE, b"a" * 32)
    assert [entry.key for entry in store.records(prefix=stem)] == [stem + ONE[1:]]


def test_the_latest_expiry_is_the_last_that_fits(store: ManagedStore) -> None:
    put(store, ONE, expires=253402300799 * 10**9)
    assert store.records() == [Entry(ONE, b"record", FOREVER)]


def test_forgets(store: ManagedStore) -> None:
    put(store, ONE, TWO)
    assert store.forget(ONE)
    assert not store.forget(ONE)
    assert store.read([ONE, TWO]) == [None, b"record"]
    assert store.count() == 1
    put(store, ONE, record=b"anew")
    assert store.read([ONE]) == [b"anew"]
    assert store.count() == 2


def test_forgets_what_is_not_committed_too(store: ManagedStore) -> None:
    put(store, ONE)
    assert store.compare_and_swap([Change(ONE, b"record", b"later", SOON), Change(TWO, None, b"x", SOON)])
    assert store.forget(ONE)
    store.forget(TWO)
    store.commit()
    assert store.read([ONE, TWO]) == [None, None]
    assert store.count() == 0


def test_tells_its_size(store: ManagedStore) -> None:
    put(store, ONE, record=bytes(1000))
    assert store.size_bytes() >= 1000


@pytest.mark.parametrize(
    ("prefix", "after"), [(b"a", b"b"), (b"a\xff", b"b"), (b"\xff", None), (b"", None), (b"a\xfe", b"a\xff")]
)
def test_successor(prefix: bytes, after: bytes | None) -> None:
    assert successor(prefix) == after
