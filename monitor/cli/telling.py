"""How a run over captures is told: as JSON Lines for programs, as a table for people."""

import os
import sys
from collections.abc import Sequence
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor import compact_json
from monitor.media.repeat import Harm, Repeat
from monitor.observe.events import printable
from monitor.record import Record, RulingRecord, seconds

WIDE = 200
"""Columns where nobody's screen is the limit: in a pipe or a file."""


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
        self._table = _table("frame", "time", "source", "message", "ruling", "SPI")
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
        what = (
            f"{word} {document['reason']}"
            if ruling
            else f"{word} {document['exception']}: {document['detail']}"
        )
        if ruling and document["alerts"]:
            what += f" ({', '.join(document['alerts'])})"
        self._table.add_row(
            str(record.frame),
            f"{seconds(record.time):.6f}",
            Text(str(document["source"] or "")),
            Text(printable(document["start_line"] or ""), no_wrap=True, overflow="ellipsis"),
            Text(printable(what), style=colour),
            " ".join(document["spi"]) if ruling else "",
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
            self._console.print(f"{self._left_out} further accepts are not shown; --json tells all\n")
        if self._repeats:
            self._console.print(_media(self._repeats[: self.MOST]))
            self._console.print()
        reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
        self._console.print(
            f"{summary['frames']} frames, {summary['messages']} SIP messages, {summary['judged']} judged: "
            f"[green]{summary['accepted']} accepted[/], [bold red]{summary['denied']} denied[/], "
            f"{summary['exceptions']} exceptions" + (f" ({reasons})" if reasons else "")
        )


def _media(repeats: Sequence[Repeat]) -> Table:
    table = _table("packets", "harm", "SPI", "SSRC", "first under this keystream", "again")
    for repeat in repeats:
        document = repeat.document()
        reused = repeat.harm is Harm.KEYSTREAM_REUSED
        alike = f" ({repeat.identical} alike)" if reused and repeat.identical else ""
        table.add_row(
            str(repeat.packets),
            Text(f"{repeat.harm}{alike}", style="bold red" if reused else "yellow"),
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
            no_wrap=head not in ("message", "first under this keystream", "again"),
            min_width=12 if head == "message" else None,
        )
    return table
