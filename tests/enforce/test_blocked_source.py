"""What is blocked for an address, and who is spared."""

import ipaddress

import pytest

from monitor.enforce.source import Source, Spared
from monitor.wire.address import pack

SPARED = Spared(
    [ipaddress.ip_network(each) for each in ("198.51.100.0/24", "2001:db8:a::7/128", "2001:db8:b::/48")],
    [pack("192.0.2.5"), pack("2001:db8:c::5")],
)


@pytest.mark.parametrize(
    ("address", "spared"),
    [
        ("192.0.2.5", True),
        ("198.51.100.7", True),
        ("2001:db8:a::7", True),
        ("2001:db8:b:1::1", True),
        ("2001:db8:c::5", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("192.0.2.66", False),
        ("2001:db8:a::8", False),
    ],
)
def test_who_is_spared(address: str, spared: bool) -> None:
    assert (pack(address) in SPARED) is spared


@pytest.mark.parametrize(
    ("address", "prefix", "source"),
    [
        ("192.0.2.66", 64, "192.0.2.66"),
        ("2001:db8::66", 64, "2001:db8::/64"),
        ("2001:db8:1:2:3::66", 61, "2001:db8:1::/61"),
        ("2001:db8::66", 128, "2001:db8::66"),
        ("2001:db8:a::66", 64, "2001:db8:a::66"),
        ("2001:db8:a:1::66", 64, "2001:db8:a:1::/64"),
        ("2001:db8:a:1::66", 48, "2001:db8:a:1::66"),
        ("2001:db8:c::66", 64, "2001:db8:c::66"),
        ("2001:db8:d::66", 32, "2001:db8:d::66"),
        ("fe80::66", 64, "fe80::66"),
        ("64:ff9b::c000:242", 64, "64:ff9b::c000:242"),
        ("64:ff9b:1:2::66", 64, "64:ff9b:1:2::66"),
        ("2001:0:c000:201::66", 64, "2001:0:c000:201::66"),
    ],
)
def test_an_ipv6_network_is_one_source_where_nobody_else_is_in_it(
    address: str, prefix: int, source: str
) -> None:
    assert str(SPARED.source(pack(address), prefix)) == source


@pytest.mark.parametrize("text", ["192.0.2.66", "2001:db8::66", "2001:db8::/64"])
def test_a_source_reads_as_it_is_written(text: str) -> None:
    assert str(Source.read(text)) == text


@pytest.mark.parametrize("text", ["", "bob", "2001:db8::1/64", "2001:db8::/129"])
def test_what_is_no_source(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Source.read(text)
