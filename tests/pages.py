"""Report pages for tests: made by the command, read by a parser that is not a browser."""

from html.parser import HTMLParser
from pathlib import Path

from frames import Tape

from monitor.__main__ import main
from monitor.capture.pcap import PcapWriter
from monitor.wire.link import RAW

PCAPS = Path(__file__).parents[1] / "pcaps"
VOID = frozenset(("meta", "br", "hr"))


def capture(path: Path, *packets: bytes, apart: float = 1.0) -> str:
    """Write a capture with a packet each second, or as many seconds apart."""
    tape = Tape()
    with PcapWriter(path, RAW) as writer:
        for packet in packets:
            writer.write(tape.frame(packet, apart))
    return str(path)


def report(path: Path, *files: str) -> str:
    """The report on captures, written to ``path``."""
    assert main(["replay", "--keys", str(PCAPS / "keys"), "--report", str(path), *files]) in (0, 1)
    return path.read_text(encoding="utf-8")


class Reader(HTMLParser):
    """What a document has in it; every element must be closed where it was opened."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    @property
    def text(self) -> str:
        """All text, element by element."""
        return " ".join(" ".join(self.texts).split())

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += [(key, value or "") for key, value in attributes]
        if name not in VOID:
            self._open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self._open.pop() == name

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self.texts.append(data)
