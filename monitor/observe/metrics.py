"""What the daemon counts.

The event loop counts in plain integers and dictionaries; a scrape, in a thread of its own, reads copies of
them (see ``exposition``). Every label has a bounded set of values.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from monitor.antireplay.ruling import Verdict
from monitor.record import Record, RulingRecord

LATENCY_BOUNDS = (50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the duration buckets (seconds)."""
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the batch size buckets (packets)."""
MAX_LABEL_VALUES = 100
"""Values of a label that is not bounded by its nature; what comes beyond is counted as ``other``."""
OTHER = "other"

Labels = tuple[str, ...]


class Histogram:
    """Observations by upper bound."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count ``value``, in the unit of the bounds."""
        self.counts[bisect_left(self.bounds, value)] += times
        self.total += value * times

    def buckets(self) -> list[tuple[str, int]]:
        """Cumulative counts by bound, as the exposition format has them."""
        cumulative = 0
        buckets = []
        for bound, count in zip((*self.bounds, float("inf")), list(self.counts), strict=True):
            cumulative += count
            buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), cumulative))
        return buckets


class QueueAccount(Protocol):
    """The kernel's account of the queue (see ``capture.nfqueue.Statistics``)."""

    @property
    def length(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def user_dropped(self) -> int: ...


class Metrics:
    """All that is counted, in plain attributes that the event loop adds to.

    :param queues: by number, what gives the kernel's account of that queue: None where it cannot be read.
    """

    def __init__(
        self,
        queues: Mapping[int, Callable[[], QueueAccount | None]] = MappingProxyType({}),
    ) -> None:
        self._queues = queues
        self.methods: Mapping[str, int] = MappingProxyType({})
        """Messages read, by method, as the core counts them."""
        self.packets = [0] * 256
        """Packets taken from the queue, by IP protocol number."""
        self.verdicts = dict.fromkeys(Verdict, 0)
        self.rulings: dict[Labels, int] = {}
        self.exceptions: dict[Labels, int] = {}
        self.alerts: dict[Labels, int] = {}
        self.unexpected: dict[Labels, int] = {}
        self.latency = Histogram(LATENCY_BOUNDS)
        self.batch = Histogram(BATCH_BOUNDS)
        self.commit = Histogram(LATENCY_BOUNDS)
        self.key_work = Histogram(LATENCY_BOUNDS)
        self.key_work_in_flight = 0
        self.held = 0
        self.expired = 0
        self.overruns = 0
        self.events_lost = 0
        self.store_records: int | None = None
        self.store_bytes: int | None = None
        self.pruned = 0
        self.reloads: dict[Labels, int] = {("success",): 0, ("failure",): 0}

    def count(self, record: Record) -> None:
        """Count one ruling or exception."""
        if isinstance(record, RulingRecord):
            _add(self.rulings, (str(record.reason), str(record.verdict), record.policy))
            for alert in record.alerts:
                _add(self.alerts, (alert,))
        else:
            _add(self.exceptions, (str(record.exception), str(record.outcome)))

    def count_unexpected(self, kind: str) -> int:
        """Count an error that should not be, by the name of its class; how many of them there were before."""
        seen = self.unexpected.get((kind,), 0)
        _add(self.unexpected, (kind,))
        return seen

    def packets_by_transport(self) -> dict[Labels, int]:
        """Packets taken from the queue: ``udp``, ``tcp`` and the rest."""
        packets = list(self.packets)
        return {
            ("tcp",): packets[6],
            ("udp",): packets[17],
            (OTHER,): sum(packets) - packets[6] - packets[17],
        }

    def messages_by_method(self) -> dict[Labels, int]:
        """Messages read."""
        return {(method,): number for method, number in dict(self.methods).items()}

    def by_queue(self, name: str) -> dict[Labels, int]:
        """One number of the kernel's accounts, by queue."""
        accounts = {queue: account() for queue, account in self._queues.items()}
        return {(str(queue),): getattr(each, name) for queue, each in accounts.items() if each is not None}


def _add(counts: dict[Labels, int], labels: Labels) -> None:
    if labels not in counts and len(counts) >= MAX_LABEL_VALUES:
        labels = (OTHER,) * len(labels)
    counts[labels] = counts.get(labels, 0) + 1
