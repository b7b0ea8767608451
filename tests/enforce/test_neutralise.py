"""Messages made harmless in place."""

import pytest
from frames import invite, sdp
from hypothesis import given
from hypothesis import strategies as st

from monitor.enforce.neutralise import neutralise
from monitor.sip import message as sip
from monitor.sip.sniff import has_traces

KEY = "A" * 40
INVITE = invite(sdp(KEY))


def made_of(message: bytes) -> bytes:
    made = neutralise(message)
    assert made is not None
    assert len(made) == len(message)
    return made


def test_the_body_goes_and_what_names_the_transaction_stays() -> None:
    made = made_of(INVITE)
    before, after = sip.parse(INVITE, stream=True), sip.parse(made, stream=True)
    assert after.troubles == ()
    assert after.body == b"x" * len(before.body)
    assert after.header("content-type") == b"xxxxxxxxxxx/xxx"
    kept = [field for field in before.headers if field[0] != "content-type"]
    assert [field for field in after.headers if field[0] != "content-type"] == kept
    assert after.start_line == before.start_line
    assert not has_traces(made)


@pytest.mark.parametrize(
    ("field", "becomes"),
    [
        (b"Content-Type: application/sdp", b"Content-Type: xxxxxxxxxxx/xxx"),
        (b"c:application/sdp", b"c:xxxxxxxxxxx/xxx"),
        (b"CONTENT-TYPE \t: \ta/b;c=d", b"CONTENT-TYPE \t: \tx/xxxxx"),
        (b"Content-Type: text;a=/", b"Content-Type: xxxxxxxx"),
        (b'Content-Type: a/b;\r\n boundary="a/b"', b"Content-Type: x/" + b"x" * 19),
        (b"Content-Type:\r\n application/sdp", b"Content-Type:\r\n xxxxxxxxxxx/xxx"),
        (b"Content-Type: a/b\r\nc: d/e", b"Content-Type: x/x\r\nc: x/x"),
        (b"X-Content-Type: a/b\r\nContact: <sip:a/b>", b"X-Content-Type: a/b\r\nContact: <sip:a/b>"),
        (b"Content-Type:\r\nSubject: a/b", b"Content-Type:\r\nSubject: a/b"),
        (b"Subject: Content-Type: a/b", b"Subject: Content-Type: a/b"),
    ],
)
def test_each_content_type_is_one_that_nobody_knows(field: bytes, becomes: bytes) -> None:
    message = INVITE.replace(b"Content-Type: application/sdp", field)
    assert made_of(message).replace(b"x" * len(sdp(KEY)), sdp(KEY)) == INVITE.replace(
        b"Content-Type: application/sdp", becomes
    )


LENGTH = b"Content-Length: %d" % len(sdp(KEY))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        INVITE.replace(b"\r\n\r\n", b"\r\n"),
        INVITE.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\n"),
        INVITE.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r"),
        INVITE.replace(b"Max-Forwards: 70\r\n", b"Max-Forwards: 70\r\n\n"),
        INVITE.replace(b"Max-Forwards: 70", b"Max-Forwards: \0"),
        INVITE.replace(LENGTH, LENGTH + b"\r\nl: 5"),
        INVITE.replace(LENGTH, b"Content-Length: 5"),
        INVITE.replace(LENGTH, b"Content-Length:\r\n 5"),
        INVITE.replace(LENGTH, b"Content-Length: 0x5"),
        INVITE + b"more",
    ],
)
def test_what_others_could_read_otherwise_is_not_made_harmless(message: bytes) -> None:
    assert neutralise(message) is None


@given(st.binary(max_size=300), st.sampled_from([b"", INVITE, INVITE[:-100], b"c: a/b\r\n\r\n"]))
def test_whatever_comes_keeps_its_length_or_is_refused(octets: bytes, message: bytes) -> None:
    for each in (octets + message, message + octets, octets):
        made = neutralise(each)
        if made is not None:
            assert len(made) == len(each)
            assert set(made.partition(b"\r\n\r\n")[2]) <= {ord("x")}


def test_time_is_linear_in_what_an_attacker_sends() -> None:
    """Quadratic time would take minutes here."""
    for odd in (b"c: a\r\n " * 60_000, b"\r\nc" * 100_000, b"c:" + b" \t" * 200_000, b"\r\n " * 150_000):
        neutralise(b"INVITE sip:a SIP/2.0\r\n" + odd + b"\r\n\r\n" + b"body" * 1000)
