"""``docs/configuration.md`` says what the code does."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from monitor.config import Config, load
from monitor.config.model import MatchTable, SourcePrefix, tables
from monitor.config.reference import MARKER, MEANINGS, default_text, main, reference
from monitor.exceptions import ExceptionName

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"


def test_the_tables_in_the_documentation_are_those_of_the_code() -> None:
    _, marker, tables = DOCUMENT.read_text().partition(MARKER)
    assert marker
    assert tables.strip() == reference().strip(), (
        "run: python -m monitor.config.reference docs/configuration.md"
    )


def test_the_example_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    example = re.search(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert example
    (tmp_path / "policies").mkdir()
    (tmp_path / "monitor.toml").write_text(example[1])
    assert load(tmp_path / "monitor.toml").store.durability == "power"


def test_the_defaults_as_documented_are_the_defaults() -> None:
    text = ""
    for name, table in tables(Config).items():
        inner = tables(table)
        text += f"[{name}]\n"
        for key, field in table.model_fields.items():
            if key not in inner and key != "exceptions" and (default := default_text(field)):
                text += f"{key} = {default}\n"
    assert Config.model_validate(tomllib.loads(text)) == Config()
    assert text.count("=") > 15


def test_every_key_has_a_meaning() -> None:
    named: list[type[BaseModel]] = [Config, MatchTable, SourcePrefix, *tables(Config).values()]
    for table in named:
        inner = tables(table)
        assert table.__doc__
        for name, field in table.model_fields.items():
            assert name in inner or field.description, f"{table.__name__}.{name}"
    assert set(MEANINGS) == set(ExceptionName)


def test_writes_the_tables_anew(tmp_path: Path) -> None:
    file = tmp_path / "configuration.md"
    file.write_text(f"before\n{MARKER}\nold\n")
    main(file)
    assert file.read_text() == f"before\n{MARKER}\n{reference()}"
    file.write_text("no marker")
    with pytest.raises(SystemExit):
        main(file)
