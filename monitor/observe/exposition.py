"""The metrics in Prometheus' exposition format: the table of them, and their reference.

``python -m monitor.observe.exposition`` prints the reference.
"""

import platform
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from monitor.observe.certificates import MAX_CERTIFICATES
from monitor.observe.denials import MAX_DENIALS
from monitor.observe.metrics import Histogram, Labels, Metrics
from monitor.record import RulingRecord, seconds
from monitor.shipped import program_version
from monitor.wire import address

Value = float | None | Histogram | Mapping[Labels, float]

CALL_ID = 60
"""Characters of a Call-ID in an exemplar: OpenMetrics has room for 128 in all labels together."""
_UNSAFE = re.compile(r"[^A-Za-z0-9.@_:+~-]")
"""What is left out of a Call-ID there: readers of exemplars differ in what they take."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of the exposition."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Metrics], Value]
    """None: nothing to tell, and the metric is left out."""
    labels: Labels = ()
    examples: Callable[[Metrics], Mapping[Labels, RulingRecord]] = lambda _: {}
    """The last message behind a value, by its labels."""

    def metric(self, metrics: Metrics) -> Metric | None:
        """The metric with its values as they are now."""
        value = self.read(metrics)
        if value is None:
            return None
        if isinstance(value, Histogram):
            histogram = HistogramMetricFamily(self.name, self.help)
            histogram.add_metric((), _buckets(value), value.total)
            return histogram
        samples: dict[Labels, float] = dict(value) if isinstance(value, Mapping) else {(): value}
        if self.kind == "gauge":
            gauge = GaugeMetricFamily(self.name, self.help, labels=self.labels)
            for labels, number in samples.items():
                gauge.add_metric(labels, number)
            return gauge
        counter = CounterMetricFamily(self.name, self.help, labels=self.labels)
        examples = self.examples(metrics)
        for labels, number in samples.items():
            example = examples.get(labels)
            counter.add_metric(labels, number, exemplar=_exemplar(1, example) if example else None)
        return counter


def _buckets(histogram: Histogram) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Cumulative counts by bound, as the exposition format has them."""
    cumulative = 0
    buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    bounds = (*map(str, map(float, histogram.bounds)), "+Inf")
    for bound, count, example in zip(bounds, list(histogram.counts), histogram.examples, strict=True):
        cumulative += count
        buckets.append((bound, cumulative, _exemplar(*example)) if example else (bound, cumulative))
    return buckets


def _exemplar(value: float, record: RulingRecord) -> Exemplar:
    """What leads from a point of a graph to the event of a message."""
    labels = {
        "spi": record.spi[0] if record.spi else "",
        "source": address.text(record.source),
        "call_id": _UNSAFE.sub("", record.call_id[:CALL_ID]),
    }
    return Exemplar(labels, value, seconds(record.time))


