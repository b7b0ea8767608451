"""``replay-monitor completion``: what makes a shell complete the commands and their options."""

import argparse
from collections.abc import Iterator

from monitor.cli.helping import explain

SHELLS = ("bash", "zsh", "fish")
_DIRECTORIES = ("DIR",)
_FILES = ("FILE", "PATH", "CAPTURE", "FILE.html", "DIR|FILE")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    explain(
        parser,
        "source <(replay-monitor completion bash)",
        "replay-monitor completion zsh > ~/.zfunc/_replay-monitor",
        "replay-monitor completion fish > ~/.config/fish/completions/replay-monitor.fish",
        text="'replay-monitor install' puts what bash needs in its place.",
        status="0 done",
    )
    parser.add_argument("shell", choices=SHELLS, help="which")


def main(options: argparse.Namespace) -> int:
    """Print it."""
    print(script(options.shell), end="")
    return 0


def script(shell: str) -> str:
    """What the shell reads, made from the parsers of all commands."""
    import shtab

    from monitor.__main__ import parser
    from monitor.simulate.scenarios import RECIPES

    whole = parser()
    for action in actions(whole):
        if action.metavar in _DIRECTORIES:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest == "scenarios":
            action.choices = tuple(RECIPES)
    return f"{shtab.complete(whole, shell).rstrip()}\n"


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument of a parser and of those below it."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from actions(below)
