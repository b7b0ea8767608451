"""Pruning beside the queue: in slices, with packets between them."""

from pathlib import Path

import pytest
from test_service import Core, Queue

from monitor import service as service_module
from monitor.antireplay.ruling import Verdict
from monitor.antireplay.table import Change
from monitor.observe.metrics import Metrics
from monitor.service import Service
from monitor.store.sqlite import SqliteStore

EXPIRED = 100_000


class Watched(SqliteStore):
    """Tells how often it was asked to prune, and for how much at the most."""

    slices = 0
    largest = 0

    def prune(self, now: int, limit: int) -> int:
        self.slices += 1
        self.largest = max(self.largest, limit)
        return super().prune(now, limit)


def test_while_a_large_store_is_pruned_packets_wait_for_a_slice_at_the_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "TICK", 0.0)  # a slice after each batch
    store = Watched(tmp_path / "store.db", secret_check=b"check")
    for first in range(0, EXPIRED, 20_000):
        numbers = range(first, first + 20_000)
        assert store.compare_and_swap([Change(n.to_bytes(32), None, b"expired", 1) for n in numbers])
        store.commit()
    lasting = Change(b"\xff" * 32, None, b"lasting", 1 << 62)
    assert store.compare_and_swap([lasting])
    store.commit()
    queue, metrics = Queue(), Metrics()
    service = Service([queue], Core(), metrics=metrics, store=store)
    while store.count() > 1:
        before = store.slices
        (packet,) = queue.put(b"a")
        service._turn()
        assert packet.verdict is Verdict.ACCEPT, "the packet waited for more than a slice"
        assert store.slices == before + 1
    assert metrics.pruned == EXPIRED
    assert store.largest == service_module.PRUNE_SLICE <= 200
    assert store.read([lasting.key]) == [b"lasting"]
    service.stop()
    service.run()
    store.close()