FAMILIES = (
    Family(
        "replay_monitor_packets_total",
        "counter",
        "Packets taken from the queue.",
        Metrics.packets_by_transport,
        ("transport",),
    ),
    Family(
        "replay_monitor_packet_verdicts_total",
        "counter",
        "Verdicts given to the kernel; a message may take several packets.",
        lambda metrics: {(str(verdict),): count for verdict, count in metrics.verdicts.items()},
        ("verdict",),
    ),
    Family(
        "replay_monitor_rewritten_packets_total",
        "counter",
        "Packets that went on with other octets because of a denied message: neutralised, turned into a"
        " reset, or shortened to what stands before the message that the connection is reset for.",
        lambda metrics: {(how,): count for how, count in dict(metrics.rewritten).items()},
        ("how",),
    ),
    Family(
        "replay_monitor_responses_total",
        "counter",
        "Denied requests under a policy that responds: sent, limited by rate, unanswerable (a response, an"
        " ACK, oddly formed, too short), failed.",
        lambda metrics: {(result,): count for result, count in dict(metrics.responses).items()},
        ("result",),
    ),
    Family(
        "replay_monitor_blocks_total",
        "counter",
        "Where [block] is enabled: sources that were blocked, and failed to be; denials that did not count"
        " because their source is spared or unproven; packets of blocked sources that were queued already and"
        " were dropped unjudged.",
        lambda metrics: (
            None if metrics.blocks is None else {(event,): n for event, n in dict(metrics.blocks).items()}
        ),
        ("event",),
    ),
    Family(
        "replay_monitor_messages_total",
        "counter",
        "SIP messages read, by transport and method, for responses that of the CSeq; `other` is none of"
        " those that are registered.",
        lambda metrics: metrics.messages,
        ("transport", "method"),
    ),
    Family(
        "replay_monitor_rulings_total",
        "counter",
        "Rulings, by their one reason, its verdict, the policy that took the message, and whether a denial"
        " takes effect (`enforced`): where a template only observes, it does not.",
        lambda metrics: metrics.rulings,
        ("reason", "verdict", "policy", "enforced"),
        lambda metrics: metrics.examples,
    ),
    Family(
        "replay_monitor_exceptions_total",
        "counter",
        "What could not be told for sure, by name and by the outcome that the policy gave it.",
        lambda metrics: metrics.exceptions,
        ("exception", "outcome"),
    ),
    Family(
        "replay_monitor_alerts_total",
        "counter",
        "Alerts of accepted and denied messages, by name.",
        lambda metrics: metrics.alerts,
        ("alert",),
    ),
    Family(
        "replay_monitor_source_denials_total",
        "counter",
        "Messages denied, by source (IPv6 by its /64) and by the reason or exception. At most"
        f" {MAX_DENIALS} pairs are told apart, each until an hour of silence; what comes beyond is `other`.",
        lambda metrics: {pair: each.count for pair, each in metrics.denials.tallies().items()},
        ("source", "reason"),
    ),
    Family(
        "replay_monitor_source_last_denial_timestamp_seconds",
        "gauge",
        "When a message of that source was last denied for that reason.",
        lambda metrics: {pair: seconds(each.last) for pair, each in metrics.denials.tallies().items()},
        ("source", "reason"),
    ),
    Family(
        "replay_monitor_verdict_latency_seconds",
        "histogram",
        "From a packet's arrival in the kernel to its verdict.",
        lambda metrics: metrics.latency,
    ),
    Family(
        "replay_monitor_batch_packets",
        "histogram",
        "Packets taken from the queue in one batch, which share one commit.",
        lambda metrics: metrics.batch,
    ),
    Family(
        "replay_monitor_commit_seconds",
        "histogram",
        "Duration of one commit of the store.",
        lambda metrics: metrics.commit,
    ),
    Family(
        "replay_monitor_commit_failures_total",
        "counter",
        "Commits that failed: nothing that they were to remember was accepted.",
        lambda metrics: metrics.commit_failures,
    ),
    Family(
        "replay_monitor_key_work_seconds",
        "histogram",
        "From a private-key operation being asked of the keyholder to its answer.",
        lambda metrics: metrics.key_work,
    ),
    Family(
        "replay_monitor_key_work_in_flight",
        "gauge",
        "Private-key operations that the keyholder has not answered yet.",
        lambda metrics: metrics.key_work_in_flight,
    ),
    Family(
        "replay_monitor_key_work_refused_total",
        "counter",
        "Private-key operations that the keyholder did not take on, because a limit was hit.",
        lambda metrics: metrics.key_work_refused,
    ),
    Family(
        "replay_monitor_keyholder_up",
        "gauge",
        "Whether the keyholder runs, 1 or 0; left out where no private keys are held.",
        lambda metrics: metrics.keyholder_up,
    ),
    Family(
        "replay_monitor_held_packets",
        "gauge",
        "Packets that wait for a ruling.",
        lambda metrics: metrics.held,
    ),
    Family(
        "replay_monitor_expired_packets_total",
        "counter",
        "Packets dropped because their ruling took too long.",
        lambda metrics: metrics.expired,
    ),
    Family(
        "replay_monitor_queue_length",
        "gauge",
        "Packets in the kernel's queue that have no verdict yet.",
        lambda metrics: metrics.by_queue("length"),
        ("queue",),
    ),
    Family(
        "replay_monitor_queue_limit",
        "gauge",
        "Packets that may wait in the kernel's queue.",
        Metrics.queue_limits,
        ("queue",),
    ),
    Family(
        "replay_monitor_queue_dropped_total",
        "counter",
        "Packets that the kernel dropped because the queue was full.",
        lambda metrics: metrics.by_queue("dropped"),
        ("queue",),
    ),
    Family(
        "replay_monitor_queue_user_dropped_total",
        "counter",
        "Packets that the kernel dropped because the receive buffer was full.",
        lambda metrics: metrics.by_queue("user_dropped"),
        ("queue",),
    ),
    Family(
        "replay_monitor_queue_overruns_total",
        "counter",
        "Times that the receive buffer was found to have overflowed (ENOBUFS).",
        lambda metrics: metrics.overruns,
    ),
    Family(
        "replay_monitor_netlink_malformed_total",
        "counter",
        "Messages of the kernel that were passed over, since their lengths do not agree with what was read.",
        lambda metrics: metrics.malformed_netlink,
    ),
    Family(
        "replay_monitor_store_records",
        "gauge",
        "Records in the store: associations, dialogs and originators.",
        lambda metrics: metrics.store_records,
    ),
    Family(
        "replay_monitor_store_bytes",
        "gauge",
        "Octets that the store takes up.",
        lambda metrics: metrics.store_bytes,
    ),
    Family(
        "replay_monitor_store_pruned_total",
        "counter",
        "Expired records that were dropped from the store.",
        lambda metrics: metrics.pruned,
    ),
    Family(
        "replay_monitor_events_lost_total",
        "counter",
        "Events that could not be written.",
        lambda metrics: metrics.events_lost,
    ),
    Family(
        "replay_monitor_evidence_written_total",
        "counter",
        "Messages that were kept as evidence.",
        lambda metrics: metrics.evidence_written,
    ),
    Family(
        "replay_monitor_evidence_lost_total",
        "counter",
        "Messages that should have been kept as evidence and could not be.",
        lambda metrics: metrics.evidence_lost,
    ),
    Family(
        "replay_monitor_reloads_total",
        "counter",
        "Reloads of the configuration, by result.",
        lambda metrics: metrics.reloads,
        ("result",),
    ),
    Family(
        "replay_monitor_last_reload_successful",
        "gauge",
        "Whether the last reload succeeded, 1 or 0; 1 where there was none.",
        lambda metrics: metrics.last_reload_successful,
    ),
    Family(
        "replay_monitor_last_reload_success_timestamp_seconds",
        "gauge",
        "When the configuration in force was loaded, by the start or by a reload.",
        lambda metrics: None if metrics.loaded is None else seconds(metrics.loaded),
    ),
    Family(
        "replay_monitor_template_info",
        "gauge",
        "1 for each template in force; its version is equal wherever it says the same.",
        lambda metrics: metrics.templates,
        ("template", "version"),
    ),
    Family(
        "replay_monitor_policy_info",
        "gauge",
        "1 for each policy in force, with what it takes; its version is equal wherever it says the same.",
        lambda metrics: metrics.policies,
        ("policy", "version"),
    ),
    Family(
        "replay_monitor_certificate_expiry_timestamp_seconds",
        "gauge",
        f"When a certificate of a private key held expires: for up to {MAX_CERTIFICATES} of them, those first"
        " that expire next.",
        lambda metrics: metrics.certificates,
        ("subject", "serial"),
    ),
    Family(
        "replay_monitor_core_events_total",
        "counter",
        "What the core counts of its work: fragments and streams that were put together or given up, limits"
        " that were hit, messages that waited for an earlier one.",
        Metrics.core_events,
        ("event",),
    ),
    Family(
        "replay_monitor_unexpected_errors_total",
        "counter",
        "Errors that are mistakes of this program; each packet concerned was dropped, and the log has the"
        " first of each class.",
        lambda metrics: sum(metrics.unexpected.copy().values()),
    ),
    Family(
        "replay_monitor_build_info",
        "gauge",
        "1, with the version of this program and of its Python.",
        lambda _: {(program_version(), platform.python_version()): 1},
        ("version", "python"),
    ),
)
"""Every metric, in the order of the exposition."""


