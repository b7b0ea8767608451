"""The operator's overview: is it working, is someone attacking, who."""

from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard, ValueMap, ValueMappingResult

from grafana.panels import (
    AGO,
    GREEN,
    HALF,
    RED,
    SELECTED,
    YELLOW,
    bars,
    board,
    increase,
    metric,
    quantile,
    rate,
    series,
    stat,
    table,
    thresholds,
)

RULINGS = ("rulings_total", 'verdict="deny"')
EXCEPTIONS = ("exceptions_total", 'outcome="deny"')
"""Metrics with matchers: what was denied."""
RECENT = f"{metric('source_last_denial_timestamp_seconds')} > time() - $__range_s"
"""The sources and reasons of denials in the time shown."""
LOST = ("queue_dropped_total", "queue_user_dropped_total", "expired_packets_total")


def dashboard() -> Dashboard:
    """The dashboard."""
    made = board(
        "Replay monitor: overview",
        "replay-monitor-overview",
        "Is the monitor working, is someone attacking, and who? For details of an attack see the incident"
        " dashboard, for delays the one on performance.",
    )
    made.with_row(Row("At a glance"))
    made.with_panel(
        stat("Monitors", "Whether Prometheus reaches every monitor.", f"min(up{{{SELECTED}}})")
        .mappings(
            [
                ValueMap(
                    {
                        "0": ValueMappingResult(text="DOWN", color=RED, index=0),
                        "1": ValueMappingResult(text="up", color=GREEN, index=1),
                    }
                )
            ]
        )
        .no_value("none")
    )
    made.with_panel(
        stat(
            "Denied messages",
            "Messages that were denied in the time shown: by a ruling, or for an exception that denies.",
            " + ".join(increase(*denied, window="$__range") for denied in (RULINGS, EXCEPTIONS)),
        )
        .decimals(0)
        .thresholds(thresholds((0.5, RED)))
    )
    made.with_panel(
        stat(
            "Denied sources",
            "Sources of which something was denied in the time shown.",
            f"count(count by (source) ({RECENT})) or vector(0)",
        ).thresholds(thresholds((1, YELLOW), (10, RED)))
    )
    made.with_panel(
        stat(
            "Alerts firing",
            "Alerts of rules/prometheus that fire now; docs/alerts.md tells what to do about each.",
            'count(ALERTS{alertname=~"ReplayMonitor.+",alertstate="firing"}) or vector(0)',
        ).thresholds(thresholds((1, RED)))
    )
    made.with_panel(
        stat(
            "Verdict within",
            "99 of 100 packets have their verdict within this time. From T1 = 0.5 s on, phones send again.",
            quantile(0.99, "verdict_latency_seconds"),
            unit=units.Seconds,
        )
        .thresholds(thresholds((0.1, YELLOW), (0.5, RED)))
        .no_value("no packets")
    )
    made.with_panel(
        stat(
            "Packets lost",
            "Packets that nobody judged, in the time shown: the queue or its buffer was full, or their ruling"
            " took too long.",
            " + ".join(increase(name, window="$__range") for name in LOST),
        )
        .decimals(0)
        .thresholds(thresholds((0.5, RED)))
    )

    made.with_row(Row("Is someone attacking, and who?"))
    made.with_panel(
        bars(
            series(
                "Denials by reason",
                "docs/rulings.md tells what each reason means. A point leads to one message: its SPI, source"
                " and Call-ID.",
                (increase(*RULINGS, by="reason") + " > 0", "{{reason}}"),
                (increase(*EXCEPTIONS, by="exception") + " > 0", "{{exception}}"),
                exemplars=True,
                width=HALF,
            )
        ).no_value("Nothing was denied")
    )
    incident = {
        "title": "Incident of ${__value.text}",
        "url": "/d/replay-monitor-incident?var-source=${__value.text}&${datasource:queryparam}"
        "&${job:queryparam}&${instance:queryparam}&${__url_time_range}",
    }
    made.with_panel(
        table(
            "Denied sources",
            "Who was denied in the time shown, and why. The number counts from the start of the monitor."
            " A click on a source shows its incident.",
            f"sum by (source, reason) ({metric('source_denials_total')} and {RECENT})",
            f"1000 * max by (source, reason) ({RECENT})",
            names={"source": "Source", "reason": "Reason", "Value #A": "Denied", "Value #B": "Last"},
            columns={"Source": {"links": [incident]}, "Last": AGO},
            width=HALF,
        ).no_value("Nobody was denied")
    )

    made.with_row(Row("Is it working?"))
    made.with_panel(
        series(
            "Messages by method",
            "SIP messages read. None at all while there are calls: the kernel rules are not there.",
            (rate("messages_total", by="transport, method") + " > 0", "{{method}} {{transport}}"),
            unit=units.RequestsPerSecond,
        )
    )
    made.with_panel(
        bars(
            series(
                "Accepted by reason",
                "Messages with key material that were let through. Many `retransmission`: packets get lost.",
                (increase("rulings_total", 'verdict="accept"', by="reason") + " > 0", "{{reason}}"),
            )
        )
    )
    made.with_panel(
        bars(
            series(
                "Exceptions",
                "What could not be told for sure, by name and outcome. `undecryptable` alone is ordinary: it"
                " counts envelopes for others.",
                (
                    increase("exceptions_total", by="exception, outcome") + " > 0",
                    "{{exception}}: {{outcome}}",
                ),
            )
        ).no_value("Everything was clear")
    )

    made.with_row(Row("What is in force"))
    made.with_panel(
        table(
            "Alerts",
            "Alerts that fire or are about to; docs/alerts.md tells what to do about each.",
            'ALERTS{alertname=~"ReplayMonitor.+"}',
            names={
                "alertname": "Alert",
                "severity": "Severity",
                "alertstate": "State",
                "instance": "Monitor",
            },
        ).no_value("All is quiet")
    )
    made.with_panel(
        table(
            "Certificates",
            "When the certificates of the private keys held expire.",
            f"1000 * {metric('certificate_expiry_timestamp_seconds')}",
            names={"subject": "Subject", "serial": "Serial", "Value #A": "Expires"},
            columns={"Expires": AGO},
        ).no_value("No keys are held")
    )
    made.with_panel(
        table(
            "Templates and policies",
            "What the monitors rule by. Equal versions say the same, whatever their files look like.",
            metric("template_info"),
            metric("policy_info"),
            names={"template": "Template", "policy": "Policy", "version": "Version", "instance": "Monitor"},
        )
    )
    return made.build()
