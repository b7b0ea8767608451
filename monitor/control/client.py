"""An operator's end of the control socket."""

import json
import socket
import struct
from pathlib import Path
from typing import Any, Self

from monitor.control.error import ControlError, NotRunningError

TIMEOUT = 10
"""Seconds that an answer may take."""
MAX_ANSWER = 16 << 20
"""Octets of an answer."""


class ControlClient:
    """A connection to the daemon whose control socket is at ``path``.

    :raises NotRunningError: nobody listens there.
    :raises ControlError: the socket may not be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # A timeout of Python's own would not wait for a place in the daemon's backlog.
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", TIMEOUT, 0))
        try:
            self._channel.connect(str(path))
        except OSError as error:
            self._channel.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                raise NotRunningError(
                    f"no daemon listens at {path} (start it, or name its --config)"
                ) from error
            raise ControlError(f"{path}: {error.strerror or error} (ask as root)") from error
        self._channel.settimeout(TIMEOUT)
        self._stream = self._channel.makefile("rb")

    def ask(self, command: str, **parameters: object) -> Any:
        """What the daemon answers.

        :raises ControlError: it refuses, or has gone.
        """
        try:
            self._channel.sendall(json.dumps({"command": command, **parameters}).encode() + b"\n")
            line = self._stream.readline(MAX_ANSWER)
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        except OSError as error:
            raise ControlError(f"{self._path}: no answer: {error.strerror or error}") from error
        if not line.endswith(b"\n"):
            raise NotRunningError(f"{self._path}: the daemon has gone")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the connection."""
        self._stream.close()
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
