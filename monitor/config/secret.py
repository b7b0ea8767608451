"""The site secret: a file that only its owner reads, and what a store may know of it."""

import hmac
import secrets
from pathlib import Path

from monitor import private_file
from monitor.private_file import PrivateFileError

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
    secret = existing_secret(path)
    if secret is None:
        try:
            private_file.make(path, secrets.token_bytes(SECRET))
        except PrivateFileError as error:
            raise SecretError(str(error)) from error
        secret = existing_secret(path)
    if secret is None:
        raise SecretError(f"{path}: was removed again (let nobody else do that)")
    return secret


def existing_secret(path: Path) -> bytes | None:
    """As ``site_secret``, but None where the file is missing.

    :raises SecretError: it cannot be read, others can read it, or it is short.
    """
    try:
        secret = private_file.read(path, LONGEST)
    except FileNotFoundError:
        return None
    except PrivateFileError as error:
        raise SecretError(str(error)) from error
    if not SECRET <= len(secret) <= LONGEST:
        raise SecretError(
            f"{path}: has {len(secret)} octets, must have {SECRET} to {LONGEST} (put the right file back,"
            f" or remove it:"
            " stores made with the old one are then refused)"
        )
    return secret


def secret_check(secret: bytes) -> bytes:
    """What a store keeps to know the secret again, which tells nothing of it."""
    return hmac.digest(secret, b"store", "sha256")