class _Exposition(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        for family in FAMILIES:
            metric = family.metric(self._metrics)
            if metric is not None:
                yield metric


def registry(metrics: Metrics) -> CollectorRegistry:
    """A registry with ``metrics`` and the usual ones of a process and of Python."""
    made = CollectorRegistry(auto_describe=False)
    made.register(_Exposition(metrics))
    ProcessCollector(registry=made)
    PlatformCollector(registry=made)
    GCCollector(registry=made)
    return made


def reference() -> str:
    """``docs/metrics.md``: every metric with its kind, labels and meaning."""
    lines = [
        "# Metrics",
        "",
        "The daemon answers `GET /metrics` where `[metrics]` of its configuration says. Beside these come",
        "the usual `process_*` and `python_*` metrics of the Prometheus client. How to set up Prometheus and",
        "Grafana: [monitoring.md](monitoring.md).",
        "",
        "Every label has a bounded set of values. Whoever asks for OpenMetrics, as Prometheus does, gets",
        "exemplars too: `replay_monitor_rulings_total` and `replay_monitor_verdict_latency_seconds` name the",
        "last message behind a value by `spi`, `source` and `call_id`.",
        "",
        "This page is made from the code: `python -m monitor.observe.exposition > docs/metrics.md`.",
        "",
        "| metric | kind | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(reference(), end="")
