"""``replay-monitor status``: how the daemon is doing, once or live."""

import argparse
import json
import sys
import time

from rich.live import Live

from monitor.cli import asking
from monitor.cli.helping import explain
from monitor.cli.keyboard import Keyboard
from monitor.cli.status_view import View, degraded
from monitor.control.client import ControlClient
from monitor.control.error import ControlError, NotRunningError

QUIT = frozenset("qQ\x03\x04")
PAUSE = frozenset("pP ")
RECENT = 30
"""Denials, alerts and exceptions asked for; a live view shows as many as fit."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "replay-monitor status",
        "replay-monitor status --watch",
        "replay-monitor status --json | jq .store",
        text="Keys of the live view: q ends it, p stops and continues it.",
        status="0 the daemon rules, 1 it does without its keyholder or its store, 2 there is none",
    )
    asking.arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object; with --watch one a line")
    parser.add_argument("--watch", action="store_true", help="a live view, until you press q")
    parser.add_argument(
        "--interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="between two looks of --watch (default 1)",
    )


def main(options: argparse.Namespace) -> int:
    """Print or show it; see the exit statuses in the help."""
    if options.watch and not options.json and not (sys.stdin.isatty() and sys.stdout.isatty()):
        return asking.complain(ControlError("--watch needs a terminal; --watch --json does not"))
    try:
        if options.watch and not options.json:
            return _watch(options)
        with asking.connect(options) as client:
            while True:
                status = client.ask("status", recent=RECENT if options.json else 5)
                if options.json:
                    print(json.dumps(status), flush=True)
                else:
                    view = View()
                    view.take(status, time.monotonic())
                    asking.console().print(view.once())
                if not options.watch:
                    return int(degraded(status))
                time.sleep(options.interval)
    except ControlError as error:
        return asking.complain(error)


def _watch(options: argparse.Namespace) -> int:
    """The live view. It outlasts the daemon: once it has been seen, it is waited for."""
    client: ControlClient | None = asking.connect(options)
    view = View()
    try:
        with Keyboard() as keyboard, Live(screen=True, auto_refresh=False) as live:
            while True:
                try:
                    client = client or asking.connect(options)
                    view.take(client.ask("status", recent=RECENT), time.monotonic())
                except NotRunningError:
                    _close(client)
                    client = None
                    view.lose(time.time())
                live.update(view.screen(live.console.size), refresh=True)
                if not _listen(keyboard, view, live, options.interval):
                    return 0
    finally:
        _close(client)


def _listen(keyboard: Keyboard, view: View, live: Live, interval: float) -> bool:
    """Heed keys until the next look is due; False to end."""
    due = time.monotonic() + interval
    while view.paused or time.monotonic() < due:
        key = keyboard.key(None if view.paused else max(0.0, due - time.monotonic()))
        if key in QUIT:
            return False
        if key in PAUSE:
            view.paused = not view.paused
            live.update(view.screen(live.console.size), refresh=True)
    return True


def _close(client: ControlClient | None) -> None:
    if client is not None:
        client.close()


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds from 0.1 to 3600")
    return value
