"""The operator's overview: is it working, is someone attacking, who."""

from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard, ValueMap, ValueMappingResult

from grafana.panels import (
    GREEN,
    HALF,
    RED,
    SELECTED,
    THIRD,
    YELLOW,
    bars,
    board,
    column,
    metric,
    quantile,
    series,
    stat,
    table,
    thresholds,
)

DENIED_RULINGS = metric("rulings_total", 'verdict="deny"')
DENIED_EXCEPTIONS = metric("exceptions_total", 'outcome="deny"')
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
            f"sum(increase({DENIED_RULINGS}[$__range])) + sum(increase({DENIED_EXCEPTIONS}[$__range]))",
        )
        .decimals(0)
        .thresholds(thresholds((0.5, RED)))
    )
    made.with_panel(
        stat(
            "Denied sources",
            "Sources of which something was denied in the time shown.",
            "count(count by (source) ("
            f"{metric('source_last_denial_timestamp_seconds')} > time() - $__range_s)) or vector(0)",
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
            " + ".join(f"sum(increase({metric(name)}[$__range]))" for name in LOST),
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
                (f"sum by (reason) (increase({DENIED_RULINGS}[$__rate_interval])) > 0", "{{reason}}"),
                (
                    f"sum by (exception) (increase({DENIED_EXCEPTIONS}[$__rate_interval])) > 0",
                    "{{exception}}",
                ),
                exemplars=True,
                width=HALF,
            )
        ).no_value("Nothing was denied")
    )
    made.with_panel(
        column(
            column(
                table(
                    "Denied sources",
                    "Who was denied in the time shown, and why. The number counts from the start of the"
                    " monitor. A click on a source shows its incident.",
                    "sum by (source, reason) ("
                    + metric("source_denials_total")
                    + ") and on (source, reason) ("
                    + metric("source_last_denial_timestamp_seconds")
                    + " > time() - $__range_s)",
                    "1000 * max by (source, reason) ("
                    + metric("source_last_denial_timestamp_seconds")
                    + " > time() - $__range_s)",
                    names={
                        "source": "Source",
                        "reason": "Reason",
                        "Value #A": "Denied",
                        "Value #B": "Last",
                    },
                    width=HALF,
                ).no_value("Nobody was denied"),
                "Last",
                unit=units.DateTimeFromNow,
            ),
            "Source",
            links=[
                {
                    "title": "Incident of ${__value.text}",
                    "url": "/d/replay-monitor-incident?var-source=${__value.text}&${datasource:queryparam}"
                    "&${job:queryparam}&${instance:queryparam}&${__url_time_range}",
                }
            ],
        )
    )

    made.with_row(Row("Is it working?"))
    made.with_panel(
        series(
            "Messages by method",
            "SIP messages read. None at all while there are calls: the kernel rules are not there.",
            (
                f"sum by (transport, method) (rate({metric('messages_total')}[$__rate_interval])) > 0",
                "{{method}} {{transport}}",
            ),
            unit=units.RequestsPerSecond,
        )
    )
    made.with_panel(
        bars(
            series(
                "Accepted by reason",
                "Messages with key material that were let through. Many `retransmission`: packets get lost.",
                (
                    "sum by (reason) (increase("
                    + metric("rulings_total", 'verdict="accept"')
                    + "[$__rate_interval])) > 0",
                    "{{reason}}",
                ),
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
                    "sum by (exception, outcome) (increase("
                    + metric("exceptions_total")
                    + "[$__rate_interval])) > 0",
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
            width=THIRD,
        ).no_value("All is quiet")
    )
    made.with_panel(
        column(
            table(
                "Certificates",
                "When the certificates of the private keys held expire.",
                f"1000 * {metric('certificate_expiry_timestamp_seconds')}",
                names={"subject": "Subject", "serial": "Serial", "Value #A": "Expires"},
            ).no_value("No keys are held"),
            "Expires",
            unit=units.DateTimeFromNow,
        )
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
