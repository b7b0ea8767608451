"""Who takes part: the callers of RFC 3261's stories, an attacker, and the machines between."""

from dataclasses import dataclass, replace
from typing import Literal

Family = Literal[4, 6]


@dataclass(frozen=True, slots=True)
class Party:
    """A SIP element at one place. Addresses are those for documentation (RFC 5737, RFC 3849)."""

    name: str
    host: int
    """The last octet of 192.0.2.0/24, the last group of 2001:db8::/32."""
    family: Family = 4
    port: int = 5060
    media: int = 40000
    """The port of its first media stream."""

    @property
    def address(self) -> str:
        """The address in text, as IP packets and SDP have it."""
        return f"192.0.2.{self.host}" if self.family == 4 else f"2001:db8::{self.host:x}"

    @property
    def sent_by(self) -> str:
        """Address and port as a Via or a URI has them (RFC 3261 §25.1)."""
        host = self.address if self.family == 4 else f"[{self.address}]"
        return f"{host}:{self.port}"

    @property
    def user(self) -> str:
        """The user part of its address of record."""
        return self.name.lower()

    @property
    def uri(self) -> str:
        """Its address of record."""
        return f"sip:{self.user}@example.org"

    @property
    def contact(self) -> str:
        """The URI of its place."""
        return f"sip:{self.user}@{self.sent_by}"

    @property
    def mac(self) -> str:
        """A locally administered Ethernet address."""
        return f"02:00:5e:00:00:{self.host:02x}"

    def at(self, host: int | None = None, *, port: int | None = None) -> "Party":
        """The same party in another place."""
        return replace(self, host=self.host if host is None else host, port=port or self.port)

    def over(self, family: Family) -> "Party":
        """The same party at its address of the other family."""
        return replace(self, family=family)


ALICE = Party("Alice", 1, media=40000)
BOB = Party("Bob", 2, media=41000)
CAROL = Party("Carol", 3, media=42000)
DAVE = Party("Dave", 4, media=43000)
CHARLES = Party("Charles", 66, media=46000)
"""The attacker."""
PROXY = Party("Proxy", 10)
B2BUA = Party("Gateway", 20, media=44000)
