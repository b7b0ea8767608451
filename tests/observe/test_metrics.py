"""What is counted, and how Prometheus sees it."""

import re
import socket
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as text_string_to_openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from monitor.antireplay.ruling import Reason
from monitor.capture.nfqueue import Statistics
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe.exporter import MAX_CLIENTS, Exporter
from monitor.observe.exposition import FAMILIES, reference, registry
from monitor.observe.metrics import ALERTS, MAX_LABEL_VALUES, Histogram, Metrics
from monitor.record import ExceptionRecord, RulingRecord
from monitor.wire.flow import Flow
from monitor.wire.frame import NANOSECONDS

FLOW = Flow(bytes(4), 5060, bytes(4), 5060, "udp")
ROOT = Path(__file__).parents[2]


def ruling(reason: Reason = Reason.FIRST_USE, *alerts: str, policy: str = "default") -> RulingRecord:
    return RulingRecord(
        1, 1000, FLOW, bytes(4), "INVITE sip:a SIP/2.0", "INVITE", None, "call", 1, reason.verdict, reason,
        "smime-sdes", policy, ("3f9a1c2e",), ("master-key",), alerts,
    )  # fmt: skip


def exception(name: ExceptionName, outcome: Outcome) -> ExceptionRecord:
    return ExceptionRecord(1, 1000, FLOW, bytes(4), name, outcome, "detail")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What a scrape reads: values by name and sorted labels."""
    text = generate_latest(registry(metrics)).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_records_are_counted_by_their_reason_and_outcome() -> None:
    metrics = Metrics()
    metrics.count(ruling())
    metrics.count(ruling(Reason.KEY_REUSED, "originator-moved"))
    metrics.count(ruling(Reason.KEY_REUSED))
    metrics.count(exception(ExceptionName.MALFORMED, Outcome.ALERT))
    found = samples(metrics)
    total = "replay_monitor_rulings_total"
    denied = (("enforced", "true"), ("policy", "default"), ("reason", "key-reused"), ("verdict", "deny"))
    assert found[total, denied] == 2
    assert found["replay_monitor_alerts_total", (("alert", "originator-moved"),)] == 1
    malformed = (("exception", "malformed"), ("outcome", "alert"))
    assert found["replay_monitor_exceptions_total", malformed] == 1


def test_messages_are_counted_as_the_core_counts_them() -> None:
    metrics = Metrics()
    metrics.messages = {("udp", "INVITE"): 2, ("tcp", "other"): 7}
    metrics.core = ({"messages": 9}, {"streams-evicted": 3})
    found = samples(metrics)
    assert found["replay_monitor_messages_total", (("method", "INVITE"), ("transport", "udp"))] == 2
    assert found["replay_monitor_messages_total", (("method", "other"), ("transport", "tcp"))] == 7
    assert found["replay_monitor_core_events_total", (("event", "streams-evicted"),)] == 3


def test_no_label_grows_without_bound() -> None:
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES + 5):
        metrics.count(ruling(Reason.FIRST_USE, f"alert-{number}"))
    assert len(metrics.alerts) == MAX_LABEL_VALUES + 1
    assert metrics.alerts["other",] == 5 + len(ALERTS)


def test_the_kernels_account_is_read_at_the_scrape_and_left_out_where_there_is_none() -> None:
    metrics = Metrics({0: lambda: Statistics(5, 6, 7), 1: lambda: None})
    metrics.queue_limit = 8
    found = samples(metrics)
    assert found["replay_monitor_queue_limit", (("queue", "0"),)] == 8
    assert found["replay_monitor_queue_length", (("queue", "0"),)] == 5
    assert found["replay_monitor_queue_dropped_total", (("queue", "0"),)] == 6
    assert found["replay_monitor_queue_user_dropped_total", (("queue", "0"),)] == 7
    assert ("replay_monitor_queue_length", (("queue", "1"),)) not in found


def test_histograms_are_cumulative_and_bounds_belong_to_their_bucket() -> None:
    histogram = Histogram((0.001, 0.01))
    for value in (0.0005, 0.001, 0.005, 2.0):
        histogram.observe(value)
    assert histogram.counts == [2, 1, 1]
    assert histogram.total == pytest.approx(2.0065)


def test_a_latency_is_found_in_its_bucket() -> None:
    metrics = Metrics()
    metrics.latency.observe(0.0003)
    found = samples(metrics)
    bucket = "replay_monitor_verdict_latency_seconds_bucket"
    assert found[bucket, (("le", "0.00025"),)] == 0
    assert found[bucket, (("le", "0.0005"),)] == 1
    assert found[bucket, (("le", "+Inf"),)] == 1
    assert found["replay_monitor_verdict_latency_seconds_count", ()] == 1


def openmetrics(metrics: Metrics) -> list[Sample]:
    """What a scrape by Prometheus itself reads."""
    text = generate_openmetrics(registry(metrics)).decode()  # type: ignore[no-untyped-call]
    families = text_string_to_openmetrics_families(text)  # type: ignore[no-untyped-call]
    return [sample for family in families for sample in family.samples]


def test_exemplars_lead_to_the_event_of_a_message() -> None:
    metrics = Metrics()
    told = replace(ruling(Reason.KEY_REUSED), source=bytes((192, 0, 2, 66)), time=1_700_000_000_250_000_000)
    hostile = replace(told, reason=Reason.STALE, source=b"\x20\x01" + b"\xff" * 14, call_id='\udcff\n"é' * 99)
    metrics.count(told)
    metrics.count(hostile)
    metrics.latency.observe(0.02, told)
    found = {
        (sample.labels.get("reason") or sample.labels["le"]): sample.exemplar
        for sample in openmetrics(metrics)
        if sample.exemplar
    }
    exemplar = found["key-reused"]
    assert exemplar.labels == {"spi": "3f9a1c2e", "source": "192.0.2.66", "call_id": "call"}
    assert exemplar.value == 1
    assert exemplar.timestamp is not None
    assert float(exemplar.timestamp) == 1_700_000_000.25
    assert (found["0.025"].labels, found["0.025"].value) == (exemplar.labels, 0.02)
    assert sum(len(name) + len(value) for name, value in found["stale"].labels.items()) <= 128
    assert set(found) == {"key-reused", "stale", "0.025"}


def test_what_may_come_is_counted_from_0() -> None:
    metrics = Metrics()
    metrics.expect(["default", "trial"], [False, True])
    found = samples(metrics)
    for policy, enforced in (("default", "true"), ("trial", "false")):
        labels = (("enforced", enforced), ("policy", policy), ("reason", "stale"), ("verdict", "deny"))
        assert found["replay_monitor_rulings_total", labels] == 0
    limit = (("exception", "limit"), ("outcome", "deny"))
    assert found["replay_monitor_exceptions_total", limit] == 0
    assert found["replay_monitor_alerts_total", (("alert", "originator-moved"),)] == 0


def test_a_reload_that_fails_leaves_in_force_what_was_loaded() -> None:
    metrics = Metrics()
    metrics.loaded = 5 * NANOSECONDS
    metrics.count_reload(False, 7 * NANOSECONDS)
    found = samples(metrics)
    assert found["replay_monitor_last_reload_successful", ()] == 0
    assert found["replay_monitor_last_reload_success_timestamp_seconds", ()] == 5
    metrics.count_reload(True, 9 * NANOSECONDS)
    found = samples(metrics)
    assert found["replay_monitor_last_reload_successful", ()] == 1
    assert found["replay_monitor_last_reload_success_timestamp_seconds", ()] == 9


def test_who_is_denied_is_told_by_source_and_reason() -> None:
    metrics = Metrics()
    metrics.count(replace(ruling(Reason.STALE), source=bytes((192, 0, 2, 66)), time=3 * NANOSECONDS))
    metrics.count(exception(ExceptionName.LIMIT, Outcome.DENY))
    metrics.count(exception(ExceptionName.LIMIT, Outcome.ALERT))
    metrics.count(ruling())
    found = samples(metrics)
    stale = (("reason", "stale"), ("source", "192.0.2.66"))
    assert found["replay_monitor_source_denials_total", stale] == 1
    assert found["replay_monitor_source_last_denial_timestamp_seconds", stale] == 3
    limit = (("reason", "limit"), ("source", "0.0.0.0"))
    assert found["replay_monitor_source_denials_total", limit] == 1
    assert sum(value for (name, _), value in found.items() if name.endswith("_denials_total")) == 2


def test_names_follow_the_rules_of_prometheus() -> None:
    names = [family.name for family in FAMILIES]
    assert len(set(names)) == len(names)
    for family in FAMILIES:
        assert re.fullmatch(r"replay_monitor_[a-z_]+", family.name)
        assert family.name.endswith("_total") == (family.kind == "counter")
        assert family.help.endswith(".")
        assert not set(family.labels) & {"le", "quantile", "job", "instance"}


def test_the_exporter_answers_over_http_and_lets_go_of_its_port() -> None:
    metrics = Metrics()
    metrics.count(ruling())
    exporter = Exporter(metrics, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{exporter.port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    assert 'enforced="true",policy="default",reason="first-use",verdict="accept"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    exporter.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_who_only_connects_takes_no_more_than_a_few_threads() -> None:
    exporter = Exporter(Metrics(), "127.0.0.1", 0)
    before = set(threading.enumerate())
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", exporter.port), timeout=10))
            for _ in range(MAX_CLIENTS + 4)
        ]
        assert [channel.recv(1) for channel in idle[MAX_CLIENTS:]] == [b""] * 4, "closed at once"
        # Those of an earlier test may be ending.
        assert len(set(threading.enumerate()) - before) == MAX_CLIENTS
        idle[0].sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert idle[0].recv(15) == b"HTTP/1.0 200 OK"
    exporter.close()


def test_a_port_in_use_is_an_error_of_the_system() -> None:
    exporter = Exporter(Metrics(), "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        Exporter(Metrics(), "127.0.0.1", exporter.port)
    exporter.close()


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == reference()
