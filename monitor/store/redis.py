"""The shared store: a Redis or Valkey server, for several queues or machines with one memory.

A group of swaps is one script, which the server runs alone, and stands as soon as it is made: the first of
several monitors to claim a fingerprint has it. A swap that stood when a later command failed cannot be
undone. That errs on the safe side: its message was not let through although its key is now known, and the
sender's retransmission of it is accepted as one, since dialog, sequence and source agree with the record.

``durability="power"`` makes each commit wait until the server's append-only file is on disk (WAITAOF, Redis
and Valkey 7.2), or asks that the server writes it before it answers (``appendfsync always``); a server that
does neither is refused. ``"process"`` outlasts the end of the monitor, not that of the server.
"""

import heapq
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from monitor.antireplay.table import Change, StoreError
from monitor.store.location import public_url
from monitor.store.managed import FOREVER, LISTING, UNDONE, Durability, Entry
from monitor.wire.frame import NANOSECONDS

SCHEMA = 1
"""Version of keys and values below."""
TIMEOUT = 1.0
"""Seconds that the server may take to answer."""
CHUNK = 512
"""Keys in one command, so that no command holds up other clients of the server."""
LEAST_LIFE = 24 * 3600 * NANOSECONDS
"""A record stays for so long after it was written, however old the capture that it came from."""

META = b"replay-monitor"
"""Key of the value that tells version and site secret."""
PREFIX = b"replay-monitor:"
"""Goes before the key of each record. Its value is the expiry, 8 octets, and the record."""

_OPEN = """
local meta = redis.call('GET', KEYS[1])
if meta then return meta end
if ARGV[1] == '' then return 'none' end
if redis.call('DBSIZE') > 0 then return 'foreign' end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]
"""
_SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
for i = 2, #KEYS do
    local stands = redis.call('GET', KEYS[i])
    if ARGV[4 * i - 6] == '0' then
        if stands then return 0 end
    elseif not stands or string.sub(stands, 9) ~= ARGV[4 * i - 5] then
        return 0
    end
end
for i = 2, #KEYS do
    redis.call('SET', KEYS[i], ARGV[4 * i - 4])
    redis.call('PEXPIREAT', KEYS[i], ARGV[4 * i - 3])
