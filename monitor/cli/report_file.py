"""Where a report goes: a file that is there whole, or as it was before."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_HTML = b"<!doctype html"


class ReportFileError(Exception):
    """A report that cannot be written: one line that says why."""


class ReportFile:
    """The file of a report; a context manager that leaves nothing behind where nothing was written.

    The place is taken at once, so that no capture is read in vain.

    :param inputs: files that it must not be.
    :raises ReportFileError: it cannot be written there.
    """

    def __init__(self, path: Path, inputs: list[str]) -> None:
        self._path = path
        try:
            self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
            self._check(inputs)
            self._file = self._part.open("x", encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._error(error) from error

    def write(self, text: str) -> None:
        """Put the report in its place.

        :raises ReportFileError: it cannot be written.
        """
        try:
            self._file.write(text)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self._path)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # of what could not be written before
            self._file.close()
        self._part.unlink(missing_ok=True)

    def _check(self, inputs: list[str]) -> None:
        if not self._path.exists():
            return
        if any(Path(name).exists() and self._path.samefile(name) for name in inputs):
            raise ValueError("it is one of the captures")
        if not self._path.is_file():
            raise ValueError("it is not a file")
        with self._path.open("rb") as there:
            head = there.read(len(_HTML))
        if head and head.lower() != _HTML:
            raise ValueError("there is another file, which is no report")

    def _error(self, error: Exception) -> ReportFileError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return ReportFileError(f"{self._path}: the report cannot be written: {reason}")
