"""What is counted, and how Prometheus sees it."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from monitor.antireplay.ruling import Reason
from monitor.capture.nfqueue import Statistics
from monitor.exceptions import ExceptionName, Outcome
from monitor.observe.exposition import FAMILIES, Exporter, reference, registry
from monitor.observe.metrics import MAX_LABEL_VALUES, Histogram, Metrics
from monitor.record import ExceptionRecord, RulingRecord
from monitor.wire.flow import Flow

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
    denied = (("policy", "default"), ("reason", "key-reused"), ("verdict", "deny"))
    assert found[total, denied] == 2
    assert found["replay_monitor_alerts_total", (("alert", "originator-moved"),)] == 1
    malformed = (("exception", "malformed"), ("outcome", "alert"))
    assert found["replay_monitor_exceptions_total", malformed] == 1


def test_messages_are_counted_as_the_core_counts_them() -> None:
    metrics = Metrics()
    metrics.methods = {"INVITE": 2, "other": 7}
    assert samples(metrics)["replay_monitor_messages_total", (("method", "INVITE"),)] == 2
    assert samples(metrics)["replay_monitor_messages_total", (("method", "other"),)] == 7


def test_no_label_grows_without_bound() -> None:
    metrics = Metrics()
    for number in range(MAX_LABEL_VALUES + 5):
        metrics.count(ruling(Reason.FIRST_USE, f"alert-{number}"))
    assert len(metrics.alerts) == MAX_LABEL_VALUES + 1
    assert metrics.alerts["other",] == 5


def test_the_kernels_account_is_read_at_the_scrape_and_left_out_where_there_is_none() -> None:
    metrics = Metrics({0: lambda: Statistics(5, 6, 7), 1: lambda: None})
    found = samples(metrics)
    assert found["replay_monitor_queue_length", (("queue", "0"),)] == 5
    assert found["replay_monitor_queue_dropped_total", (("queue", "0"),)] == 6
    assert found["replay_monitor_queue_user_dropped_total", (("queue", "0"),)] == 7
    assert ("replay_monitor_queue_length", (("queue", "1"),)) not in found


def test_histograms_are_cumulative_and_bounds_belong_to_their_bucket() -> None:
    histogram = Histogram((0.001, 0.01))
    for value in (0.0005, 0.001, 0.005, 2.0):
        histogram.observe(value)
    assert histogram.buckets() == [("0.001", 2), ("0.01", 3), ("+Inf", 4)]
    assert histogram.total == pytest.approx(2.0065)


def test_a_latency_is_found_in_its_bucket() -> None:
    metrics = Metrics()
    metrics.latency.observe(0.0003)
    found = samples(metrics)
    bucket = "replay_monitor_verdict_latency_seconds_bucket"
    assert found[bucket, (("le", "0.00025"),)] == 0
    assert found[bucket, (("le", "0.0005"),)] == 1
    assert found["replay_monitor_verdict_latency_seconds_count", ()] == 1


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
    assert 'replay_monitor_rulings_total{policy="default",reason="first-use",verdict="accept"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    exporter.close()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)


def test_a_port_in_use_is_an_error_of_the_system() -> None:
    exporter = Exporter(Metrics(), "127.0.0.1", 0)
    with pytest.raises(OSError, match="in use"):
        Exporter(Metrics(), "127.0.0.1", exporter.port)
    exporter.close()


def test_the_reference_is_what_the_code_says() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == reference()
