"""The performance view: where the time goes, and how near the limits are."""

from grafana_foundation_sdk.builders.common import ScaleDistributionConfig
from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import ScaleDistribution
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from grafana.panels import (
    HALF,
    RED,
    SELECTED,
    SOURCE,
    YELLOW,
    board,
    limits,
    metric,
    quantile,
    rate,
    series,
    stat,
    thresholds,
)


def dashboard() -> Dashboard:
    """The dashboard."""
    made = board(
        "Replay monitor: performance",
        "replay-monitor-performance",
        "How long verdicts take and why, how near queue, keyholder and store are to their limits.",
    )
    fill = f"max({metric('queue_length')} / {metric('queue_limit')})"
    made.with_row(Row("At a glance"))
    made.with_panel(
        stat("Packets", "Packets taken from the queue.", rate("packets_total"), unit=units.PacketsPerSecond)
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
        stat("Fullest queue", "How full the fullest queue is.", fill, unit=units.PercentUnit)
        .decimals(0)
        .thresholds(thresholds((0.5, YELLOW), (0.9, RED)))
        .no_value("unknown")
    )
    made.with_panel(
        stat("Held packets", "Packets that wait for a ruling.", f"sum({metric('held_packets')})").thresholds(
            thresholds((1000, YELLOW), (3000, RED))
        )
    )
    made.with_panel(
        stat(
            "Busiest monitor",
            "Share of one core that the busiest event loop uses; it cannot use more than one.",
            f"max(rate(process_cpu_seconds_total{{{SELECTED}}}[$__rate_interval]))",
            unit=units.PercentUnit,
        )
        .decimals(0)
        .thresholds(thresholds((0.6, YELLOW), (0.85, RED)))
    )
    made.with_panel(
        stat(
            "Records",
            "Records in the store: associations, dialogs and originators.",
            f"sum({metric('store_records')})",
        ).no_value("unknown")
    )

    made.with_row(Row("How long do verdicts take?"))
    made.with_panel(
        limits(
            series(
                "Verdict latency",
                "From a packet's arrival in the kernel to its verdict. The line is T1 = 0.5 s, after which"
                " phones send again. A point leads to one message: its SPI, source and Call-ID.",
                *(
                    (quantile(share, "verdict_latency_seconds"), f"{share:.1%}")
                    for share in (0.5, 0.95, 0.99, 0.999)
                ),
                unit=units.Seconds,
                exemplars=True,
                width=HALF,
            ),
            (0.5, RED),
        )
    )
    made.with_panel(
        Heatmap()
        .title("Verdict latency, all packets")
        .description(
            "How many packets took how long: two bands are two kinds of packets, with key work and without."
        )
        .datasource(SOURCE)
        .span(HALF)
        .height(8)
        .calculate(False)
        .y_axis(YAxisConfig().unit(units.Seconds))
        .color(HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Turbo").steps(64))
        .scale_distribution(ScaleDistributionConfig().type(ScaleDistribution.LINEAR))
        .with_target(
            Dataquery()
            .ref_id("A")
            .expr(f"sum by (le) (increase({metric('verdict_latency_seconds_bucket')}[$__rate_interval]))")
            .format(PromQueryFormat.HEATMAP)
            .legend_format("{{le}}")
            .range()
        )
    )

    made.with_row(Row("The queue"))
    made.with_panel(
        series(
            "Packets and verdicts",
            "Packets taken from the queue, and verdicts given.",
            (rate("packets_total", by="transport"), "{{transport}}"),
            (rate("packet_verdicts_total", by="verdict"), "verdict {{verdict}}"),
            unit=units.PacketsPerSecond,
        )
    )
    made.with_panel(
        series(
            "Queue length",
            "Packets without a verdict, against the most that may wait.",
            (f"sum by (queue) ({metric('queue_length')})", "queue {{queue}}"),
            (f"sum by (queue) ({metric('queue_limit')})", "limit of {{queue}}"),
        )
    )
    made.with_panel(
        series(
            "Lost packets",
            "Packets that nobody judged. Queue full: the monitor is too slow, or `length` too small. Buffer"
            " full: the same, with large packets. Too long held: the keyholder or the store is stuck.",
            (rate("queue_dropped_total"), "queue full"),
            (rate("queue_user_dropped_total"), "buffer full"),
            (rate("expired_packets_total"), "held too long"),
            unit=units.PacketsPerSecond,
        )
    )

    made.with_row(Row("The store"))
    made.with_panel(
        series(
            "Commits",
            "Duration of a commit. Every verdict of a batch waits for it.",
            (quantile(0.5, "commit_seconds"), "50%"),
            (quantile(0.99, "commit_seconds"), "99%"),
            unit=units.Seconds,
        )
    )
    made.with_panel(
        series(
            "Packets in a batch",
            "Packets that share a commit: batches grow with the load, which makes each packet cheaper.",
            (quantile(0.5, "batch_packets"), "50%"),
            (quantile(0.99, "batch_packets"), "99%"),
        )
    )
    made.with_panel(
        series(
            "Growth",
            "How many more records an hour are in the store, at the pace of the last ten minutes; 0 once"
            " as many expire as come.",
            (f"3600 * sum(deriv({metric('store_records')}[10m]))", "records an hour"),
        )
    )

    made.with_row(Row("Private keys, and the rest of the machine"))
    made.with_panel(
        series(
            "Private-key operations",
            "From asking the keyholder to its answer.",
            (quantile(0.5, "key_work_seconds"), "50%"),
            (quantile(0.99, "key_work_seconds"), "99%"),
            unit=units.Seconds,
        )
    )
    made.with_panel(
        series(
            "Waiting for private keys",
            "Operations that are not answered yet, packets that wait, and operations that were refused, since"
            " too many of one source or of all wait.",
            (f"sum({metric('key_work_in_flight')})", "operations"),
            (f"sum({metric('held_packets')})", "packets"),
            (rate("key_work_refused_total"), "refused a second"),
        )
    )
    made.with_panel(
        series(
            "Memory and disk",
            "Resident memory of the monitor, without the keyholder; size of the store.",
            (f"sum(process_resident_memory_bytes{{{SELECTED}}})", "memory"),
            (f"sum({metric('store_bytes')})", "store"),
            unit=units.BytesIEC,
        )
    )
    made.with_row(Row("Inside"))
    made.with_panel(
        series(
            "Streams, fragments and limits",
            "What the core counts of its work: what it put together, gave up or refused. Many `evicted` or"
            " `limit`: more streams or fragments than are kept, by a flood or by a very busy trunk.",
            (rate("core_events_total", by="event") + " > 0", "{{event}}"),
            width=HALF,
        )
    )
    made.with_panel(
        series(
            "Housekeeping",
            "Records that expired, and messages that were kept as evidence.",
            (rate("store_pruned_total"), "expired records"),
            (rate("evidence_written_total"), "kept as evidence"),
            width=HALF,
        )
    )
    return made.build()
