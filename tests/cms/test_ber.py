"""The cursor over BER: what it reads, what it refuses, and what it re-encodes."""

import random

import pytest
from asn1crypto.core import ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st
from smime_material import loosen

from monitor.cms import ber
from monitor.cms.ber import Cursor
from monitor.cms.error import CmsError
from monitor.exceptions import ExceptionName


def raised(octets: bytes, *, walk: bool = True) -> ExceptionName:
    with pytest.raises(CmsError) as caught:
        ber.der(octets) if walk else ber.element(octets, 0, len(octets))
    return caught.value.name


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("0401aa", (0x04, 2, 3, 3)),
        ("04820001aa", (0x04, 4, 5, 5)),
        ("0484 00000001 aa", (0x04, 6, 7, 7)),
        ("3080 0401aa 0000", (0x30, 2, 5, 7)),
        ("3080 3080 0000 0000", (0x30, 2, 6, 8)),
        ("3f10 00", (0x30, 3, 3, 3)),
        ("1f8148 01aa", (200 << 8 | 0x1F, 4, 5, 5)),
    ],
)
def test_elements(octets: str, expected: ber.Element) -> None:
    encoded = bytes.fromhex(octets)
    assert ber.element(encoded, 0, len(encoded)) == expected


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        ("", "malformed"),
        ("04", "malformed"),
        ("0402aa", "malformed"),
        ("0482", "malformed"),
        ("04820001", "malformed"),
        ("04ff", "malformed"),
        ("0480", "malformed"),
        ("3080", "malformed"),
        ("3080 0401aa", "malformed"),
        ("3080 0001 0000", "malformed"),
        ("1f", "malformed"),
        ("1f8181818181", "malformed"),
        ("3080 0405 0000", "malformed"),
        ("30" + "8f" + "ff" * 15, "malformed"),
    ],
)
def test_what_is_no_element(octets: str, name: str) -> None:
    assert raised(bytes.fromhex(octets), walk=False) == name


@pytest.mark.parametrize("open_octets", [b"\x30\x80", b"\x24\x80"])
def test_depth_is_bounded(open_octets: bytes) -> None:
    nested = open_octets * 20000
    assert raised(nested, walk=False) == ExceptionName.LIMIT
    assert raised(nested) == ExceptionName.LIMIT
    with pytest.raises(CmsError) as caught:
        Cursor(nested + b"\0\0" * 20000).string()
    assert caught.value.name == ExceptionName.LIMIT


def test_elements_are_bounded() -> None:
    many = b"\x24\x80" + b"\x04\0" * 5000 + b"\0\0"
    assert raised(many, walk=False) == ExceptionName.LIMIT
    assert raised(b"\x30\x82\x27\x10" + b"\x04\0" * 5000) == ExceptionName.LIMIT
    definite = b"\x24\x82\x27\x10" + b"\x04\0" * 5000
    with pytest.raises(CmsError) as caught:
        Cursor(definite).string()
    assert caught.value.name == ExceptionName.LIMIT


def test_strings_in_segments_are_whole() -> None:
    assert Cursor(bytes.fromhex("2480 0401aa 2403 0401bb 0400 0000")).string() == b"\xaa\xbb"
    assert Cursor(bytes.fromhex("a003 0401aa")).string(0x80) == b"\xaa"


def test_a_segment_of_another_type_is_ambiguous() -> None:
    with pytest.raises(CmsError) as caught:
        Cursor(bytes.fromhex("2403 0c01aa")).string()
    assert caught.value.name == ExceptionName.AMBIGUOUS


def test_what_is_left_is_ambiguous() -> None:
    cursor = Cursor(bytes.fromhex("0401aa 0500"))
    cursor.string()
    with pytest.raises(CmsError) as caught:
        cursor.finish("something")
    assert caught.value.name == ExceptionName.AMBIGUOUS


@given(st.lists(st.integers(0, 2**40), min_size=0, max_size=5), st.integers(0, 2), st.integers(0, 39))
def test_identifiers_are_those_of_asn1crypto(arcs: list[int], first: int, second: int) -> None:
    text = ".".join(map(str, (first, second, *arcs)))
    contents = ObjectIdentifier(text).contents
    if len(contents) <= ber.MAX_IDENTIFIER:
        assert ber.dotted(contents) == text


@pytest.mark.parametrize(
    ("contents", "name"), [("", "malformed"), ("2a86", "malformed"), ("2a8001", "ambiguous")]
)
def test_identifiers_that_are_none(contents: str, name: str) -> None:
    with pytest.raises(CmsError) as caught:
        ber.dotted(bytes.fromhex(contents))
    assert caught.value.name == name


values = st.recursive(
    st.tuples(st.sampled_from([0x02, 0x04, 0x05, 0x0C, 0x82, 0xC8 << 8 | 0x1F]), st.binary(max_size=300)).map(
        lambda pair: ber.encode(*pair)
    ),
    lambda children: st.tuples(
        st.sampled_from([0x30, 0xA0, 0xA1, 0x12C << 8 | 0x3F]), st.lists(children, max_size=4)
    ).map(lambda pair: ber.encode(pair[0], b"".join(pair[1]))),
    max_leaves=12,
)


@given(values, st.integers(0, 2**64))
def test_every_ber_of_a_value_has_one_der(encoded: bytes, seed: int) -> None:
    assert ber.der(loosen(encoded, random.Random(seed), segment=False)) == encoded


def test_sets_are_sorted_where_asked() -> None:
    unsorted = bytes.fromhex("3106 0401bb 0401aa")
    assert ber.der(unsorted) == bytes.fromhex("3106 0401aa 0401bb")
    assert ber.der(unsorted, sort=False) == unsorted


@given(st.binary(max_size=200))
def test_any_octets_decode_or_raise_the_one_error(octets: bytes) -> None:
    for read in (ber.der, lambda data: Cursor(data).string(), lambda data: Cursor(data).integer()):
        try:
            read(octets)
        except CmsError:
            continue
