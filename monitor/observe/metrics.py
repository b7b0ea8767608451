"""What the daemon counts.

The event loop counts in plain integers and dictionaries; a scrape, in a thread of its own, reads copies of
them (see ``exposition``). Every label has a bounded set of values.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

from monitor.antireplay.ruling import Reason, Verdict
from monitor.antireplay.signer import SIGNER_CHANGED
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe.denials import Denials
from monitor.record import Record, RulingRecord

LATENCY_BOUNDS = (
    *(50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
"""Upper bounds of the duration buckets (seconds): from a verdict without any store to a packet that is held
for as long as one may be, with the retransmission timer T1 = 0.5 s (RFC 3261 §17.1.1.1) among them."""
BATCH_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Upper bounds of the batch size buckets (packets)."""
MAX_LABEL_VALUES = 100
"""Values of a label that is not bounded by its nature; what comes beyond is counted as ``other``."""
OTHER = "other"
ALERTS = (
    *map(str, (Reason.MOVED, Reason.REKEY_MISSING, Reason.DUPLICATE_KEY, Reason.ORIGINATOR_MOVED)),
    SIGNER_CHANGED,
)
"""The alerts of the judge; tools have further ones."""

Labels = tuple[str, ...]


class Histogram:
    """Observations by upper bound."""

    __slots__ = ("bounds", "counts", "examples", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self.examples: list[tuple[float, RulingRecord] | None] = [None] * (len(bounds) + 1)
        """By bucket, an observation with the message that it was made of."""

    def observe(self, value: float, example: RulingRecord | None = None, times: int = 1) -> None:
        """Count ``value``, in the unit of the bounds, so many times."""
        index = bisect_left(self.bounds, value)
        self.counts[index] += times
        self.total += value * times
        if example is not None:
            self.examples[index] = value, example


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
        self.queue_limit: int | None = None
        """Packets that may wait in each queue."""
        self.messages: Mapping[Labels, int] = MappingProxyType({})
        """Messages read, by transport and method, as the core counts them."""
        self.core: tuple[Mapping[str, int], ...] = ()
        """What the core counts besides."""
        self.packets = [0] * 256
        """Packets taken from the queue, by IP protocol number."""
        self.rewritten: Mapping[str, int] = MappingProxyType({})
        """Packets that went on with other octets, by what was done to them, as the enforcer counts them."""
        self.responses: Mapping[str, int] = MappingProxyType({})
        """What became of responses to denied requests, as the enforcer counts them."""
        self.blocks: Mapping[str, int] | None = None
        """What became of denials that may block their source, as the blocker counts them; None: none does."""
        self.verdicts = dict.fromkeys(Verdict, 0)
        # Counters begin at 0, not with what they first count: Prometheus sees an increase from then on.
        self.rulings: dict[Labels, int] = {}
        self.examples: dict[Labels, RulingRecord] = {}
        """The last ruling of each kind."""
        self.exceptions: dict[Labels, int] = {
            (name.value, outcome.value): 0 for name in ExceptionName for outcome in Outcome
        }
        self.alerts: dict[Labels, int] = dict.fromkeys(((alert,) for alert in ALERTS), 0)
        self.denials = Denials()
        self.unexpected: dict[str, int] = {}
        self.latency = Histogram(LATENCY_BOUNDS)
        self.batch = Histogram(BATCH_BOUNDS)
        self.commit = Histogram(LATENCY_BOUNDS)
        self.commit_failures = 0
        self.store_failed: float | None = None
        """When the store last failed to answer or to commit (``time.monotonic``)."""
        self.key_work = Histogram(LATENCY_BOUNDS)
        self.key_work_in_flight = 0
        self.keyholder_up: bool | None = None
        """None where no private keys are held."""
        self.held = 0
        self.expired = 0
        self.overruns = 0
        self.malformed_netlink = 0
        self.events_lost = 0
        self.evidence_written = 0
        self.evidence_lost = 0
        self.key_work_refused = 0
        self.store_records: int | None = None
        self.store_bytes: int | None = None
        self.pruned = 0
        self.reloads: dict[Labels, int] = {("success",): 0, ("failure",): 0}
        self.last_reload_successful = True
        self.loaded: int | None = None
        """When the configuration in force was read (nanoseconds since the epoch)."""
        self.templates: Mapping[Labels, int] = MappingProxyType({})
        """1 for each template in force, by name and version."""
        self.policies: Mapping[Labels, int] = MappingProxyType({})
        """1 for each policy in force, by name and version."""
        self.certificates: Mapping[Labels, float] = MappingProxyType({})
        """When the certificates of the keys held expire (seconds since the epoch), by subject and serial."""

    def expect(self, policies: Collection[str], enforced: Iterable[bool]) -> None:
        """Have a counter for every ruling under ``policies``, by templates that enforce or only observe."""
        for effect in enforced:
            for policy in policies:
                for reason in Reason:
                    labels = (reason.value, reason.verdict.value, policy, str(effect).lower())
                    self.rulings.setdefault(labels, 0)

    def count(self, record: Record) -> None:
        """Count one ruling or exception."""
        if isinstance(record, RulingRecord):
            reason = record.reason.value
            # As many policies as the operator makes.
            labels = (reason, record.verdict.value, record.policy, str(record.enforced).lower())
            self.rulings[labels] = self.rulings.get(labels, 0) + 1
            self.examples[labels] = record
            for alert in record.alerts:
                _add(self.alerts, (alert,))
        else:
            reason = record.exception.value
            _add(self.exceptions, (reason, record.outcome.value))
        if record.denies:
            self.denials.count(record.source, reason, record.time)

    def count_unexpected(self, kind: str) -> int:
        """Count an error that should not be, by the name of its class; how many of them there were before."""
        seen = self.unexpected.get(kind, 0)
        self.unexpected[kind] = seen + 1
        return seen

    def count_reload(self, successful: bool, now: int) -> None:
        """Count a reload; one that fails leaves in force what was loaded before."""
        self.reloads["success" if successful else "failure",] += 1
        self.last_reload_successful = successful
        if successful:
            self.loaded = now

    def packets_by_transport(self) -> dict[Labels, int]:
        """Packets taken from the queue: ``udp``, ``tcp`` and the rest."""
        packets = list(self.packets)
        return {
            ("tcp",): packets[6],
            ("udp",): packets[17],
            (OTHER,): sum(packets) - packets[6] - packets[17],
        }

    def core_events(self) -> dict[Labels, int]:
        """What the core counts besides messages."""
        return {(name,): number for counts in self.core for name, number in dict(counts).items()}

    def by_queue(self, name: str) -> dict[Labels, int]:
        """One number of the kernel's accounts, by queue."""
        accounts = {queue: account() for queue, account in self._queues.items()}
        return {(str(queue),): getattr(each, name) for queue, each in accounts.items() if each is not None}

    def queue_limits(self) -> dict[Labels, int]:
        """Packets that may wait, by queue."""
        return {(str(queue),): self.queue_limit for queue in self._queues if self.queue_limit is not None}


def _add(counts: dict[Labels, int], labels: Labels) -> None:
    if labels not in counts and len(counts) >= MAX_LABEL_VALUES:
        labels = (OTHER,) * len(labels)
    counts[labels] = counts.get(labels, 0) + 1
