"""Where a store is: the URLs ``memory:``, ``sqlite:///PATH``, ``redis://HOST:PORT/NUMBER``, ``unix://PATH``."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from monitor.antireplay.table import StoreError
from monitor.store.managed import Durability, ManagedStore
from monitor.store.memory import MemoryStore

FORMS = "memory:, sqlite:///PATH, redis://HOST:PORT/NUMBER, rediss://… or unix:///SOCKET"
MEMORY = ("memory:", "memory://")
SERVERS = ("redis://", "rediss://", "unix://")


def open_store(
    url: str,
    *,
    secret_check: bytes | None,
    durability: Durability = "process",
    readonly: bool = False,
) -> ManagedStore:
    """Open the store at ``url``; a writer makes it where there is none.

    :param secret_check: tells the site secret whose fingerprints the store holds without giving it away
        (``monitor.config.secret.secret_check``); None leaves it unchecked, which only a reader may do.
    :param durability: what a commit outlasts.
    :param readonly: for a look beside the daemon: nothing is locked, made or changed.
    :raises StoreError: it cannot be opened or is not ours: one line that names it, with the mend.
    """
    if secret_check is None and not readonly:
        raise ValueError("a writer must tell its site secret")
    if url in MEMORY:
        return MemoryStore()
    if url.startswith("sqlite:"):
        from monitor.store.sqlite import SqliteStore

        return SqliteStore(
            sqlite_path(url), secret_check=secret_check, durability=durability, readonly=readonly
        )
    if url.startswith(SERVERS):
        check_server(url)
        from monitor.store.redis import RedisStore

        return RedisStore(url, secret_check=secret_check, durability=durability, readonly=readonly)
    raise StoreError(f"{url}: is no store; write {FORMS}")


def public_url(url: str) -> str:
    """A store's URL without the password that a server's may hold."""
    if not url.startswith(SERVERS):
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()


def check_server(url: str) -> None:
    """See that the URL of a server is one: redis-py takes a database that is no number for 0.

    :raises StoreError: it does not.
    """
    try:
        parts = urlsplit(url)
        public = public_url(url)
        number = parts.port
    except ValueError as error:
        raise StoreError(f"a server's URL is none: {error}; write redis://HOST:PORT/NUMBER") from error
    if number == 0:
        raise StoreError(f"{public}: port 0 is none; write redis://HOST:PORT/NUMBER")
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise StoreError(f"{url}: names no socket; write unix:///SOCKET")
    elif parts.path.strip("/") and not re.fullmatch(r"/[0-9]+/?", parts.path):
        raise StoreError(
            f'{public}: "{parts.path[1:]}" is no database number; write redis://HOST:PORT/NUMBER'
        )


def sqlite_path(url: str) -> Path:
    """The file that an ``sqlite:`` URL names, never depending on what files there are.

    The path is what follows ``sqlite://``, so ``sqlite:///var/lib/x.db`` is absolute. Two habits are met
    besides: a further slash (``sqlite:////var/lib/x.db``) changes nothing, and a bare name
    (``sqlite:///x.db``) or a path that begins with a dot (``sqlite:///./state/x.db``) is relative to the
    working directory.

    :raises StoreError: no path is there.
    """
    path = url.removeprefix("sqlite:")
    if path.startswith("//"):
        path = path[2:]
    bare = path.lstrip("/")
    if not bare or bare.endswith("/"):
        raise StoreError(f"{url}: names no file; write sqlite:///PATH")
    rooted = path.startswith("//") or (
        path.startswith("/") and "/" in bare and not bare.startswith(("./", "../"))
    )
    return Path("/" + bare if rooted else bare)
