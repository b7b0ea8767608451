"""Puts the kernel rules in place and takes them away, with the programs nft, iptables and ipset."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from monitor.enforce import ruleset
from monitor.enforce.programs import NetfilterError, run
from monitor.enforce.ruleset import FAMILIES, IPSET, Family, Ruleset

Backend = Literal["nft", "iptables"]

_IPTABLES = {4: "iptables", 6: "ip6tables"}
_NFT_FAMILY = {4: "ip", 6: "ip6"}
_BUILT_IN = {":INPUT ACCEPT", ":FORWARD ACCEPT", ":OUTPUT ACCEPT"}
_LISTENERS = Path("/proc/net/netfilter/nfnetlink_queue")


def choose(rules: Ruleset) -> tuple[Backend, str]:
    """The backend that can carry ``rules`` here and, where that is not nft, why.

    Only root can tell for sure; for others it is nft where that is installed.
    """
    try:
        run("nft", "--check", "--file", "-", text=rules.nft())
    except NetfilterError as error:
        if error.forbidden:
            return "nft", ""
        why = str(error)
        if "Could not process rule" in why:
            why = "this kernel has no queue statement for nft (module nft_queue)"
        return "iptables", why
    return "nft", ""


def apply(rules: Ruleset, backend: Backend) -> None:
    """Put ``rules`` in the place of whatever an earlier call put there, with either backend.

    :raises NetfilterError: it could not be done, and what stood before stands (with iptables, which has a
        transaction for each family, in the family that failed).
    """
    if backend == "nft":
        run("nft", "--file", "-", text=rules.nft())
        _remove_iptables(FAMILIES)
        _remove_ipsets()
        return
    if rules.ipset:
        run("ipset", "-exist", "restore", text=ruleset.ipsets())
    inputs = {
        family: rules.iptables(family, ruleset.iptables_jumps(_saved(family))) for family in rules.families
    }
    for family, text in inputs.items():
        run(f"{_IPTABLES[family]}-restore", "--wait", "--noflush", "--test", text=text)
    for family, text in inputs.items():
        run(f"{_IPTABLES[family]}-restore", "--wait", "--noflush", text=text)
    _remove_iptables(tuple(family for family in FAMILIES if family not in rules.families))
    _remove_nft()
    if not rules.ipset:
        _remove_ipsets()


def remove(backend: Backend | None = None) -> list[Backend]:
    """Remove the rules from one backend or from both, and tell from which they were removed.

    :raises NetfilterError: they stand and could not be removed.
    """
    removed: list[Backend] = []
    if backend in (None, "nft") and _remove_nft():
        removed.append("nft")
    if backend in (None, "iptables") and _remove_iptables(FAMILIES):
        removed.append("iptables")
        _remove_ipsets()
    return removed


def listeners() -> set[int]:
    """The queues that some program listens on in this network namespace."""
    try:
        lines = _LISTENERS.read_text().splitlines()
    except OSError:
        return set()
    return {int(line.split()[0]) for line in lines if line.strip()}


def exemptions() -> list[str]:
    """Rules that exempt packets from connection tracking, and perhaps fragments from reassembly."""
    found = []
    for program in (("nft", "list", "ruleset"), ("iptables-save",), ("ip6tables-save",)):
        try:
            listing = run(*program)
        except NetfilterError:
            continue
        found += [
            line.strip() for line in listing.splitlines() if re.search(r"\bnotrack\b", line, re.IGNORECASE)
        ]
    return found


def _remove_nft() -> bool:
    try:
        tables = run("nft", "list", "tables", "inet")
    except NetfilterError as error:
        if error.forbidden:
            raise
        return False
    if f"table inet {ruleset.TABLE}" not in tables.splitlines():
        return False
    run("nft", "delete", "table", "inet", ruleset.TABLE)
    return True


def _remove_iptables(families: tuple[Family, ...]) -> bool:
    removed = False
    for family in families:
        try:
            text = ruleset.iptables_removal(_saved(family))
        except NetfilterError as error:
            if error.forbidden:
                raise
            continue
        if text:
            run(f"{_IPTABLES[family]}-restore", "--wait", "--noflush", text=text)
            _drop_empty_table(family)
            removed = True
    return removed


def _remove_ipsets() -> None:
    for name in IPSET.values():
        # There may be none, nor the program.
        with suppress(NetfilterError):
            run("ipset", "destroy", name)


def _drop_empty_table(family: Family) -> None:
    """The built-in chains that iptables-nft made for our jumps go too, where nothing else is in the table."""
    left = [line for line in _saved(family).splitlines() if not line.startswith(("#", "*", "COMMIT"))]
    if any(line.partition(" [")[0] not in _BUILT_IN for line in left):
        return
    program, table = _IPTABLES[family], (_NFT_FAMILY[family], "security")
    try:
        if "nf_tables" not in run(program, "--version"):
            return
        for chain in re.findall(r"chain (\w+)", run("nft", "list", "table", *table)):
            run(program, "--table", "security", "--delete-chain", chain)
        if "chain" not in run("nft", "list", "table", *table):
            run("nft", "delete", "table", *table)
    except NetfilterError:
        return  # an empty table does nothing


def _saved(family: Family) -> str:
    return run(f"{_IPTABLES[family]}-save", "--table", "security")
