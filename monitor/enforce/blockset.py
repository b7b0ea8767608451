"""The set of sources that the kernel drops SIP from before it is queued: nft's sets, or those of ipset.

The kernel rules make the sets (see ``ruleset``), and an address leaves them by itself when its time is up.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from monitor.enforce.programs import NetfilterError, run
from monitor.enforce.ruleset import FAMILIES, IPSET, NFT_SET, TABLE, Family
from monitor.wire import address

_NONE = "there is no block set: 'replay-monitor rules apply' makes it (with iptables: --ipset)"


@dataclass(frozen=True, slots=True)
class Blocked:
    """A source in the set."""

    address: str
    seconds: int
    """Until it leaves the set."""


def add(sources: Sequence[bytes], seconds: int) -> None:
    """Block these sources (packed) for so long; one that is blocked stays so as long as it was to.

    :raises NetfilterError: there is no set, or it cannot be changed.
    """
    by_family = {
        family: [address.text(each) for each in sources if _family(each) == family] for family in FAMILIES
    }
    by_family = {family: each for family, each in by_family.items() if each}
    elements = {
        family: ", ".join(f"{each} timeout {seconds}s" for each in by_family[family]) for family in by_family
    }
    _change(
        "".join(
            f"add element inet {TABLE} {NFT_SET[family]} {{ {each} }}\n" for family, each in elements.items()
        ),
        "".join(
            f"add {IPSET[family]} {each} timeout {seconds}\n"
            for family in by_family
            for each in by_family[family]
        ),
    )


def remove(source: bytes) -> None:
    """Let a source (packed) through again.

    :raises NetfilterError: it is not blocked, there is no set, or it cannot be changed.
    """
    family, text = _family(source), address.text(source)
    if text not in (each.address for each in blocked()):
        raise NetfilterError(f"{text} is not blocked")
    _change(f"delete element inet {TABLE} {NFT_SET[family]} {{ {text} }}\n", f"del {IPSET[family]} {text}\n")


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
    return sorted(found, key=lambda each: (each.seconds, each.address))


def _change(nft: str, ipset: str) -> None:
    """Have one of the programs do it: that which has the sets."""
    try:
        run("nft", "--file", "-", text=nft)
    except NetfilterError as error:
        if error.forbidden:
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
    return [Blocked(str(each["val"]), int(each.get("expires", 0))) for each in elements]


def _ipset_elements(name: str) -> list[Blocked]:
    lines = [line.split() for line in run("ipset", "save", name).splitlines()]
    return [Blocked(line[2], int(line[4])) for line in lines if len(line) >= 5 and line[0] == "add"]


def _family(packed: bytes) -> Family:
    return 4 if len(packed) == 4 else 6
