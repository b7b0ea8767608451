"""The encoder that is made once says what the standard library says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import compact_json

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
)


@given(DOCUMENTS)
def test_a_document_is_what_it_was(document: object) -> None:
    text = compact_json.encode(document)
    assert text == json.dumps(document, separators=(",", ":"))
    assert compact_json.decode(text.encode()) == json.loads(text)


def test_what_json_has_no_form_for_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        compact_json.encode([b"octets"])


@pytest.mark.parametrize("octets", [b"", b"[1", b"[1] 2", b'"\xff"', b"nonsense"])
def test_what_is_no_json_is_a_value_error(octets: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of several kinds
        compact_json.decode(octets)