end
return 1
"""
"""Keys: META, then those of the records. Arguments: what META holds, then for each record whether one must
stand, which, the new one, and when it expires (milliseconds)."""


class RedisStore:
    """A ``ManagedStore`` in a database of its own of a server; for the parameters see ``open_store``."""

    def __init__(
        self,
        url: str,
        *,
        secret_check: bytes | None,
        durability: Durability = "process",
        readonly: bool = False,
    ) -> None:
        self._name = public_url(url)
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError:
            raise StoreError(
                f"{self._name}: the Python package redis is missing; pip install 'sip-replay-monitor[redis]'"
            ) from None
        self._errors = (redis.RedisError, OSError)
        self._sync = self._swapped = self._lost = False
        try:
            # One connection (so no pipelines, which take another), since WAITAOF speaks of its connection's
            # own writes. No second tries: whether the first was carried out cannot be known.
            pool = redis.ConnectionPool.from_url(
                url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 0)
            )
            self._server = redis.Redis(connection_pool=pool, single_connection_client=True)
        except (ValueError, *self._errors) as error:
            raise self._error(error) from error
        self._swap = self._server.register_script(_SWAP)
        try:
            self._check(secret_check, readonly)
            if durability == "power" and not readonly:
                self._sync = self._syncs()
        except BaseException:
            self.close()
            raise

    def _check(self, secret_check: bytes | None, readonly: bool) -> None:
        """See that the database is ours, of a version that is understood, and made under our site secret."""
        ours = b"%d:%s" % (SCHEMA, (secret_check or b"").hex().encode())
        found: bytes = self._ask(lambda: self._server.eval(_OPEN, 1, META, b"" if readonly else ours))
        schema = found.partition(b":")[0]
        if found == b"none":
            raise StoreError(f"{self._name}: holds no store; the daemon makes it when it starts")
        if found == b"foreign" or not schema.isdigit():
            raise StoreError(f"{self._name}: holds other data; name a database number of its own")
        if int(schema) > SCHEMA:
            raise StoreError(
                f"{self._name}: was made by a newer version (schema {int(schema)}); upgrade this one"
            )
        if secret_check is not None and found != ours:
            raise StoreError(
                f"{self._name}: was made under another site secret; put that back, or name another database"
            )
        self._meta = found
        memory = self._ask(lambda: self._server.info("memory"))
        if memory.get("maxmemory") and memory.get("maxmemory_policy") != "noeviction":
            raise StoreError(
                f"{self._name}: the server forgets when it is full; set maxmemory-policy noeviction"
            )

    def _syncs(self) -> bool:
        """Whether a commit must wait for the disk (True) or each answer comes after it anyway (False)."""
        try:
            self._ask(self._wait)
        except StoreError:
            try:
                setting = self._ask(lambda: self._server.config_get("append*"))
            except StoreError:
                setting = {}
            if setting.get("appendonly") == "yes" and setting.get("appendfsync") == "always":
                return False
            raise StoreError(
                f"{self._name}: the server does not outlast a loss of power; set appendonly yes (before"
                ' version 7.2 appendfsync always too), or durability = "process"'
            ) from None
        return True

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See ``Store.read``."""
        return [value and value[8:] for value in self._values([PREFIX + key for key in keys])]

    def _values(self, names: Sequence[bytes]) -> list[bytes | None]:
        values: list[bytes | None] = []
        for start in range(0, len(names), CHUNK):
            values += self._ask(partial(self._server.mget, names[start : start + CHUNK]))
        return values

    def compare_and_swap(self, changes: Sequence[Change]) -> bool:
        """See ``Store.compare_and_swap``; what it makes stands at once."""
        if not changes:
            return True
        least = time.time_ns() + LEAST_LIFE
        keys = [META]
        arguments: list[bytes | int] = [self._meta]
        for change in changes:
            expires = min(change.expires, FOREVER)
            keys.append(PREFIX + change.key)
            arguments += (
                0 if change.expected is None else 1,
                change.expected or b"",
                expires.to_bytes(8, signed=True) + change.record,
                -(-max(expires, least) // 1_000_000),
            )
        swapped: int = self._ask(lambda: self._swap(keys, arguments))
        if swapped < 0:
            self._lost = self._swapped
            raise StoreError(
                f"{self._name}: was emptied or replaced while in use; restore it, or start again"
            )
        self._swapped |= swapped > 0
        return swapped > 0

    def commit(self) -> None:
        """See ``Store.commit``: what was swapped stands; the disk is waited for where that is asked."""
        swapped, lost = self._swapped, self._lost
        self._swapped = self._lost = False
        if lost:
            raise StoreError(f"{self._name}: {UNDONE}")
        if swapped and self._sync and not self._ask(self._wait)[0]:
            raise StoreError(f"{self._name}: the server's disk does not keep up; see its load and its log")

    def _wait(self) -> Any:
        """Wait for the append-only file to have all that this connection wrote."""
        return self._server.execute_command("WAITAOF", 1, 0, int(TIMEOUT * 900))

    def records(self, *, prefix: bytes = b"", after: bytes = b"", limit: int = LISTING) -> list[Entry]:
        """See ``ManagedStore.records``; each call walks through the whole database, which has no order."""
        escaped = b"".join(
            b"\\" + bytes((octet,)) if octet in b"*?[]\\^-" else bytes((octet,)) for octet in prefix
        )

        def scan() -> list[bytes]:
            names = self._server.scan_iter(match=PREFIX + escaped + b"*", count=CHUNK)
            return heapq.nsmallest(limit, {name for name in names if name[len(PREFIX) :] > after})

        names = self._ask(scan)
        values = zip(names, self._values(names), strict=True)
        return [
            Entry(name[len(PREFIX) :], value[8:], int.from_bytes(value[:8], signed=True))
            for name, value in values
            if value is not None
        ]

    def forget(self, key: bytes) -> bool:
        """See ``ManagedStore.forget``."""
        return bool(self._ask(lambda: self._server.delete(PREFIX + key)))

    def prune(self, now: int, limit: int) -> int:
        """Nothing: the server forgets what has expired, by its own clock."""
        return 0

    def count(self) -> int:
        """See ``ManagedStore.count``."""
        return max(0, int(self._ask(self._server.dbsize)) - 1)

    def size_bytes(self) -> int:
        """Octets of memory that the server uses, for all its databases."""
        return int(self._ask(lambda: self._server.info("memory"))["used_memory"])

    def close(self) -> None:
        """See ``ManagedStore.close``; swaps that were made stand."""
        self._server.close()
        self._server.connection_pool.disconnect()

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._errors as error:
            self._lost = self._swapped
            raise self._error(error) from error

    def _error(self, error: Exception) -> StoreError:
        detail = " ".join(str(error).split())
        return StoreError(f"{self._name}: does not answer: {detail}; see that the server runs and lets us in")
