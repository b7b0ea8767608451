"""The site secret: a file that only its owner reads, and what a store may know of it."""

import hmac
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

SECRET = 32
"""Octets of a new secret, and the least that one may have."""
LONGEST = 4096
"""Octets that one may have."""


class SecretError(Exception):
    """The site secret cannot be had. One line that names the file, with the mend."""


def site_secret(path: Path) -> bytes:
    """The octets of the site secret; made, at random and mode 0600, where the file is missing.

    :raises SecretError: it cannot be read or made, others can read it, or it is short.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        _make(path)
    try:
        return _read(path)
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror}") from error


def existing_secret(path: Path) -> bytes | None:
    """As ``site_secret``, but None where the file is missing.

    :raises SecretError: it cannot be read, others can read it, or it is short.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def secret_check(secret: bytes) -> bytes:
    """What a store keeps to know the secret again, which tells nothing of it."""
    return hmac.digest(secret, b"store", "sha256")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            secret = file.read(LONGEST + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise SecretError(f"{path}: {error.strerror} (let its owner be who runs this)") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o037:
        raise SecretError(f"{path}: others can read or change it, mode {mode:04o} (chmod 600 {path})")
    if not SECRET <= len(secret) <= LONGEST:
        raise SecretError(
            f"{path}: has {len(secret)} octets, must have {SECRET} to {LONGEST} (put the right file back,"
            f" or remove it:"
            " stores made with the old one are then refused)"
        )
    return secret


def _make(path: Path) -> None:
    """Write a new secret under another name and link it, so that it is there whole or not at all."""
    try:
        descriptor, new = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(SECRET))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(new)
        finally:
            Path(new).unlink()
    except OSError as error:
        raise SecretError(f"{path}: cannot be made: {error.strerror} (make its directory)") from error
