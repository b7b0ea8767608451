"""How the story is told: a line of text and a line of a ladder diagram for each message."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from monitor.antireplay.ruling import Verdict
from monitor.simulate.message import Message
from monitor.simulate.scenario import Sent

PREFIX = "replay_monitor_"
"""Of the daemon's metrics."""
ROOMY = 96
"""Columns from which there is room for the wider ladder."""


class DemoError(Exception):
    """Something went otherwise than the story has it. One line."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """What the ladder is drawn with."""

    life: str
    line: str
    left: str
    right: str
    stop: str


FINE = Glyphs("│", "─", "◀", "▶", "✗")
PLAIN = Glyphs("|", "-", "<", ">", "X")


class Teller:
    """Prints the story."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._roomy = console.width >= ROOMY
        self._span = 22 if self._roomy else 17
        """Columns between two lifelines."""
        self._margin = 3 if self._roomy else 1
        self._glyphs = FINE if console.encoding.lower().startswith("utf") else PLAIN

    def say(self, text: str, style: str = "") -> None:
        """A line of text."""
        self._console.print(escape(text), style=style or None, highlight=False, soft_wrap=True)

    def chapter(self, text: str) -> None:
        """A heading, and the parties over their lifelines."""
        self._console.print()
        self.say(text, "bold")
        names = "Bob".ljust(self._span) + "Alice, monitored".ljust(self._span) + "Charles"
        self.say(" " * self._margin + names, "dim")

    def step(self, sent: Sent, outcome: str) -> None:
        """One message, with the ruling on it and what came of it."""
        if sent.note:
            self._console.print()
            indent = " " * self._margin
            self.say(
                textwrap.fill(sent.note, self._console.width, initial_indent=indent, subsequent_indent=indent)
            )
        denied = sent.reason is not None and sent.reason.verdict is Verdict.DENY
        line = Text(" " * self._margin)
        line.append_text(self._arrow(sent.message, denied))
        if sent.reason is not None:
            style = "bold red" if denied else "green"
            line.append(f"  {sent.reason.verdict} {sent.reason}", style)
        if outcome:
            line.append(f"  {outcome}", "bold" if denied else "dim")
        self._console.print(line, highlight=False, soft_wrap=True)

    def counters(self, columns: Sequence[Mapping[str, float]], headings: Sequence[str]) -> None:
        """The counters of each run of the monitor side by side."""
        names = list(dict.fromkeys(name for column in columns for name in column))
        prefix = PREFIX if not self._roomy and all(name.startswith(PREFIX) for name in names) else ""
        width = max(map(len, names)) - len(prefix)
        head = f"{prefix}…" if prefix else ""
        self._console.print()
        self.say("  ".join((head.ljust(width), *(f"{heading:>10}" for heading in headings))), "bold")
        for name in names:
            values = (f"{column.get(name, 0):>10g}" for column in columns)
            style = "red" if 'verdict="deny"' in name else ""
            self.say("  ".join((name.removeprefix(prefix).ljust(width), *values)), style)

    def _arrow(self, message: Message, denied: bool) -> Text:
        """The three lifelines with the message between two of them."""
        glyphs = self._glyphs
        lanes = {"Bob": 0, "Alice": 1, "Charles": 2}
        source, destination = lanes[message.source.name], lanes[message.destination.name]
        label = f" {message.start_line.split()[0] if message.status is None else message.status} "
        body = self._span - 3
        if source < destination:
            tip = glyphs.right + glyphs.stop if denied else glyphs.line + glyphs.right
            drawn = label.center(body, glyphs.line) + tip
        else:
            tip = glyphs.stop + glyphs.left if denied else glyphs.left + glyphs.line
            drawn = tip + label.center(body, glyphs.line)
        text = Text(glyphs.life)
        for gap in range(2):
            if gap == min(source, destination):
                text.append(drawn, "bold red" if denied else "bold" if message.body else "")
            else:
                text.append(" " * (self._span - 1))
            text.append(glyphs.life)
        return text


def octets(count: int) -> str:
    """A number of octets for people."""
    return f"{count / 1000:.1f} kB" if count >= 1000 else f"{count} octets"
