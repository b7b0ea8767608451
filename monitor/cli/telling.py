"""How a run over captures is told: as JSON Lines for programs, as a table for people."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor import compact_json
from monitor.cli import short
from monitor.media.repeat import Harm, Repeat
from monitor.observe.events import printable
from monitor.record import Record, RulingRecord, seconds

WIDE = 200
"""Columns where nobody's screen is the limit: in a pipe or a file."""
ROOMY = 115
"""Columns from which times are told in seconds, and all fingerprints."""
ROOMY_MEDIA = 150
"""Columns from which two streams stand side by side."""


class Telling(Protocol):
    """Tells one run, in this order."""

    def record(self, record: Record) -> None:
        """A ruling or an exception."""
        ...

    def media(self, repeats: Sequence[Repeat]) -> None:
        """Media that repeats its keystream."""
        ...

    def summary(self, summary: dict[str, Any]) -> None:
        """The end."""
        ...


class JsonLines:
    """JSON Lines."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def record(self, record: Record) -> None:
        """One record, one line."""
        self._line(record.document())

    def media(self, repeats: Sequence[Repeat]) -> None:
        """One pair of streams, one line."""
        for repeat in repeats:
            self._line(repeat.document())

    def summary(self, summary: dict[str, Any]) -> None:
        """The last line."""
        self._line(summary)
        self._out.flush()

    def _line(self, document: dict[str, Any]) -> None:
        self._out.write(compact_json.encode(document) + "\n")


class Tabular:
    """A table for people, with the summary below it."""

    MOST = 1000
    """Rows shown; accepts beyond that are counted only."""

    def __init__(self) -> None:
        known = sys.stdout.isatty() or "COLUMNS" in os.environ
        self._console = Console(width=None if known else WIDE)
        self._roomy = self._console.width >= ROOMY
        time = "time" if self._roomy else "time (UTC)"
        self._table = _table("frame", time, "source", "message", "ruling", "SPI")
        self._left_out = 0
        self._repeats: Sequence[Repeat] = ()

    def record(self, record: Record) -> None:
        """One row."""
        document = record.document()
        ruling = isinstance(record, RulingRecord)
        word = document["verdict" if ruling else "outcome"]
        if self._table.row_count >= self.MOST and word != "deny":
            self._left_out += 1
            return
        colour = {"deny": "bold red", "alert": "yellow", "accept": "green"}[word]
        message = printable(document["start_line"] or "")
        if not ruling:
            message = f"{printable(document['detail'])}{message and f': {message}'}"
        what = f"{word} {document['reason' if ruling else 'exception']}"
        if ruling and document["alerts"]:
            what += f"{' ' if self._roomy else chr(10)}({', '.join(document['alerts'])})"
        self._table.add_row(
            str(record.frame),
            f"{seconds(record.time):.6f}" if self._roomy else _clock(record.time),
            Text(str(document["source"] or ""), no_wrap=True, overflow="ellipsis"),
            Text(
                message if self._roomy else short.message(message),
                no_wrap=True,
                overflow="ellipsis",
            ),
            Text(what, style=colour),
            "" if not ruling else " ".join(document["spi"]) if self._roomy else short.first(document["spi"]),
        )

    def media(self, repeats: Sequence[Repeat]) -> None:
        """A table of their own, below the rulings."""
        self._repeats = repeats

    def summary(self, summary: dict[str, Any]) -> None:
        """The tables, and the summary below them."""
        if self._table.row_count:
            self._console.print(self._table)
            self._console.print()
        if self._left_out:
            self._console.print(
                f"… and {self._left_out:,} more, none of them denied; --json tells all\n", highlight=False
            )
        if self._repeats:
            shown = self._repeats[: self.MOST]
            if self._console.width >= ROOMY_MEDIA:
                self._console.print(_media(shown))
            else:
                self._console.print(*map(_in_lines, shown), sep="\n")
            if rest := len(self._repeats) - len(shown):
                self._console.print(f"… and {rest:,} more pairs of streams; --json tells all")
            self._console.print()
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
        self._console.print(
            f"{summary['frames']} frames, {summary['messages']} SIP messages, {summary['judged']} judged: "
            f"[green]{summary['accepted']} accepted[/], [bold red]{summary['denied']} denied[/], "
            f"{summary['exceptions']} exceptions" + (f" ({reasons})" if reasons else ""),
            highlight=False,
        )


def _clock(time: int) -> str:
    return f"{datetime.fromtimestamp(seconds(time), UTC):%H:%M:%S.%f}"[:-3]


def _in_lines(repeat: Repeat) -> Text:
    """A pair of streams below one another."""
    document = repeat.document()
    return Text.assemble(
        _harm(repeat),
        f", {repeat.packets} packets, SPI {document['spi']}, SSRC {document['ssrc']}\n"
        f"  first {_stream(document['earlier'])}\n  again {_stream(document['later'])}",
    )


def _harm(repeat: Repeat) -> Text:
    reused = repeat.harm is Harm.KEYSTREAM_REUSED
    alike = f" ({repeat.identical} alike)" if reused and repeat.identical else ""
    return Text(f"{repeat.harm}{alike}", style="bold red" if reused else "yellow")


def _media(repeats: Sequence[Repeat]) -> Table:
    table = _table("packets", "harm", "SPI", "SSRC", "first under this keystream", "again")
    for repeat in repeats:
        document = repeat.document()
        table.add_row(
            str(repeat.packets),
            _harm(repeat),
            document["spi"],
            document["ssrc"],
            _stream(document["earlier"]),
            _stream(document["later"]),
        )
    return table


def _stream(document: dict[str, Any]) -> str:
    frames = f"{document['first_frame']}–{document['last_frame']}"
    return f"{document['source']} → {document['destination']}, frames {frames}"


def _table(*heads: str) -> Table:
    """A table in which only messages, and what is said of streams, may be cut to fit."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(
            head,
            justify="right" if head in ("frame", "packets") else "left",
            no_wrap=head not in ("source", "message", "first under this keystream", "again"),
        )
    return table
