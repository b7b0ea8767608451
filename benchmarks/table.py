"""What a run found: the rows of the table, and where they are kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.machine import Description

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Row:
    """One target."""

    what: str
    target: str
    measured: str
    met: bool | None
    """None: it is shown and nothing is asked of it, or it was not run."""
    why: str = ""
    """What stands in the way, or what one must know to read it."""

    @property
    def word(self) -> str:
        """``met``, ``not met`` or nothing."""
        return {True: "met", False: "not met", None: "–"}[self.met]


@dataclass(slots=True)
class Report:
    """All rows of a run with the numbers behind them."""

    machine: Description
    date: str
    rows: list[Row] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was not run, and what was discarded."""

    def add(self, rows: Sequence[Row], name: str, numbers: Any, notes: Sequence[str] = ()) -> None:
        """Take in one part."""
        self.rows += rows
        self.numbers[name] = numbers
        self.notes += notes

    def show(self) -> None:
        """To the terminal."""
        console = Console()
        table = Table("target", "wanted", "measured", "", header_style="bold", box=None, pad_edge=False)
        styles = {True: "green", False: "bold red", None: "dim"}
        for row in self.rows:
            table.add_row(row.what, row.target, row.measured, Text(row.word, style=styles[row.met]))
        console.print(table)
        for row in self.rows:
            if row.why:
                console.print(f"\n[bold]{row.what}[/]: {row.why}")
        for note in self.notes:
            console.print(f"\n{note}", style="yellow")

    def save(self, folder: Path = RESULTS) -> Path:
        """As JSON with all numbers, and as Markdown; gives the latter's path."""
        folder.mkdir(exist_ok=True)
        stem = folder / self.date.replace(":", "").replace(" ", "-")
        document = {
            "date": self.date,
            "machine": self.machine,
            "rows": [asdict(row) for row in self.rows],
            "notes": self.notes,
            "numbers": self.numbers,
        }
        stem.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n")
        markdown = stem.with_suffix(".md")
        markdown.write_text("\n".join(self._markdown()) + "\n")
        return markdown

    def _markdown(self) -> list[str]:
        machine = self.machine
        lines = [
            f"# Benchmarks of {self.date}",
            "",
            *(f"- {name.replace('_', ' ')}: {value}" for name, value in machine.items()),
            "",
            "| target | wanted | measured | |",
            "| --- | --- | --- | --- |",
            *(f"| {row.what} | {row.target} | {row.measured} | {row.word} |" for row in self.rows),
            "",
        ]
        lines += [f"- **{row.what}**: {row.why}" for row in self.rows if row.why]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return lines
