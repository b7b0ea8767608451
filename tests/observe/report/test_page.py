"""The page: what it tells, what hostile captures make of it, and where it ends."""

import base64
import hashlib
import random
import re
from pathlib import Path

import pytest
from frames import invite, sdp, udp
from pages import PCAPS, Reader, capture, report

from monitor.antireplay.ruling import Reason
from monitor.observe.report import denials, findings, judged, media, summary, tables, timeline, words
from monitor.observe.report.markup import visible

BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></svg><img src=x onerror=alert(1)>",
    "<!-- ]]> &lt;b&gt; &#60;i&#62;",
    "javascript:alert(1)",
    "right\u202eto left \u2066isolated",
    "\x1b]0;title\x07\x1b[31m",
    "צ <b>bold</b> \u0627",
    "{{7*7}} ${7*7} %s %n",
)


def key(number: int) -> str:
    return base64.b64encode(random.Random(number).randbytes(30)).decode()


def attacked(path: Path, text: str) -> str:
    """A call and its recording, and a message that cannot be read, with the text wherever text may be."""
    headers = f'X-Text: {text}\r\nSubject: "{text}"\r\nX-{text[:5]}: 1\r\n'
    message = invite(sdp(key(1)), call=f"call {text}", headers=headers)
    recorded = message.replace(b"Max-Forwards: 70", f"Max-Forwards: {text}".encode())
    broken = invite(sdp(key(2)), call="broken").replace(b"CSeq: 1", f"CSeq: {text}".encode())
    return capture(path, udp(BOB, ALICE, message), udp(CHARLES, ALICE, recorded), udp(BOB, ALICE, broken))


@pytest.fixture(scope="module")
def media_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp("media") / "report.html", str(PCAPS / "9-media.pcap"))


def test_the_story(media_page: str) -> None:
    told = Reader(media_page).text
    for said in (
        "4 messages denied",
        "1 capture of 830 frames, recorded on 2023-11-23 from 19:19:49 to 20:31:05 UTC, held 22 SIP messages",
        "8 messages bore key material and were ruled on: 4 accepted, 4 denied.",
        "It did harm: the keystream of 200 media packets was used a second time and the recording of 100",
        "192.0.2.66 sent again what 192.0.2.2 had sent",
        "192.0.2.1 sent the key of 192.0.2.2 back",
        "192.0.2.2 used its key in another call",
        "packets replayed",
        "18 of them alike",
        "the power to forge (RFC 7714",
        "sip-replay-monitor",
    ):
        assert said in told, said


def test_the_pictures_say_what_they_show(media_page: str) -> None:
    reader = Reader(media_page)
    pictures = [value for name, value in reader.attributes if name == "aria-labelledby"]
    assert len(pictures) == 5
    named = {value for name, value in reader.attributes if name == "id"}
    assert {part for value in pictures for part in value.split()} <= named
    assert "at 19:20:53.056 192.0.2.66 sends INVITE to 192.0.2.1, denied: envelope-reused." in reader.text
    assert reader.tags.count("h1") == 1


def test_nothing_denied(tmp_path: Path) -> None:
    told = Reader(report(tmp_path / "report.html", str(PCAPS / "1-calls.pcap"))).text
    assert "Nothing was denied" in told
    assert "Who replayed what" not in told
    assert "media" not in told.partition("How this was made")[0].replace("media packets repeated", "")


def test_nothing_at_all(tmp_path: Path) -> None:
    told = Reader(report(tmp_path / "report.html", capture(tmp_path / "empty.pcap"))).text
    assert "No frames were captured" in told
    told = Reader(report(tmp_path / "report.html", capture(tmp_path / "other.pcap", b"\x45" * 40))).text
    assert "None bore key material" in told


def test_exceptions_are_grouped(tmp_path: Path) -> None:
    broken = invite(sdp(key(1)), call="x").replace(
        b"Content-Length: ", b"Content-Length: 1\r\nContent-Length: "
    )
    packets = [udp(BOB, ALICE, broken)] * 20
    told = Reader(report(tmp_path / "report.html", capture(tmp_path / "own.pcap", *packets))).text
    assert "20 messages denied for what could not be told for sure" in told
    assert "20 exceptions tell of what could not be told for sure, 20 of which deny." in told
    assert "ambiguous deny Content-Lengths that differ 20" in told
    assert "frames 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more" in told


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_capture_says_stays_text(text: str, tmp_path: Path) -> None:
    clean = Reader(report(tmp_path / "clean.html", attacked(tmp_path / "clean.pcap", "harmless")))
    named = tmp_path / f"{text.replace('/', '')[:40]} <b>.pcap"
    page = report(tmp_path / "report.html", attacked(named, text))
    reader = Reader(page)
    assert set(reader.tags) <= set(clean.tags) | {"span"}
    assert {name for name, _ in reader.attributes} <= {name for name, _ in clean.attributes}
    for name, value in reader.attributes:
        assert name != "href" or re.fullmatch(r"#denial-\d+", value)
    assert page.isprintable() or all(each.isprintable() or each == "\n" for each in page)
    assert "<article" in page
    assert "".join(reader.texts).count(visible(text)) > 3


