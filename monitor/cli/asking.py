"""What the commands that ask the daemon share: where it listens, and how its answers are shown."""

import argparse
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.cli import short
from monitor.config.load import DEFAULT_PATH, load_daemons
from monitor.config.model import Config
from monitor.config.problem import ConfigError
from monitor.control.client import ControlClient
from monitor.control.error import ControlError
from monitor.observe.events import printable

COLOURS = {"deny": "bold red", "alert": "yellow", "accept": "green"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where the daemon is found."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the daemon's configuration, which names its socket (default {DEFAULT_PATH}, if it is there)",
    )
    parser.add_argument("--socket", type=Path, metavar="PATH", help="the daemon's socket, instead of that")


def configuration(options: argparse.Namespace) -> Config:
    """The daemon's configuration.

    :raises ConfigError: it cannot be read.
    """
    return load_daemons(options.config)


def socket_path(options: argparse.Namespace) -> Path:
    """Where the daemon listens.

    :raises ControlError: nowhere, or its configuration cannot be read.
    """
    if options.socket is not None:
        return Path(options.socket)
    try:
        path = configuration(options).control.socket
    except ConfigError as error:
        raise ControlError(str(error)) from error
    if path is None:
        raise ControlError('the configuration says [control] socket = "off": this daemon answers nobody')
    return path


def connect(options: argparse.Namespace) -> ControlClient:
    """A connection to the daemon.

    :raises ControlError: there is none to be had.
    """
    return ControlClient(socket_path(options))


def complain(error: Exception) -> int:
    """Say what is wrong; the exit status for it."""
    for line in str(error).splitlines():
        print(f"replay-monitor: {line}", file=sys.stderr)
    return 2


def table(*columns: str, right: frozenset[str] = frozenset(), **options: Any) -> Table:
    """An empty table with these columns."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False, **options)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=True)
    made.columns[-1].no_wrap = False  # where there is too little room, the last column yields
    made.columns[-1].overflow = "ellipsis"
    return made


def console() -> Console:
    """Standard output, without an edge where it is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 200)


def moment(seconds: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time as people here write it."""
    return datetime.fromtimestamp(seconds).strftime(form)


def told(record: Mapping[str, Any]) -> tuple[str, Text]:
    """Of a ruling or an exception: its message, and what came of it."""
    ruling = record["type"] == "ruling"
    word = record["verdict" if ruling else "outcome"]
    what = f"{word} {record['reason'] if ruling else record['exception']}"
    if ruling and record["alerts"]:
        what += f" ({', '.join(record['alerts'])})"
    message = record["start_line"] or record.get("detail") or ""
    colour = "yellow" if ruling and word == "accept" else COLOURS[word]
    return printable(message), Text(what, style=colour)


def latest(records: list[dict[str, Any]]) -> Table:
    """Rulings and exceptions as a table, in their order."""
    made = table("time", "source", "ruling", "SPI", "message")
    for record in records:
        message, what = told(record)
        spi = short.first(record.get("spi") or ())
        told_of = Text(short.message(message), no_wrap=True, overflow="ellipsis")
        made.add_row(moment(record["time"], "%m-%d %H:%M:%S"), record["source"] or "", what, spi, told_of)
    return made
