"""The manual page is that of the parsers, and can be set."""

import argparse
import shutil
import subprocess

import pytest

from monitor.__main__ import COMMANDS
from scripts.man_page import PAGE, page


def test_the_page_is_what_the_parsers_say() -> None:
    assert PAGE.read_text() == page(), "run: make man"


def test_it_has_the_usual_sections_and_every_command() -> None:
    text = page()
    sections = ("NAME", "SYNOPSIS", "DESCRIPTION", "FILES", "EXIT STATUS", "SIGNALS", "EXAMPLES", "SEE ALSO")
    assert [section for section in sections if f"\n.SH {section}\n" not in text] == []
    assert [name for name in COMMANDS if "\n.SS " + name.replace("-", "\\-") + "\n" not in text] == []
    assert text.isascii()
    assert argparse.SUPPRESS not in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
@pytest.mark.parametrize("width", [60, 80, 120])
def test_groff_sets_it_without_a_warning(width: int) -> None:
    set_page = ["groff", "-man", "-ww", "-Tutf8", f"-rLL={width}n", str(PAGE)]
    done = subprocess.run(set_page, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) > 200


@pytest.mark.skipif(shutil.which("mandoc") is None, reason="needs mandoc")
def test_mandoc_finds_no_mistake() -> None:
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", PAGE], capture_output=True, text=True)
    told = (done.stdout + done.stderr).splitlines()
    assert [line for line in told if "missing date" not in line] == []  # a date would be of no version
