"""SIP messages (RFC 3261 §7), read strictly where a reading matters for keys."""

from dataclasses import dataclass

from monitor.exceptions import ExceptionName


@dataclass(frozen=True, slots=True)
class Via:
    """One Via header field value (RFC 3261 §20.42)."""

    transport: str
    """Upper case, e.g. ``UDP``."""
    host: str
    """sent-by host, IPv6 brackets removed."""
    port: int | None
    branch: str
    received: str = ""
    """The ``received`` parameter (RFC 3261 §18.2.1), empty where absent."""
    rport: int | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One SIP request or response, whole."""

    start_line: str
    method: str
    """Of the request line, or of the CSeq for a response."""
    status: int | None
    """None for a request."""
    headers: tuple[tuple[str, bytes], ...]
    """Name in lower case, compact names expanded; value unfolded and stripped."""
    body: bytes
    """As Content-Length cuts it, before any Content-Encoding is undone."""
    call_id: str
    from_uri: str
    from_tag: str | None
    to_uri: str
    to_tag: str | None
    cseq: int
    vias: tuple[Via, ...]
    """Topmost first."""
    troubles: tuple[tuple[ExceptionName, str], ...] = ()
    """What was odd and did not keep the message from being read, in the order found."""

    def header(self, name: str) -> bytes | None:
        """The value of the first header field ``name`` (lower case), None where there is none."""
        return next((value for key, value in self.headers if key == name), None)
