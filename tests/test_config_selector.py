"""Which policy takes a message."""

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.antireplay.policy import Policy
from monitor.config.quantity import Mark
from monitor.config.selector import PolicyList, Selector
from monitor.wire.address import pack


def networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


MESSAGE = ("192.0.2.7", "eth0", 0x17, "INVITE")


@pytest.mark.parametrize(
    ("selector", "takes"),
    [
        (Selector(), True),
        (Selector(source=networks("192.0.2.0/24")), True),
        (Selector(source=networks("192.0.2.0/30", "192.0.2.4/30")), True),
        (Selector(source=networks("192.0.2.0/30")), False),
        (Selector(source=networks("0.0.0.0/0")), True),
        (Selector(source=networks("::/0")), False),
        (Selector(interface=("eth1", "eth0")), True),
        (Selector(interface=("eth",)), False),
        (Selector(mark=(Mark(0x17),)), True),
        (Selector(mark=(Mark(0x10, 0xF0),)), True),
        (Selector(mark=(Mark(0x10),)), False),
        (Selector(method=("INVITE", "ACK")), True),
        (Selector(method=("ACK",)), False),
        (Selector(source=networks("192.0.2.0/24"), method=("ACK",)), False),
    ],
)
def test_takes(selector: Selector, takes: bool) -> None:
    source, interface, mark, method = MESSAGE
    assert selector.takes(pack(source), interface, mark, method) == takes


def test_the_first_that_matches_wins_and_the_default_takes_the_rest() -> None:
    default, wide, narrow = (Policy(name=name) for name in ("default", "wide", "narrow"))
    entries = (
        (Selector(source=networks("192.0.2.0/28")), narrow),
        (Selector(source=networks("192.0.2.0/24")), wide),
    )
    policies = PolicyList(default, entries)
    assert policies.choose(pack("192.0.2.15")) is narrow
    assert policies.choose(pack("192.0.2.16")) is wide
    assert policies.choose(pack("192.0.3.1")) is default
    assert policies.choose(pack("2001:db8::1")) is default
    assert policies.choose(b"") is default


NETWORKS = st.sampled_from(
    networks("0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "10.0.0.1/32")
)
MARKS = st.builds(lambda value, mask: Mark(value & mask, mask), st.integers(0, 3), st.integers(0, 3))
SELECTORS = st.builds(
    Selector,
    source=st.lists(NETWORKS, max_size=2).map(tuple),
    interface=st.lists(st.sampled_from(["a", "b"]), max_size=2).map(tuple),
    mark=st.lists(MARKS, max_size=2).map(tuple),
    method=st.lists(st.sampled_from(["ACK", "BYE"]), max_size=2).map(tuple),
)
MESSAGES = [
    (pack(source), interface, mark, method)
    for source, interface, mark, method in itertools.product(
        ["10.0.0.1", "10.0.0.2", "10.128.0.1", "11.0.0.1", "::1"],
        ["a", "b", ""],
        range(4),
        ["ACK", "BYE", "X"],
    )
]


@given(SELECTORS, SELECTORS)
def test_what_covers_another_takes_all_that_it_takes(one: Selector, other: Selector) -> None:
    if one.covers(other):
        assert all(one.takes(*message) for message in MESSAGES if other.takes(*message))


@given(SELECTORS)
def test_each_covers_itself(one: Selector) -> None:
    assert one.covers(one)
    assert Selector().covers(one)
