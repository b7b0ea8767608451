"""The effective source, read from a message's octets: hop by hop, never past one that is not trusted."""

import pytest

from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.policy import Policy
from monitor.antireplay.sad import Facts
from monitor.sip.message import parse
from monitor.wire.address import pack, text

BOB, ALICE, CHARLES = "192.0.2.5", "192.0.2.1", "192.0.2.66"
INNER, OUTER = "192.0.2.10", "192.0.2.11"
BOB6, INNER6 = "2001:db8::5", "2001:db8::10"
HASHES = Fingerprinter(b"a secret of some octets")
RELAYS = Policy(relays=frozenset(map(pack, (INNER, OUTER, INNER6))))


def facts(start_line: str, lines: str, source: str, destination: str, policy: Policy = RELAYS) -> Facts:
    raw = (
        f"{start_line}\r\n{lines}\r\nFrom: <sip:bob@example.org>;tag=bob\r\nTo: <sip:alice@example.org>\r\n"
        "Call-ID: call-1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    )
    return Facts.of(parse(raw.encode()), pack(source), pack(destination), 0, policy, HASHES)


def source_of(*lines: str, by: str = INNER, policy: Policy = RELAYS) -> str:
    """Of a request that the inner proxy, or who else, brings to Alice."""
    return text(facts("INVITE sip:alice@example.org SIP/2.0", "\r\n".join(lines), by, ALICE, policy).source)


def via(sent_by: str, parameters: str = "", name: str = "Via: ") -> str:
    return f"{name}SIP/2.0/UDP {sent_by};branch=z9hG4bK-{len(sent_by)}{parameters}"


@pytest.mark.parametrize(
    ("lines", "source"),
    [
        # RFC 3261 §18.2.1: the relay writes ``received`` where the sent-by is not where it came from.
        ([via(BOB)], BOB),
        ([via(f"{BOB}:5070")], BOB),
        ([via("phone.example.org", f";received={BOB}")], BOB),
        ([via(CHARLES, f";received={BOB}")], BOB),
        ([via("10.0.0.5", f";rport=4321;received={BOB}")], BOB),  # RFC 3581 §4
        ([via("10.0.0.5", f";received={BOB};rport=4321")], BOB),
        ([via(f"{BOB}:5070", ";rport=4321")], BOB),
        ([via(BOB, ";rport")], BOB),
        ([via(f"[{BOB6}]")], BOB6),
        ([via(f"[{BOB6}]:5070", ";rport=4321")], BOB6),
        ([via("[2001:DB8:0::0:5]")], BOB6),
        ([via("phone.example.org", f";received={BOB6}")], BOB6),
        ([via("phone.example.org", f";received=[{BOB6}]")], BOB6),  # brackets, as some write them
        ([via(f"[::ffff:{BOB}]")], BOB),
        # A name tells no address: nothing is asked of the DNS, the relay itself is the source.
        ([via("phone.example.org")], INNER),
        ([via("phone.example.org", ";received=nonsense")], INNER),
        ([via(BOB, ";received=nonsense")], INNER),
        ([], INNER),
    ],
)  # fmt: skip
def test_the_hop_before_the_relay(lines: list[str], source: str) -> None:
    assert source_of(via(INNER), *lines) == source


@pytest.mark.parametrize(
    "lines",
    [
        (f"{via(INNER)}, {via(BOB, '', '')}",),  # RFC 3261 §7.3.1
        (f"{via(INNER)}\t,\r\n  {via(BOB, '', '')}",),
        (via(INNER, "", "v:"), via(BOB, "", "V : ")),  # §7.3.3
        (via(INNER, "", "vIA:\r\n\t"), via(BOB, "", "VIA:\r\n ")),
        (via(INNER), "Max-Forwards: 69", via(BOB)),
        (via(INNER, ';note="a, b"'), via(BOB)),
        ("Via: SIP / 2.0 / UDP   192.0.2.10 : 5060 ;branch=z9hG4bK-1", via(BOB)),
    ],
)  # fmt: skip
def test_however_the_header_is_written(lines: tuple[str, ...]) -> None:
    assert source_of(*lines) == BOB


@pytest.mark.parametrize(
    ("lines", "by", "source"),
    [
        ([via(INNER), via(OUTER), via(BOB)], INNER, BOB),
        ([via("in.example.org"), via("out.example.org", f";received={OUTER}"), via(BOB)], INNER, BOB),
        ([via(f"[{INNER6}]"), via(OUTER), via("10.0.0.5", f";received={BOB}")], INNER6, BOB),
        # The second is not trusted, or there is a stranger between: what lies below him he may have made up.
        ([via(INNER), via("192.0.2.12"), via(BOB)], INNER, "192.0.2.12"),
        ([via(INNER), via(CHARLES), via(OUTER), via(BOB)], INNER, CHARLES),
        ([via(INNER), via(OUTER, f";received={CHARLES}"), via(BOB)], INNER, CHARLES),
        ([via(INNER), via(OUTER), via("nowhere.example.org"), via(BOB)], INNER, OUTER),
        # From no relay: nothing in the message matters.
        ([via(INNER), via(BOB)], CHARLES, CHARLES),
        ([via(BOB, f";received={BOB}")], CHARLES, CHARLES),
        ([via(INNER), via(OUTER), via(BOB)], BOB, BOB),
    ],
)
def test_hop_by_hop(lines: list[str], by: str, source: str) -> None:
    assert source_of(*lines, by=by) == source


def test_without_relays_it_is_the_packets() -> None:
    assert source_of(via(INNER), via(BOB), policy=Policy()) == INNER


@pytest.mark.parametrize("by", [INNER, ALICE])
@pytest.mark.parametrize(("destination", "target"), [(INNER, BOB), (BOB, BOB), (CHARLES, CHARLES)])
def test_a_responses_source_is_its_packets(by: str, destination: str, target: str) -> None:
    """Its Via entries are the request's own (RFC 3261 §8.2.6.2): they tell whom it is for."""
    found = facts("SIP/2.0 200 OK", "\r\n".join((via(INNER), via(BOB))), by, destination)
    assert (text(found.source), text(found.target)) == (by, target)
