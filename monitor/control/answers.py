"""What the daemon answers on its control socket."""

import logging
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Protocol

from monitor.antireplay.table import StoreError
from monitor.control import associations
from monitor.control.access import Peer
from monitor.control.error import ControlError
from monitor.control.server import Command
from monitor.observe.metrics import Histogram, Metrics
from monitor.observe.recent import KEPT, Recent
from monitor.shipped import program_version
from monitor.store.location import public_url
from monitor.store.managed import ManagedStore

SHOWN = 5
"""Of the latest denials, alerts and exceptions in a status."""
STORE_TROUBLE = 10.0
"""Seconds without a failure after which the store counts as available again."""
QUANTILES = {"p50": 0.5, "p99": 0.99}

log = logging.getLogger("monitor")


class KeyHolder(Protocol):
    """What a status tells of the keyholder (see ``keys.holder.KeyHolder``)."""

    alive: bool
    refused: int

    def __len__(self) -> int: ...


class Answers:
    """The daemon's answers, all from what its event loop knows: ``commands`` is what the server takes.

    :param store_url: where the associations are.
    :param keyholder: None where no keys are held.
    :param keys: private keys held.
    :param rehearsal: the failure that is being rehearsed, if one is.
    """

    def __init__(
        self,
        *,
        metrics: Metrics,
        recent: Recent,
        store: ManagedStore,
        store_url: str,
        keyholder: KeyHolder | None,
        keys: int,
        rehearsal: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._metrics, self._recent, self._store = metrics, recent, store
        self._store_url = public_url(store_url)
        self._keyholder, self._keys = keyholder, keys
        self._rehearsal = rehearsal
        self._started = time.time()
        self._version = program_version()

    @property
    def commands(self) -> Mapping[str, Command]:
        """By name."""
        return {
            "status": self._status,
            "alerts": self._alerts,
            **{name: _audited(name, command) for name, command in associations.commands(self._store).items()},
        }

    def _status(self, parameters: Mapping[str, Any], peer: Peer) -> dict[str, Any]:
        metrics = self._metrics
        return {
            "version": self._version,
            "process": os.getpid(),
            "started": round(self._started, 3),
            "uptime": round(time.time() - self._started, 3),
            "rehearsal": self._rehearsal(),
            "queues": self._queue_accounts(),
            "overruns": metrics.overruns,
            "malformed_netlink": metrics.malformed_netlink,
            "packets": {transport: count for (transport,), count in metrics.packets_by_transport().items()},
            "verdicts": {str(verdict): count for verdict, count in metrics.verdicts.items()},
            "rulings": _counts(metrics.rulings, ("reason", "verdict", "policy", "enforced")),
            "exceptions": _counts(metrics.exceptions, ("exception", "outcome")),
            "alerts": _counts(metrics.alerts, ("alert",)),
            "latency": _quantiles(metrics.latency),
            "commit": _quantiles(metrics.commit),
            "pending": {"packets": metrics.held, "key_work": metrics.key_work_in_flight},
            "expired": metrics.expired,
            "keyholder": self._keyholder_state(),
            "store": {
                "url": self._store_url,
                "available": self._store_available(),
                "records": metrics.store_records,
                "bytes": metrics.store_bytes,
                "pruned": metrics.pruned,
            },
            "unexpected": dict(metrics.unexpected),
            "recent": self._recent.documents(_number(parameters, "recent", SHOWN, KEPT)),
        }

    def _queue_accounts(self) -> list[dict[str, int | None]]:
        """The kernel's accounts; what is None it does not keep, or does not let us read."""
        metrics = self._metrics
        limits = metrics.queue_limits()
        accounts = {name: metrics.by_queue(name) for name in ("length", "dropped", "user_dropped")}
        return [
            {
                "number": int(label[0]),
                "limit": limit,
                **{name: counts.get(label) for name, counts in accounts.items()},
            }
            for label, limit in limits.items()
        ]

    def _store_available(self) -> bool:
        failed = self._metrics.store_failed
        return failed is None or time.monotonic() - failed > STORE_TROUBLE

    def _keyholder_state(self) -> dict[str, Any] | None:
        keyholder = self._keyholder
        if keyholder is None:
            return None
        return {
            "alive": keyholder.alive,
            "keys": self._keys,
            "pending": len(keyholder),
            "refused": keyholder.refused,
            "latency": _quantiles(self._metrics.key_work),
        }

    def _alerts(self, parameters: Mapping[str, Any], peer: Peer) -> list[dict[str, Any]]:
        return self._recent.documents(_number(parameters, "count", KEPT, KEPT))


def _audited(name: str, command: Callable[[Mapping[str, Any]], Any]) -> Command:
    """A command on the store: its trouble is told, and who has changed something is logged."""

    def answer(parameters: Mapping[str, Any], peer: Peer) -> object:
        try:
            result = command(parameters)
        except StoreError as error:
            raise ControlError(str(error)) from error
        if name == "forget":
            log.warning("the association with the SPI %s is forgotten, as %s asked", result["spi"], peer)
        elif name == "prune" and result["pruned"]:
            log.warning("%d records are pruned, as %s asked", result["pruned"], peer)
        return result

    return answer


def _counts(counts: Mapping[tuple[str, ...], int], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """What was counted at all, the most frequent first."""
    told = [
        {**dict(zip(names, labels, strict=True)), "count": count} for labels, count in counts.items() if count
    ]
    return sorted(told, key=lambda each: -each["count"])


def _quantiles(histogram: Histogram) -> dict[str, float | None] | None:
    """Upper bounds (seconds) of what half and 99 of 100 stayed below; None beyond the last bound."""
    cumulative = list(accumulate(histogram.counts))
    if not cumulative[-1]:
        return None
    bounds = (*histogram.bounds, None)
    return {
        name: bounds[bisect_left(cumulative, quantile * cumulative[-1])]
        for name, quantile in QUANTILES.items()
    }


def _number(parameters: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = parameters.get(name, default)
    if not isinstance(value, int) or value < 0:
        raise ControlError(f"{name} is a number")
    return min(value, most)
