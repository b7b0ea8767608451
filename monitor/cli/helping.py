"""What the help of every command has: its text to the width of the terminal, examples, exit statuses."""

import argparse
import re
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

EXAMPLES = "Examples:"
"""Begins the paragraph with the examples, a command a line."""
STATUS = "Exit status:"
"""Begins the paragraph with the exit statuses."""
DONE = "0 done, 2 it cannot be done"
WIDEST = 100
"""Columns beyond which lines are hard to read."""
COLUMN = re.compile(r" +\S+ {2,}")
"""What stands before the meaning of a word."""


class Formatter(argparse.HelpFormatter):
    """Paragraphs are filled; their indented lines are lines of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._width = min(self._width, WIDEST)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(_filled(paragraph, width) for paragraph in text.strip().split("\n\n"))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)  # paths stay whole


def explain(
    parser: argparse.ArgumentParser,
    *examples: str,
    text: str = "",
    status: str = DONE,
) -> None:
    """Say below the options what else is to be known, ``examples`` of use, and the exit statuses."""
    parser.formatter_class = Formatter
    commands = "\n".join([EXAMPLES, *(f"  {example}" for example in examples)]) if examples else ""
    parser.epilog = "\n\n".join(filter(None, (text.strip(), commands, f"{STATUS} {status}.")))


def add(
    commands: "Subparsers",
    name: str,
    summary: str,
    *examples: str,
    text: str = "",
    status: str = DONE,
) -> argparse.ArgumentParser:
    """A command below another, explained."""
    parser = commands.add_parser(name, help=summary, description=sentence(summary))
    explain(parser, *examples, text=text, status=status)
    return parser


def sentence(summary: str) -> str:
    """The summary of a command as its description."""
    return f"{summary[0].upper()}{summary[1:]}."


def _filled(paragraph: str, width: int) -> str:
    done: list[str] = []
    running: list[str] = []
    for line in [*paragraph.splitlines(), ""]:
        if line and not line.startswith(" "):
            running.append(line)
            continue
        if running:
            done.append(textwrap.fill(" ".join(running), width, break_on_hyphens=False))
            running.clear()
        if column := COLUMN.match(line):
            line = textwrap.fill(line, width, subsequent_indent=" " * column.end(), break_on_hyphens=False)
        if line:
            done.append(line)
    return "\n".join(done)
