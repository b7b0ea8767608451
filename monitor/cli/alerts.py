"""``replay-monitor alerts``: the latest denials, alerts and exceptions of a running daemon."""

import argparse
import json

from monitor.cli import asking
from monitor.cli.helping import explain
from monitor.control.error import ControlError
from monitor.observe.recent import KEPT


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "replay-monitor alerts",
        "replay-monitor alerts -n 100 --json | jq -r .source",
        text=f"The daemon keeps the latest {KEPT} in memory; all of them are in its [events] file.",
        status="0 told, 2 there is no daemon to ask",
    )
    asking.arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line, as 'replay --json'")
    parser.add_argument(
        "-n", "--number", type=_number, default=20, metavar="N", help="how many, the latest last (default 20)"
    )


def main(options: argparse.Namespace) -> int:
    """Print them; see the exit statuses in the help."""
    try:
        with asking.connect(options) as client:
            records = client.ask("alerts", count=options.number)
    except ControlError as error:
        return asking.complain(error)
    if options.json:
        for record in records:
            print(json.dumps(record))
    elif records:
        asking.console().print(asking.latest(records))
        if len(records) == options.number < KEPT:
            print(f"There may be more: 'alerts -n {KEPT}' tells all that are kept.")
    else:
        print("Nothing was denied, and nothing was worth an alert.")
    return 0


def _number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= KEPT:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 to {KEPT}")
    return int(text)
