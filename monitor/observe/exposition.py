"""The metrics in Prometheus' exposition format: the table of them, ``/metrics`` over HTTP, their reference.

``python -m monitor.observe.exposition`` prints the reference.
"""

import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Literal
from wsgiref.simple_server import WSGIServer

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.observe.metrics import Histogram, Labels, Metrics

Value = float | None | Histogram | Mapping[Labels, float]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of the exposition."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    read: Callable[[Metrics], Value]
    """None: nothing to tell, and the metric is left out."""
    labels: Labels = ()

    def metric(self, metrics: Metrics) -> Metric | None:
        """The metric with its values as they are now."""
        value = self.read(metrics)
        if value is None:
            return None
        if isinstance(value, Histogram):
            return HistogramMetricFamily(self.name, self.help, buckets=value.buckets(), sum_value=value.total)
        make = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = make(self.name, self.help, labels=self.labels)
        samples: dict[Labels, float] = dict(value) if isinstance(value, Mapping) else {(): value}
        for labels, number in samples.items():
            family.add_metric(labels, number)
        return family


def _version() -> str:
    try:
        return version("sip-replay-monitor")
    except PackageNotFoundError:
        return "unknown"


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
        "replay_monitor_messages_total",
        "counter",
        "SIP messages read, by method, for responses that of the CSeq.",
        Metrics.messages_by_method,
        ("method",),
    ),
    Family(
        "replay_monitor_rulings_total",
        "counter",
        "Rulings, by their one reason, its verdict and the policy that took the message.",
        lambda metrics: metrics.rulings,
        ("reason", "verdict", "policy"),
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
        "replay_monitor_reloads_total",
        "counter",
        "Reloads of the configuration, by result.",
        lambda metrics: metrics.reloads,
        ("result",),
    ),
    Family(
        "replay_monitor_unexpected_errors_total",
        "counter",
        "Errors that are mistakes of this program, by class; each packet concerned was dropped.",
        lambda metrics: metrics.unexpected,
        ("kind",),
    ),
    Family(
        "replay_monitor_build_info",
        "gauge",
        "1, with the version of this program and of its Python.",
        lambda _: {(_version(), platform.python_version()): 1},
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


class Exporter:
    """``/metrics`` over HTTP, from a thread of its own.

    :raises OSError: the address or port cannot be had.
    """

    def __init__(self, metrics: Metrics, address: str, port: int) -> None:
        started: tuple[WSGIServer, Thread] = start_http_server(port, address, registry(metrics))
        self._server, self._thread = started

    @property
    def port(self) -> int:
        """The port listened on, also where 0 was asked for."""
        return self._server.server_port

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def reference() -> str:
    """``docs/metrics.md``: every metric with its kind, labels and meaning."""
    lines = [
        "# Metrics",
        "",
        "The daemon answers `GET /metrics` where `[metrics]` of its configuration says. Beside these come",
        "the usual `process_*` and `python_*` metrics of the Prometheus client.",
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