def test_octets_that_are_no_text(tmp_path: Path) -> None:
    message = invite(sdp(key(1)), headers="X-Odd: QQ\r\n").replace(b"QQ", bytes(range(128, 256)))
    packets = udp(BOB, ALICE, message), udp(CHARLES, ALICE, message)
    told = Reader(report(tmp_path / "report.html", capture(tmp_path / "own.pcap", *packets))).text
    assert "X-Odd: \\x80\\x81" in told


def test_it_needs_nothing_from_elsewhere(media_page: str) -> None:
    reader = Reader(media_page)
    names = {name for name, _ in reader.attributes}
    assert not names & {"src", "srcset", "style", "xlink:href", "action"}
    assert not any(name.startswith("on") for name in names)
    assert not set(reader.tags) & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "form",
        "base",
        "image",
        "use",
    }
    assert not re.search(r"url\(|@import|https?:", media_page)
    style = media_page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = (value for name, value in reader.attributes if value.startswith("default-src"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_every_denial_has_its_meaning() -> None:
    assert set(words.MEANINGS) == {reason for reason in Reason if reason.denies}


# Bounds


def flood(path: Path, calls: int, replays: int) -> str:
    packets = []
    for call in range(calls):
        message = invite(sdp(key(call)), call=f"call-{call}", branch=f"z9hG4bK-{call}")
        packets.append(udp(BOB, ALICE, message))
        packets += [udp(f"198.51.100.{number}", ALICE, message) for number in range(1, replays + 1)]
    return capture(path, *packets, apart=0.1)


def test_many_denials_of_one_kind_are_told_once(tmp_path: Path) -> None:
    message = invite(sdp(key(1)))
    packets = [udp(BOB, ALICE, message), *[udp(CHARLES, ALICE, message)] * 300]
    page = report(tmp_path / "report.html", capture(tmp_path / "own.pcap", *packets))
    assert page.count("<article") == 1
    frames = ", ".join(map(str, range(2, 14)))
    assert f"It came 300 times within 4 min 59 s (frames {frames} and 288 more)" in page


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit, most in (
        (findings, "MAX_KNOWN", 9),
        (findings, "MAX_CALLS", 8),
        (findings, "MAX_SENDERS", 1),
        (findings, "MAX_INCIDENTS", 6),
        (denials, "MAX_SHOWN", 4),
        (tables, "MAX_ASSOCIATIONS", 5),
        (timeline, "MAX_ROWS", 3),
        (judged, "MAX_HEAD", 200),
    ):
        monkeypatch.setattr(module, limit, most)
    monkeypatch.setattr(summary, "MAX_SOURCES", 0)
    page = report(tmp_path / "report.html", flood(tmp_path / "flood.pcap", 12, 2))
    told = Reader(page).text
    assert page.count("<article") == 4
    for said in (
        "24 messages denied",
        "in at least 8 calls.",
        "They came from more than 1 other addresses.",
        "18 further denials are not listed",
        "are shown in detail below, 2 are not.",
        "5 of 9 associations are listed",
        "3 of 8 calls are drawn",
        "3 older ones were forgotten",
        "INVITEs of further ones were not counted",
        "The rest of the header is left out.",
    ):
        assert said in told, said


def test_what_is_not_drawn_or_named_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit, most in (
        (findings, "MAX_MARKS", 2),
        (timeline, "MAX_LINKS", 5),
        (timeline, "MAX_SPANS", 2),
        (judged, "MAX_FINGERPRINTS", 1),
        (denials, "MAX_SPIS", 1),
        (denials, "MAX_LINES", 3),
        (media, "MAX_SHOWN", 1),
    ):
        monkeypatch.setattr(module, limit, most)
    again = report(tmp_path / "media.html", str(PCAPS / "9-media.pcap"))
    flooded = report(tmp_path / "flood.html", flood(tmp_path / "flood.pcap", 4, 3))
    for page, said in (
        (flooded, "Not drawn are 7 further lines from originals and 8 further rulings."),
        (again, "Not drawn are 1 further pair of streams."),
        (again, "2 further pairs of streams are not shown."),
        (again, "and 1 more"),
        (flooded, "further lines left out."),
    ):
        assert said in Reader(page).text, said


def test_a_flood_leaves_a_page_that_can_be_read(tmp_path: Path) -> None:
    page = report(tmp_path / "report.html", flood(tmp_path / "flood.pcap", 100, 3))
    assert "300 messages denied" in page
    assert page.count("<article") == denials.MAX_SHOWN
    assert len(page) < 1_500_000
