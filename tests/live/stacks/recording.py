"""What a monitor saw, read again: the messages that bore keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from daemon import Daemon

from monitor.capture.pcap import open_capture
from monitor.sip.framing import Framed, StreamFramer
from monitor.wire.decoder import Decoder
from monitor.wire.flow import Datagram, Flow
from monitor.wire.frame import Frame
from monitor.wire.tcp import Streams


@dataclass(frozen=True)
class Message:
    """A SIP message in its parts."""

    start_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def read(cls, octets: bytes) -> Self:
        """Take apart what sipp, kamailio and baresip write: no folded lines."""
        head, _, body = octets.partition(b"\r\n\r\n")
        start_line, *lines = head.decode().split("\r\n")
        fields = (line.partition(":") for line in lines)
        return cls(start_line, tuple((name.strip(), value.strip()) for name, _, value in fields), body)

    def octets(self) -> bytes:
        """As it goes over the wire."""
        fields = (field for field in self.headers if field[0].lower() != "content-length")
        length = ("Content-Length", str(len(self.body)))
        lines = "".join(f"{name}: {value}\r\n" for name, value in (*fields, length))
        return f"{self.start_line}\r\n{lines}\r\n".encode() + self.body

    def get(self, name: str) -> str:
        """The value of the first header field of this name."""
        return next(value for field, value in self.headers if field.lower() == name.lower())

    def having(self, name: str, value: str) -> Self:
        """The message with this value in the first header field of this name, added where there is none."""
        headers = list(self.headers)
        for index, (field, _) in enumerate(headers):
            if field.lower() == name.lower():
                headers[index] = (field, value)
                return replace(self, headers=tuple(headers))
        return replace(self, headers=(*headers, (name, value)))

    def bearing(self, body: bytes, *entity: tuple[str, str]) -> Self:
        """The message with another body, and the header fields that describe it."""
        kept = (field for field in self.headers if not field[0].lower().startswith("content-"))
        return replace(self, headers=(*kept, *entity), body=body)

    @property
    def entity(self) -> list[tuple[str, str]]:
        """The header fields that describe the body, its length left out."""
        described = (field for field in self.headers if field[0].lower().startswith("content-"))
        return [field for field in described if field[0].lower() != "content-length"]

    @property
    def is_request(self) -> bool:
        """Whether it is one."""
        return not self.start_line.startswith("SIP/2.0 ")

    @property
    def opens_a_call(self) -> bool:
        """Whether it is an INVITE outside a dialog."""
        return self.start_line.startswith("INVITE ") and ";tag=" not in self.get("To")

    @property
    def has_credentials(self) -> bool:
        """Whether a proxy that asks for credentials lets it pass."""
        return any(name.lower() == "proxy-authorization" for name, _ in self.headers)

    @property
    def is_sealed(self) -> bool:
        """Whether its body is an envelope."""
        return "pkcs7-mime" in self.get("Content-Type")


@dataclass(frozen=True)
class Recorded:
    """A message, the frame that completed it, and the way it went."""

    octets: bytes
    frame: Frame
    flow: Flow

    @property
    def message(self) -> Message:
        """Its parts."""
        return Message.read(self.octets)


def with_keys(daemon: Daemon, recording: Path) -> list[Recorded]:
    """What the daemon ruled on: one message of each kind with each body, however often that was sent."""
    ruled = {
        (event["frame"], event["start_line"], event["call_id"], f"{event['cseq']} {event['method']}")
        for event in daemon.events()
        if event["type"] == "ruling"
    }
    found: dict[tuple[str, bytes], Recorded] = {}
    for each in _messages(recording):
        if each.octets.strip():
            message = each.message
            named = (each.frame.number, message.start_line, message.get("Call-ID"), message.get("CSeq"))
            if named in ruled:
                inside = message.get("To").partition(";tag=")[1]
                kind = message.start_line.partition(" sip:")[0] + inside, message.body
                # Where a proxy asks for credentials, the one that has them.
                if kind not in found or message.has_credentials:
                    found[kind] = each
    return list(found.values())


def _messages(recording: Path) -> Iterator[Recorded]:
    decoder, streams = Decoder(), Streams()
    with open_capture(str(recording)) as frames:
        for frame in frames:
            unit = decoder.decode(frame)
            if isinstance(unit, Datagram):
                yield Recorded(unit.payload, frame, unit.flow)
            elif unit is not None:
                delivery = streams.feed(unit, frame.time)
                while delivery is not None:
                    stream = delivery.stream
                    framer = stream.context = stream.context or StreamFramer()
                    assert isinstance(framer, StreamFramer)
                    for each in framer.feed(delivery.data, delivery.data_start, delivery.gap):
                        if isinstance(each, Framed):
                            yield Recorded(each.raw, frame, stream.flow)
                    delivery = delivery.also


_CALL = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\r\n]+)", re.IGNORECASE)
_END = re.compile(rb"(?:BYE|CANCEL) sips?:|SIP/2\.0 (?!401|407|422|491)[3-6]\d\d ")


def over(recording: Path) -> dict[str, int]:
    """Call-IDs of calls whose end was recorded, and when that was. Under loss some have none: they go on."""
    ended: dict[str, int] = {}
    with open_capture(str(recording)) as capture:
        for frame in capture:
            if _END.search(frame.data):
                ended |= {call.decode("latin-1").strip(): frame.time for call in _CALL.findall(frame.data)}
    return ended
