"""Who may ask: the user and the groups of a peer as the kernel knows them (unix(7), SO_PEERCRED)."""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from monitor.control.error import ControlError

MAX_GROUPS = 256
"""Groups that a peer may have; of one with more only the first counts."""

_PEER_GROUPS = 59  # SO_PEERGROUPS of Linux, which Python has no name for
_CREDENTIALS = struct.Struct("=iII")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who has connected."""

    process: int
    user: int
    groups: frozenset[int]

    @classmethod
    def of(cls, channel: socket.socket) -> Self:
        """The peer of a connected Unix socket, as it was when it connected."""
        octets = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, group = _CREDENTIALS.unpack(octets)
        try:
            further = channel.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, 4 * MAX_GROUPS)
        except OSError:
            further = b""
        return cls(process, user, frozenset((group, *struct.unpack(f"={len(further) // 4}I", further))))

    def __str__(self) -> str:
        try:
            name = pwd.getpwuid(self.user).pw_name
        except KeyError:
            name = "unknown"
        return f"{name} (uid {self.user}, process {self.process})"


@dataclass(frozen=True, slots=True)
class Access:
    """Root, the daemon's own user, and who is listed."""

    users: frozenset[int]
    groups: frozenset[int] = frozenset()

    @classmethod
    def to(cls, users: Sequence[str] = (), groups: Sequence[str] = ()) -> Self:
        """Access for users and groups by name.

        :raises ControlError: there is no such user or group.
        """
        try:
            uids = [pwd.getpwnam(name).pw_uid for name in users]
            gids = [grp.getgrnam(name).gr_gid for name in groups]
        except KeyError as error:
            raise ControlError(f"control: {error.args[0]} (mend [control] users and groups)") from None
        return cls(frozenset((0, os.geteuid(), *uids)), frozenset(gids))

    def allows(self, peer: Peer) -> bool:
        """Whether ``peer`` may ask."""
        return peer.user in self.users or not self.groups.isdisjoint(peer.groups)
