"""The help of every command: examples that the parsers take, lines that fit, words that are near."""

import argparse
import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from monitor.__main__ import COMMANDS, main, parser
from monitor.cli.helping import EXAMPLES, STATUS

ROOT = Path(__file__).resolve().parents[2]


def parsers(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """All commands below one, and their actions."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield below
                yield from parsers(below)


WHOLE = parser()
ALL = {below.prog: below for below in parsers(WHOLE)}


def examples(of: argparse.ArgumentParser) -> list[str]:
    """The lines that its help gives as examples."""
    assert of.epilog, of.prog
    paragraphs = re.findall(rf"^{EXAMPLES}\n((?:  .+\n?)+)", of.epilog, re.MULTILINE)
    return [line.strip() for paragraph in paragraphs for line in paragraph.splitlines()]


def commands(line: str) -> list[list[str]]:
    """The arguments of every call of ours in a line of shell."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    starts = [index for index, word in enumerate(words) if word == "replay-monitor"]
    return [list(takewhile(lambda word: not set(word) & set("|<>();"), words[at + 1 :])) for at in starts]


def test_there_are_commands_with_actions() -> None:
    assert len(ALL) > len(COMMANDS) > 10
    assert {"replay-monitor rules", "replay-monitor associations prune"} <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_examples_that_it_takes(name: str) -> None:
    lines = examples(ALL[name])
    assert lines, f"{name} has no example"
    for line in lines:
        called = commands(line)
        assert called, line
        assert any(f"replay-monitor {' '.join(arguments)} ".startswith(f"{name} ") for arguments in called)
        for arguments in called:
            WHOLE.parse_args(arguments)


DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
CALL = re.compile(
    r"(?:^|[|;&(]|\bsudo|exec \w+|until)\s*(?:[\w./-]*/)?replay-monitor\b(?![./-])([^|;&)>#\n]*)", re.M
)
"""A call of ours in a block of shell, and its arguments."""


def shown(document: Path) -> Iterator[str]:
    """The arguments of every call of ours that a document shows."""
    for block in re.findall(r"^```sh\n(.*?)^```", document.read_text(), re.DOTALL | re.MULTILINE):
        joined = re.sub(r"\\\n|\d>\S+", " ", block)
        yield from CALL.findall(joined)


def test_documents_show_commands() -> None:
    assert sum(len(list(shown(document))) for document in DOCUMENTS) >= 24


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_parser_takes_what_documents_show(document: Path) -> None:
    for arguments in shown(document):
        words = shlex.split(arguments)
        if words != ["--version"]:
            WHOLE.parse_args(words)


def test_each_action_of_the_rules_has_an_example() -> None:
    lines = " ".join(examples(ALL["replay-monitor rules"]))
    assert all(f"rules {action}" in lines for action in ("show", "apply", "remove"))


@pytest.mark.parametrize("name", ALL)
def test_help_fits_a_narrow_terminal(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as ended:
        main([*name.split()[1:], "--help"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    shown = set(examples(ALL[name]))
    assert [line for line in told.splitlines() if len(line) > 80 and line.strip() not in shown] == []
    assert STATUS in told
    assert shown <= {line.strip() for line in told.splitlines()}


def test_a_slip_of_the_pen_is_told_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["rplay", "x.pcap"])
    assert ended.value.code == 2
    assert "there is no command rplay (did you mean replay?)" in capsys.readouterr().err


def test_without_a_command_there_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr().err
    assert [name for name in COMMANDS if f"\n    {name}" not in told] == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"replay-monitor \d\S+\n", capsys.readouterr().out)
