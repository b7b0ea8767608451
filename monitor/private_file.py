"""Files that hold a secret: made whole or not at all, and refused where others can read them."""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path


class PrivateFileError(Exception):
    """The file cannot be had. One line that names it, with the mend."""


def read(path: Path, longest: int) -> bytes:
    """The octets of a file, one more than ``longest`` at the most.

    :raises FileNotFoundError: it is not there.
    :raises PrivateFileError: it cannot be read, or others can read or change it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            octets = file.read(longest + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PrivateFileError(f"{path}: {error.strerror} (let its owner be who runs this)") from error
    if mode & 0o037:
        raise PrivateFileError(f"{path}: others can read or change it, mode {mode:04o} (chmod 600 {path})")
    return octets


def make(path: Path, octets: bytes) -> None:
    """Write a new file, mode 0600, under another name and link it; one that is there by then is left.

    :raises PrivateFileError: it cannot be made.
    """
    try:
        descriptor, new = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                path.hardlink_to(new)
        finally:
            Path(new).unlink()
    except OSError as error:
        raise PrivateFileError(f"{path}: cannot be made: {error.strerror} (make its directory)") from error
