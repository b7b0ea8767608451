"""The daemon's log."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from monitor.observe.log import configure


@pytest.fixture(autouse=True)
def log() -> Iterator[logging.Logger]:
    """The log, put back as it was."""
    log = logging.getLogger("monitor")
    before = (log.handlers, log.propagate, log.level)
    yield log
    log.handlers, log.propagate = before[0], before[1]
    log.setLevel(before[2])


def test_people_get_time_and_level(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "text", {})
    log.debug("unheard")
    log.warning("a %s", "line")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:,]+ WARNING a line\n", capsys.readouterr().err)


def test_the_journal_gets_priorities_on_every_line(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("debug", "text", {"JOURNAL_STREAM": "8:1234"})
    log.error("one\ntwo")
    log.debug("three")
    assert capsys.readouterr().err == "<3>one\n<3>two\n<7>three\n"


def test_machines_get_an_object_a_line(log: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json", {})
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("it failed")
    (line,) = capsys.readouterr().err.splitlines()
    document = json.loads(line)
    assert (document["level"], document["message"]) == ("error", "it failed")
    assert document["trace"].endswith("ValueError: wrong")
