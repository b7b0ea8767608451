"""``replay-monitor simulate``: write captures of legitimate calls and of attacks."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.table import Table

from monitor.antireplay.policy import Policy
from monitor.cli.helping import explain
from monitor.simulate import captures, keyring
from monitor.simulate.packets import LINK_TYPES
from monitor.simulate.readme import policy_toml, readme
from monitor.simulate.scenario import Scenario
from monitor.simulate.scenarios import RECIPES
from monitor.simulate.stage import Recipe, Setting
from monitor.simulate.writer import write
from monitor.wire.frame import Frame

COLLECTION = Path("pcaps")
"""Where the project keeps its captures, and their keys below it."""
FORMATS = ("pcap", "pcapng")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "replay-monitor simulate --list",
        "replay-monitor simulate --out captures",
        "replay-monitor simulate replay-attack --out attack.pcapng",
        "replay-monitor simulate replay-attack --out - | replay-monitor replay -",
    )
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help="which to write (default: all; see --list)"
    )
    parser.add_argument("--list", action="store_true", help="tell the scenarios and their stories")
    parser.add_argument(
        "--out",
        default="captures",
        metavar="DIR|FILE",
        help="a directory for one file each (default captures/), or a .pcap or .pcapng file, or - for "
        "standard output: one capture with all, one after the other",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="other identifiers, keys and times (default 0)"
    )
    parser.add_argument("--format", choices=FORMATS, help="default pcap, or as the FILE is called")
    parser.add_argument("--link", choices=LINK_TYPES, default="ethernet", help="link type (default ethernet)")
    parser.add_argument(
        "--keys",
        type=Path,
        metavar="DIR",
        help=f"the test keys, made there if missing (default {COLLECTION}/keys if that is there, else keys/ "
        "beside the captures)",
    )
    parser.add_argument(
        "--pcaps",
        nargs="?",
        type=Path,
        const=COLLECTION,
        metavar="DIR",
        help=f"write the project's collection of captures and its README (default {COLLECTION}/)",
    )


def main(options: argparse.Namespace) -> int:
    """Exit status 0 if written, 2 if not."""
    try:
        if options.list:
            _list(Console())
        elif options.pcaps is not None:
            _collect(options.pcaps, options)
        else:
            _write(_chosen(options.scenarios), options)
    except (OSError, ValueError) as error:
        print(f"replay-monitor simulate: {error}", file=sys.stderr)
        return 2
    return 0


def _chosen(names: Sequence[str]) -> list[Recipe]:
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        near = difflib.get_close_matches(unknown[0], RECIPES, 1)
        hint = f"did you mean {near[0]}?" if near else "--list tells them"
        raise ValueError(f"there is no scenario {unknown[0]} ({hint})")
    return [RECIPES[name] for name in names or RECIPES]


def _list(console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scenario", no_wrap=True)
    table.add_column("kind")
    table.add_column("story")
    for recipe in RECIPES.values():
        table.add_row(recipe.name, "attack" if recipe.attack else "legitimate", recipe.story)
    console.print(table)


def _setting(options: argparse.Namespace, beside: Path) -> Setting:
    folder: Path = options.keys or _default_keys(beside)
    return Setting(keyring.load(folder), options.seed, link=options.link)


def _default_keys(beside: Path) -> Path:
    kept = COLLECTION / "keys"
    return kept if (kept / "ca.pem").exists() else beside / "keys"


def _write(recipes: Iterable[Recipe], options: argparse.Namespace) -> None:
    out = Path(options.out)
    if options.out == "-" or out.suffix.lstrip(".") in FORMATS:
        _write_joined(recipes, out, options)
        return
    out.mkdir(parents=True, exist_ok=True)
    setting = _setting(options, out)
    form = options.format or "pcap"
    rows = []
    for recipe in recipes:
        scenario = recipe.made(setting)
        _save(scenario.frames, out / f"{scenario.name}.{form}", form)
        if scenario.policy != Policy():
            (out / f"{scenario.name}.toml").write_text(policy_toml(scenario.policy))
        rows.append((scenario, str(len(scenario.frames))))
    _print(rows, sys.stdout)
    print(f"\nIn {out}/, a .{form} each, with a .toml beside it where the configuration is its own.")


def _write_joined(recipes: Iterable[Recipe], out: Path, options: argparse.Namespace) -> None:
    setting = _setting(options, Path() if options.out == "-" else out.parent)
    scenarios = captures.in_turn(recipes, setting)
    frames = captures.joined(scenarios)
    if options.out == "-":
        write(frames, sys.stdout.buffer, options.format or "pcap")
        sys.stdout.buffer.flush()
    else:
        _save(frames, out, options.format or out.suffix.lstrip("."))
    rows, first = [], 1
    for scenario in scenarios:
        last = first + len(scenario.frames) - 1
        rows.append((scenario, f"{first}–{last}"))
        first = last + 1
    _print(rows, sys.stderr if options.out == "-" else sys.stdout)


def _save(frames: Sequence[Frame], path: Path, form: str) -> None:
    with path.open("wb") as file:
        write(frames, file, "pcapng" if form == "pcapng" else "pcap")


def _print(rows: Iterable[tuple[Scenario, str]], out: TextIO) -> None:
    """What was written, and what is to be said of it, in 80 columns."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("scenario", no_wrap=True)
    for column in ("frames", "messages", "accept", "deny"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("config", no_wrap=True)
    for scenario, frames in rows:
        counts = map(str, (len(scenario.messages), scenario.accepted, scenario.denied))
        table.add_row(scenario.name, frames, *counts, "" if scenario.policy == Policy() else "own")
    Console(file=out).print(table)


def _collect(folder: Path, options: argparse.Namespace) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    setting = Setting(keyring.load(options.keys or folder / "keys"))
    written = []
    for capture, scenarios in captures.collection(setting):
        _save(captures.joined(scenarios), folder / capture.file, capture.form)
        written.append((capture, scenarios))
        policies = {policy_toml(scenario.policy) for scenario in scenarios} - {policy_toml(Policy())}
        for text in policies:
            (folder / captures.CONFIG).write_text(text)
        print(f"{folder / capture.file}: {', '.join(scenario.name for scenario in scenarios)}")
    (folder / "README.md").write_text(readme(written))
