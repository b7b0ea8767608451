"""baresip as a phone without a sound card: SDES demanded, told what to do over its control port."""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from kamailio import PASSWORD
from namespaces import Host, wait_until

MODULES = Path("/usr/lib/baresip/modules")

CONFIG = """\
poll_method epoll
sip_listen {address}
call_max_calls 4
audio_player aubridge,sound
audio_source aubridge,sound
audio_alert aubridge,alert
audio_srate 8000-8000
audio_channels 1-1
rtp_ports 30000-30999
module_path {modules}
module g711.so
module aubridge.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
"""


class Baresip:
    """One phone with one account, which is registered when the constructor returns.

    :param proxy: address and port, as a URI has them.
    :param port: of its SIP; the one after it takes commands, on the host itself.
    """

    def __init__(
        self, host: Host, folder: Path, user: str, proxy: str, port: int, transport: str, ipv6: bool
    ) -> None:
        self.user = user
        folder.mkdir()
        address = f"[{host.address6}]" if ipv6 else host.address
        (folder / "config").write_text(
            CONFIG.format(address=f"{address}:{port}", modules=MODULES, control=port + 1)
        )
        (folder / "accounts").write_text(
            f"<sip:{user}@example.org>;auth_user={user};auth_pass={PASSWORD};regint=600;mediaenc=srtp-mand;"
            f'outbound="sip:{proxy};transport={transport}";audio_codecs=PCMU/8000/1\n'
        )
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = host.start(
                *("baresip", "-f", str(folder), "-6" if ipv6 else "-4"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._unread = b""
        self._said: list[dict[str, Any]] = []
        self._control = self._connected(host, port + 1)
        self._wait(self._registered, "a registration")

    def _connected(self, host: Host, port: int) -> socket.socket:
        made: list[socket.socket] = []

        def connect() -> bool:
            with host.entered():
                control = socket.socket()
            if control.connect_ex(("127.0.0.1", port)):
                control.close()
                return False
            made.append(control)
            return True

        self._wait(connect, "baresip")
        made[0].setblocking(False)
        return made[0]

    def _registered(self) -> bool:
        self._tell("reginfo")
        self._read()
        return any("OK" in said.get("data", "") for said in self._said)

    def call(self, other: "Baresip") -> None:
        """Call the other phone, which answers when it has rung."""
        self._tell("dial", f"sip:{other.user}@example.org")
        self.until("CALL_RINGING")
        other.until("CALL_INCOMING")
        other._tell("accept")
        for each in (self, other):
            each.until("CALL_ESTABLISHED")

    def hold(self) -> None:
        """Offer the other party to hold, and have its answer."""
        self._tell("hold")
        self.until("CALL_REMOTE_SDP", "answer")

    def resume(self) -> None:
        """Offer the other party to go on, and have its answer."""
        self._tell("resume")
        self.until("CALL_REMOTE_SDP", "answer")

    def hang_up(self, other: "Baresip") -> None:
        """End the call."""
        self._tell("hangup")
        for each in (self, other):
            each.until("CALL_CLOSED")

    def until(self, event: str, parameter: str = "") -> None:
        """Wait for an event, and forget those before it."""

        def found() -> bool:
            self._read()
            for number, said in enumerate(self._said):
                if said.get("type") == event and said.get("param", "").startswith(parameter):
                    del self._said[: number + 1]
                    return True
            return False

        self._wait(found, event)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, what, 30, self.process)
        except AssertionError as error:
            raise AssertionError(
                f"{self.user}: {error}: {self._said} {self._log.read_text()[-2000:]}"
            ) from None

    def _tell(self, command: str, parameters: str = "") -> None:
        text = json.dumps({"command": command, "params": parameters}).encode()
        self._control.sendall(b"%d:%b," % (len(text), text))

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._unread += self._control.recv(1 << 16)
        while True:
            length, colon, rest = self._unread.partition(b":")
            if not colon or len(rest) <= int(length):
                return
            self._said.append(json.loads(rest[: int(length)]))
            self._unread = rest[int(length) + 1 :]
