"""The incident view: what a source was denied, why, and where to read on."""

from grafana_foundation_sdk.builders.dashboard import Row
from grafana_foundation_sdk.builders.text import Panel as Text
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard
from grafana_foundation_sdk.models.text import TextMode

from grafana.panels import (
    AGO,
    HALF,
    QUARTER,
    RED,
    YELLOW,
    bars,
    board,
    choice,
    increase,
    metric,
    series,
    stat,
    table,
    thresholds,
)

CHOSEN = ('source=~"$source"', 'reason=~"$reason"')
DENIALS = metric("source_denials_total", *CHOSEN)
LAST = metric("source_last_denial_timestamp_seconds", *CHOSEN)

NEXT = """\
**Each denial is a line of the events file** (`[events] file`), with source, Call-ID, SPI and reason.

All of a source, then all of a dialog, then all that ever used a key:

```sh
jq -c 'select(.source == "$source")' events.jsonl
jq -c 'select(.call_id == "CALL-ID")' events.jsonl
jq -c 'select(.spi // [] | index("SPI"))' events.jsonl
```

SPI and Call-ID are at the points in the graph above (exemplars). The *first* line of an SPI is the owner of
the key, the denied ones came after. `docs/rulings.md` tells for each reason whether it is an attack, or a
phone to mend.
"""


def dashboard() -> Dashboard:
    """The dashboard."""
    made = board(
        "Replay monitor: incident",
        "replay-monitor-incident",
        "What a source was denied, in which dialogs, and why.",
        choice("source", "Source", "label_values(replay_monitor_source_denials_total, source)"),
        choice("reason", "Reason", "label_values(replay_monitor_source_denials_total, reason)"),
    )
    made.with_row(Row("The incident"))
    made.with_panel(
        stat(
            "Denied",
            "Messages of the chosen sources denied for the chosen reasons since the monitor started.",
            f"sum({DENIALS})",
        )
        .span(QUARTER)
        .thresholds(thresholds((1, RED)))
        .no_value("none")
    )
    made.with_panel(
        stat(
            "Last denial",
            "When the last of them was denied.",
            f"1000 * max({LAST})",
            unit=units.DateTimeFromNow,
        )
        .span(QUARTER)
        .no_value("never")
    )
    made.with_panel(
        stat("Sources", "How many sources these are.", f"count(count by (source) ({DENIALS})) or vector(0)")
        .span(QUARTER)
        .thresholds(thresholds((1, YELLOW), (10, RED)))
    )
    made.with_panel(
        stat(
            "Denied, yet let through",
            "Denials in the time shown, of all sources, that took no effect: their template only observes.",
            increase("rulings_total", 'verdict="deny"', 'enforced="false"', window="$__range")
            + " or vector(0)",
        )
        .span(QUARTER)
        .decimals(0)
        .thresholds(thresholds((0.5, RED)))
    )
    made.with_panel(
        bars(
            series(
                "Denials by source",
                "When which source was denied. `other`: more sources than are told apart.",
                (increase("source_denials_total", *CHOSEN, by="source") + " > 0", "{{source}}"),
                width=HALF,
            )
        )
    )
    made.with_panel(
        bars(
            series(
                "Denials by reason, with their dialogs",
                "All sources. A point leads to one message: its SPI, source and Call-ID.",
                (
                    increase("rulings_total", 'verdict="deny"', 'reason=~"$reason"', by="reason") + " > 0",
                    "{{reason}}",
                ),
                exemplars=True,
                width=HALF,
            )
        )
    )
    made.with_row(Row("Who and why"))
    made.with_panel(
        table(
            "Sources and reasons",
            "Each source with each reason it was denied for, since the monitor started.",
            f"sum by (source, reason) ({DENIALS})",
            f"1000 * max by (source, reason) ({LAST})",
            names={"source": "Source", "reason": "Reason", "Value #A": "Denied", "Value #B": "Last"},
            columns={"Last": AGO},
            width=HALF,
        )
    )
    made.with_panel(Text().title("Read on").span(HALF).height(8).mode(TextMode.MARKDOWN).content(NEXT))
    made.with_row(Row("What else is odd"))
    made.with_panel(
        bars(
            series(
                "Alerts of accepted messages",
                "`moved` and `originator-moved`: someone goes on from elsewhere; `duplicate-key` and"
                " `rekey-missing`: a phone that repeats keys; see docs/rulings.md.",
                (increase("alerts_total", by="alert") + " > 0", "{{alert}}"),
            )
        ).no_value("No alerts")
    )
    made.with_panel(
        bars(
            series(
                "Exceptions",
                "What could not be told for sure, all sources. Attackers who try to hide a key cause"
                " `ambiguous`, `malformed` and `limit`.",
                (increase("exceptions_total", by="exception") + " > 0", "{{exception}}"),
            )
        ).no_value("Everything was clear")
    )
    made.with_panel(
        bars(
            series(
                "What denials did",
                "Packets that were dropped, packets that went on neutralised or as a reset, and requests that"
                " were answered, as the policy says (`on_deny`).",
                (increase("packet_verdicts_total", 'verdict="deny"'), "dropped"),
                (increase("rewritten_packets_total") + " or vector(0)", "rewritten"),
                (increase("responses_total", 'result="sent"') + " or vector(0)", "answered"),
            )
        )
    )
    return made.build()
