"""The master keys of a capture, kept for as long as it takes to see what they did to its media."""

from monitor.antireplay.fingerprint import Fingerprinter

MAX_KEYS = 100_000
"""Master keys remembered of one run; of further ones the media is not looked at."""


class Keychain(Fingerprinter):
    """A fingerprinter that remembers the master keys it is shown.

    For captures alone: where live packets are ruled on nothing keeps a key. It never shows one either.
    """

    __slots__ = ("_octets", "left_out")

    def __init__(self, secret: bytes) -> None:
        super().__init__(secret)
        self._octets: dict[bytes, bytes] = {}
        self.left_out = 0
        """Keys that came when ``MAX_KEYS`` were there."""

    def master_key(self, octets: bytes) -> bytes:
        """As ``Fingerprinter.master_key``; the key is remembered."""
        fingerprint = super().master_key(octets)
        if len(self._octets) < MAX_KEYS:
            self._octets[fingerprint] = octets
        elif fingerprint not in self._octets:
            self.left_out += 1
        return fingerprint

    def octets(self, fingerprint: bytes) -> bytes | None:
        """The key‖salt of a fingerprint, None where it was not shown."""
        return self._octets.get(fingerprint)
