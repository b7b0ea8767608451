"""Kamailio as registrar and proxy of example.org, in one host."""

import socket
from pathlib import Path

from namespaces import Host, wait_until

PORT = 5060
PASSWORD = "secret"
CONFIG = Path(__file__).with_name("kamailio.cfg")


class Kamailio:
    """It answers when the constructor returns, on both IP versions, UDP and TCP."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self._log = host, folder / "kamailio.log"
        addresses = (host.address, f"[{host.address6}]")
        listen = [f"-l{transport}:{each}:{PORT}" for transport in ("udp", "tcp") for each in addresses]
        with self._log.open("w") as log:
            self.process = host.start(
                *("kamailio", "-DD", "-E", "-f", str(CONFIG), "-Y", str(folder), "-w", str(folder)),
                *("-m", "64", "-M", "8", *listen),
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._answers, "kamailio", 20, self.process)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self._log.read_text()}") from None

    def _answers(self) -> bool:
        with self.host.entered():
            caller = socket.socket()
        with caller:
            return caller.connect_ex((self.host.address, PORT)) == 0

    def stop(self) -> None:
        """End it, all of its processes."""
        self.process.terminate()
        self.process.wait(20)
