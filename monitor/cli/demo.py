"""``replay-monitor demo``: the replay attack and its denial."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from monitor.cli.helping import explain
from monitor.demo import capture, live
from monitor.demo.network import NetworkError
from monitor.demo.telling import DemoError, Teller
from monitor.simulate import keyring
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Setting

STORY = "replay-attack"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--capture", action="store_true", help="tell it from a capture, as without root, not on real packets"
    )
    explain(
        parser,
        "sudo replay-monitor demo",
        "replay-monitor demo --capture",
        text="As root it makes network namespaces, kernel rules, keys and files, and removes them.",
        status="0 all went as told, 1 it did not",
    )


def main(options: argparse.Namespace) -> int:
    """Tell the story; see the exit statuses in ``arguments``."""
    teller = Teller(Console(soft_wrap=True))
    signal.signal(signal.SIGTERM, _end)
    try:
        with tempfile.TemporaryDirectory(prefix="replay-demo-") as name:
            _tell(teller, Path(name), options.capture)
    except (DemoError, NetworkError, OSError) as error:
        teller.say(f"\nThis is not as it should be: {error}", "bold red")
        return 1
    teller.say("\nAll went as told.", "bold green")
    return 0


def _tell(teller: Teller, folder: Path, from_capture: bool) -> None:
    keys = folder / "keys"
    scenario = RECIPES[STORY].made(Setting(keyring.load(keys), start=int(time.time())))
    if not from_capture:
        try:
            live.tell(scenario, teller, folder, keys)
        except NetworkError as error:
            teller.say(f"No network namespaces here ({error}), so the story comes from a capture.", "yellow")
        else:
            return
    capture.tell(scenario, teller, folder, keys)


def _end(signum: int, frame: FrameType | None) -> None:
    """Clean up as after an error."""
    sys.exit(128 + signum)
