"""Every row of the conformance matrix, and the document that is made of them."""

import os
import re
from pathlib import Path

import pytest
from matrix import Row, observed, render
from rows import missing, sections

DOCUMENT = Path(__file__).parents[2] / "docs" / "conformance.md"
ROWS = [
    pytest.param(row, id=f"{section.title}: {row.name}") for section in sections() for row in section.rows
]


@pytest.mark.oracle
@pytest.mark.parametrize("row", ROWS)
def test_row(row: Row) -> None:
    assert observed(row) == row.expected


@pytest.mark.skipif(not os.environ.get("SIP_CORPORA"), reason="SIP_CORPORA is not set")
def test_no_published_file_is_left_out() -> None:
    root = Path(os.environ["SIP_CORPORA"])
    listed = " ".join(row.name for section in sections() for row in section.rows)
    told = {".md", ".desc", ".tsv", ".txt"}
    alike = re.compile(r"_ok\.sip$|\.(cer|crl|pri)$|^ExContent\.bin$")
    left = [
        file
        for file in root.rglob("*")
        if file.is_file() and file.name not in listed and not alike.search(file.name)
        if file.suffix not in told
    ]
    assert left == []


def test_the_document_is_what_the_tests_observed() -> None:
    if reason := missing():
        pytest.skip(f"the matrix cannot be made whole: {reason}")
    assert DOCUMENT.read_text() == render(sections()), "docs/conformance.md is out of date: make conformance"
