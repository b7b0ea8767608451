"""Nothing that a capture says becomes markup, nothing in it is unseen, and no key is shown."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import Reader

from monitor.observe.report.markup import Markup, joined, masked, shortened, tag, text, visible


@given(st.text())
def test_text_stays_text(value: str) -> None:
    reader = Reader(tag("p", value, title=value))
    assert reader.tags == ["p"]
    assert "".join(reader.texts) == visible(value)
    ((name, attribute),) = reader.attributes
    assert (name, attribute) == ("title", visible(value))
    reader = Reader(text(value))
    assert set(reader.tags) <= {"span"}
    assert "".join(reader.texts) == visible(value)


@given(st.text(st.characters(categories=["Cc", "Cf", "Cs", "Cn", "Zl", "Zp"])))
def test_nothing_is_unseen(value: str) -> None:
    seen = visible(value)
    assert seen.isprintable()
    assert all(unicodedata.category(character)[0] in "LNPS" for character in seen)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("alice\u202egro.elpmaxe", "alice\\u202egro.elpmaxe"),
        ("a\0b\x1b[31m", "a\\x00b\\x1b[31m"),
        ("\ud800", "\\ud800"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("tag\U000e0041", "tag\\ue0041"),
        ("Zoë שלום 電話", "Zoë שלום 電話"),
    ],
)
def test_odd_characters_are_written_out(value: str, seen: str) -> None:
    assert visible(value) == seen
    assert "".join(Reader(text(value)).texts) == seen


KEY = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


@pytest.mark.parametrize(
    "line",
    [
        f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}",
        f"A = CRYPTO : 1 AES_CM_128_HMAC_SHA1_80 {KEY}",
        f"X-Note: inline : {KEY}|2^20|1:4",
        f"a=key-mgmt:mikey {KEY}",
        f"Subject: <b>inline:{KEY}</b>",
    ],
)
def test_keys_are_not_shown(line: str) -> None:
    for shown in (masked(line), visible(line), text(line), tag("p", line), tag("p", title=line)):
        assert KEY not in shown
        assert KEY[8:24] not in shown


def test_usual_lines_are_shown_whole() -> None:
    for line in (
        "Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
        "Authorization: Digest response=0123456789abcdef0123456789abcdef",
        "Call-ID: 0123456789abcdef0123456789abcdef@192.0.2.1",
    ):
        assert masked(line) == line


def test_markup_is_taken_as_it_is() -> None:
    assert joined(Markup("<b>"), "<i>", None, 7) == "<b>&lt;i&gt;7"
    assert tag("br") == "<br>"
    assert tag("line", x1=1.0, x2=2.345, class_="a", aria_hidden="true", y=None) == (
        '<line x1="1" x2="2.35" class="a" aria-hidden="true"></line>'
    )


def test_shortened() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
