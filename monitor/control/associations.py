"""Associations as operators see them: pages of a store's records, and single ones by their SPI.

The functions raise ``ControlError`` for what cannot be, ``StoreError`` where the store cannot answer.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from monitor.antireplay.association import Association, RecordError
from monitor.antireplay.fingerprint import spi
from monitor.control.error import ControlError
from monitor.record import seconds
from monitor.store.managed import FOREVER, Entry, ManagedStore
from monitor.wire import address
from monitor.wire.frame import NANOSECONDS

PAGE = 500
"""Records of one page, read and told between two batches of packets (some milliseconds)."""
PRUNE_SLICE = 1000
"""Records that one request looks at for pruning."""
AMBIGUOUS = 20
"""Associations told where an SPI stands for several."""
SPI_DIGITS = 8
"""Least hexadecimal digits by which an association is named: those of an SPI."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which associations are wanted: those that fit all that is given."""

    tier: str = ""
    source: str = ""
    call_id: str = ""

    def takes(self, document: Mapping[str, Any]) -> bool:
        """Whether an association, as ``describe`` tells it, is wanted."""
        legs = document["legs"]
        return (
            (not self.tier or document["tier"] == self.tier)
            and (not self.source or any(leg["source"] == self.source for leg in legs))
            and (not self.call_id or any(leg["call_id"] == self.call_id for leg in legs))
        )


def commands(store: ManagedStore) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
    """What can be asked about a store, by name; parameters and results are what JSON can hold."""
    return {
        "associations": partial(_page, store),
        "association": lambda parameters: _find(store, _text(parameters, "spi")),
        "forget": lambda parameters: _forget(store, _text(parameters, "spi")),
        "prune": partial(_prune, store),
    }


def _page(store: ManagedStore, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The associations among the next ``PAGE`` records, in the order of fingerprints.

    Of ``parameters``, ``after`` is the fingerprint to go on after, the others are a ``Filter``.
    ``next`` of the result is what to go on after, None at the end.
    """
    wanted = Filter(*(_text(parameters, name, "") for name in ("tier", "source", "call_id")))
    entries = store.records(after=_octets(_text(parameters, "after", "")), limit=PAGE)
    documents = [document for entry in entries if (document := describe(entry)) and wanted.takes(document)]
    return {
        "associations": documents,
        "next": entries[-1].key.hex() if len(entries) == PAGE else None,
    }


def _find(store: ManagedStore, name: str) -> list[dict[str, Any]]:
    """The associations whose fingerprint begins with the hexadecimal digits ``name``: an SPI, or more."""
    if len(name) < SPI_DIGITS:
        raise ControlError(f"an SPI has {SPI_DIGITS} hexadecimal digits, as in 3f9a1c2e")
    entries = store.records(prefix=_octets(name[: len(name) & ~1]), limit=PAGE)
    found = [document for entry in entries if (document := describe(entry))]
    return [document for document in found if document["fingerprint"].startswith(name.lower())]


def _forget(store: ManagedStore, name: str) -> dict[str, Any]:
    """Drop the one association that ``_find`` finds, durably and at once; what it was."""
    found = _find(store, name)
    if not found:
        raise ControlError(f"no association has the SPI {name}")
    if len(found) > 1:
        several = ", ".join(document["fingerprint"] for document in found[:AMBIGUOUS])
        raise ControlError(f"{name} stands for {len(found)} associations; name one by more digits: {several}")
    store.forget(bytes.fromhex(found[0]["fingerprint"]))
    return found[0]


def _prune(store: ManagedStore, parameters: Mapping[str, Any]) -> dict[str, int]:
    """Look at the next ``PRUNE_SLICE`` records: how many expired ``before`` a time, and how many are left."""
    before = parameters.get("before", time.time())
    if not isinstance(before, int | float) or not 0 <= before <= FOREVER / NANOSECONDS:
        raise ControlError("before is a time in seconds")
    pruned = store.prune(round(before * NANOSECONDS), PRUNE_SLICE)
    return {"pruned": pruned, "slice": PRUNE_SLICE, "records": store.count()}


def describe(entry: Entry) -> dict[str, Any] | None:
    """An association as a JSON object; None where the record is of a dialog, an originator or a signer."""
    try:
        association = Association.decode(entry.record)
    except RecordError:
        return None
    return {
        "spi": spi(entry.key),
        "fingerprint": entry.key.hex(),
        "tier": str(association.tier),
        "first": seconds(association.first.first),
        "last": seconds(max(leg.last for leg in association.legs)),
        "expires": seconds(entry.expires),
        "paired": association.paired,
        "legs": [
            {
                "call_id": leg.call_id,
                "sender": leg.sender,
                "peer": leg.peer,
                "source": address.text(leg.source),
                "destinations": [address.text(each) for each in leg.destinations],
                "first": seconds(leg.first),
                "last": seconds(leg.last),
            }
            for leg in association.legs
        ],
    }


def _text(parameters: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = parameters.get(name, default)
    if not isinstance(value, str):
        raise ControlError(f"{name} is text")
    return value


def _octets(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise ControlError(f"{digits} is no hexadecimal number of whole octets") from None
