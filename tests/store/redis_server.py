"""A Redis server of the tests' own, on a Unix socket in a directory of theirs."""

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECK = b"c" * 32
OPTIONS = ("--port", "0", "--save", "", "--appendonly", "no", "--loglevel", "warning")


@dataclass
class Server:
    """One redis-server process."""

    directory: Path
    process: subprocess.Popen[str] | None = None

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def start(self, *options: str) -> None:
        import redis

        command = ["redis-server", *OPTIONS, "--unixsocket", str(self.socket), "--dir", str(self.directory)]
        self.process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        client = self.client()
        while self.process.poll() is None:
            with suppress(redis.ConnectionError):  # not there yet, or still loading
                client.ping()
                return
        raise AssertionError(self.process.stdout.read() if self.process.stdout else "")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            if self.process.stdout:
                self.process.stdout.close()
            self.process = None

    def client(self) -> Any:
        """A client that knows nothing of us."""
        import redis

        return redis.Redis(unix_socket_path=str(self.socket))
