"""The set of sources that the kernel drops SIP from before it is queued: nft's sets, or those of ipset.

The kernel rules make the sets (see ``ruleset``), and a source leaves them by itself when its time is up.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.enforce.programs import NetfilterError, run
from monitor.enforce.ruleset import FAMILIES, IPSET, NFT_SET, TABLE, Family
from monitor.enforce.source import Source

_OVERLAP = "overlap"
"""A word of nft's refusal of an element that is within another, or has another within it."""
_NONE = "there is no block set: 'replay-monitor rules apply' makes it (with iptables: --ipset)"


@dataclass(frozen=True, slots=True)
class Blocked:
    """A source in the set."""

    source: Source
    seconds: int
    """Until it leaves the set."""


def add(sources: Sequence[Source], seconds: int) -> None:
    """Block these sources for so long; one that is blocked stays so for as long as it was to, at the least.

    :raises NetfilterError: there is no set, or it cannot be changed.
    """
    try:
        _add(sources, (), seconds)
    except NetfilterError as error:
        if _OVERLAP not in str(error):
            raise
        # In a set of nft one cannot stand within another, as it may after the prefix was configured anew.
        there = [each.source for each in blocked()]
        known = _within(sources, there)
        gone = [each for each in _within(there, sources) if each not in known]
        _add([each for each in sources if each not in known], gone, seconds)


def remove(source: Source) -> None:
    """Let a source through again, or the network that it is blocked with.

    :raises NetfilterError: it is not blocked, there is no set, or it cannot be changed.
    """
    found = [each.source for each in blocked() if _within((source,), (each.source,))]
    if not found:
        raise NetfilterError(f"{source} is not blocked")
    _change(_nft("delete", found), "".join(f"del {IPSET[_family(each)]} {each}\n" for each in found))


def clear() -> None:
    """Let all sources through again.

    :raises NetfilterError: there is no set, or it cannot be changed.
    """
    _change(
        "".join(f"flush set inet {TABLE} {name}\n" for name in NFT_SET.values()),
        "".join(f"flush {name}\n" for name in IPSET.values()),
    )


def blocked() -> list[Blocked]:
    """The sources that are blocked, the one that leaves first at the front.

    :raises NetfilterError: there is no set, or it cannot be read.
    """
    try:
        found = [each for name in NFT_SET.values() for each in _nft_elements(name)]
    except NetfilterError as error:
        if error.forbidden:
            raise
        try:
            found = [each for name in IPSET.values() for each in _ipset_elements(name)]
        except NetfilterError as other:
            raise NetfilterError(str(other) if other.forbidden else _NONE) from None
    return sorted(found, key=lambda each: (each.seconds, each.source))


def _add(sources: Sequence[Source], gone: Sequence[Source], seconds: int) -> None:
    """Add sources in place of others."""
    _change(
        _nft("delete", gone) + _nft("add", sources, f" timeout {seconds}s"),
        "".join(f"add {IPSET[_family(each)]} {each} timeout {seconds}\n" for each in sources),
    )


def _nft(verb: str, sources: Sequence[Source], more: str = "") -> str:
    """A line for each family."""
    by_family = {
        family: ", ".join(f"{each}{more}" for each in sources if _family(each) == family)
        for family in FAMILIES
    }
    return "".join(
        f"{verb} element inet {TABLE} {NFT_SET[family]} {{ {each} }}\n"
        for family, each in by_family.items()
        if each
    )


def _within(sources: Sequence[Source], others: Sequence[Source]) -> list[Source]:
    """Those sources that are one of others, or a part of one."""
    there, prefixes = frozenset(others), {each.prefix for each in others}
    return [
        source
        for source in sources
        if any(prefix <= source.prefix and Source.of(source.packed, prefix) in there for prefix in prefixes)
    ]


def _change(nft: str, ipset: str) -> None:
    """Have one of the programs do it: that which has the sets."""
    try:
        run("nft", "--file", "-", text=nft)
    except NetfilterError as error:
        if error.forbidden or _OVERLAP in str(error):
            raise
        try:
            run("ipset", "-exist", "restore", text=ipset)
        except NetfilterError as other:
            raise NetfilterError(str(other) if other.forbidden else _NONE) from None


def _nft_elements(name: str) -> list[Blocked]:
    listing = json.loads(run("nft", "--json", "list", "set", "inet", TABLE, name))
    elements = [
        element["elem"]
        for item in listing["nftables"]
        for element in item.get("set", {}).get("elem", ())
        if isinstance(element, dict)
    ]
    return [Blocked(Source.read(_text(each["val"])), int(each.get("expires", 0))) for each in elements]


def _text(value: str | dict[str, dict[str, str]]) -> str:
    """An element's address or network, as nft writes either in JSON."""
    return value if isinstance(value, str) else "{addr}/{len}".format(**value["prefix"])


def _ipset_elements(name: str) -> list[Blocked]:
    lines = [line.split() for line in run("ipset", "save", name).splitlines()]
    return [
        Blocked(Source.read(line[2]), int(line[4])) for line in lines if len(line) >= 5 and line[0] == "add"
    ]


def _family(source: Source) -> Family:
    return 4 if len(source.packed) == 4 else 6
