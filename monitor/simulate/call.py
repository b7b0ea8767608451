"""One dialog from its first INVITE on: identifiers, tags, CSeq numbers of both sides (RFC 3261 §12, §13)."""

import random
from dataclasses import replace

from monitor.simulate.body import Body
from monitor.simulate.message import PHRASES, Message, branch, challenge, credentials, tag, via
from monitor.simulate.party import Party
from monitor.wire.flow import Transport

ALLOW = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, PRACK, INFO, MESSAGE, REFER, NOTIFY"


class Call:
    """A call between two parties, hop by hop where there are others between."""

    def __init__(
        self,
        caller: Party,
        callee: Party,
        rng: random.Random,
        *,
        transport: Transport = "udp",
        next_hop: Party | None = None,
    ) -> None:
        """:param next_hop: where the caller sends its requests, the callee itself by default."""
        self.caller, self.callee = caller, callee
        self.rng = rng
        self.transport: Transport = transport
        self.next_hop = next_hop or callee
        self.id = f"{rng.getrandbits(96):024x}@{caller.address}"
        self.tags = {caller.name: tag(rng), callee.name: tag(rng)}
        self.cseq = {caller.name: 0, callee.name: rng.randrange(100, 1000)}
        self.established = False
        self.target = {caller.name: callee.contact, callee.name: caller.contact}
        """Request URI of each side's requests."""

    def invite(self, body: Body | None = None, by: Party | None = None, **headers: str) -> Message:
        """An INVITE, or a re-INVITE once a dialog is there."""
        return self.request("INVITE", body, by, Contact=(by or self.caller).contact, **headers)

    def request(
        self, method: str, body: Body | None = None, by: Party | None = None, **headers: str
    ) -> Message:
        """The next request of ``by``, the caller by default. Header names have ``_`` for ``-``."""
        by = by or self.caller
        self.cseq[by.name] += 1
        return self._request(method, self.cseq[by.name], by, body, via(by, self.transport, self.rng), headers)

    def retry(self, request: Message, challenged: Message) -> Message:
        """The request again with credentials and the next CSeq number (RFC 3261 §22.2)."""
        proxied = challenged.status == 407
        challenge_value = challenged.header("Proxy-Authenticate" if proxied else "WWW-Authenticate")
        uri = request.start_line.split()[1]
        answer = credentials(challenge_value, self.caller.user, request.method, uri, self.rng)
        self.cseq[self.caller.name] += 1
        return (
            request.having("CSeq", f"{self.cseq[self.caller.name]} {request.method}")
            .having("Via", via(request.source, self.transport, self.rng))
            .having("Proxy-Authorization" if proxied else "Authorization", answer)
        )

    def reply(
        self,
        request: Message,
        status: int,
        body: Body | None = None,
        *,
        tagged: str | None = None,
        **headers: str,
    ) -> Message:
        """A response by the receiver of the request.

        :param tagged: the To tag, where it is not the callee's own (forks, proxies).
        """
        to = request.header("To")
        if status > 100 and ";tag=" not in to:
            to += f";tag={tagged or self.tags[self.callee.name]}"
        fields = [("Via", value) for name, value in request.headers if name == "Via"]
        fields[0] = ("Via", fields[0][1].replace(";rport;", _received(request.source)))
        if status < 300:
            fields += [(name, value) for name, value in request.headers if name == "Record-Route"]
        fields += [
            ("From", request.header("From")),
            ("To", to),
            ("Call-ID", request.header("Call-ID")),
            ("CSeq", request.header("CSeq")),
        ]
        if 100 < status < 300 and request.method in ("INVITE", "UPDATE"):
            fields.append(("Contact", request.destination.contact))
            fields.append(("Allow", ALLOW))
        if status in (401, 407):
            name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
            fields.append((name, challenge(self.rng)))
        fields += _fields(headers)
        if request.method == "INVITE" and 200 <= status < 300:
            self.established = True
        return Message(
            f"SIP/2.0 {status} {PHRASES[status]}",
            tuple(fields),
            request.destination,
            request.source,
            body,
            request.transport,
        )

    def ack(self, final: Message, invite: Message, body: Body | None = None) -> Message:
        """The ACK: a request of its own for a 2xx, of the INVITE's transaction else (RFC 3261 §13.2.2.4,
        §17.1.1.3).
        """
        number = int(invite.header("CSeq").split()[0])
        by = invite.source
        if (final.status or 0) < 300:
            ack = self._request("ACK", number, by, body, via(by, self.transport, self.rng), {})
        else:
            ack = self._request("ACK", number, by, body, invite.header("Via"), {})
            ack = replace(ack, start_line=invite.start_line.replace("INVITE", "ACK", 1))
        return replace(
            ack.having("To", final.header("To")).having("From", final.header("From")),
            destination=invite.destination,
        )

    def cancel(self, invite: Message) -> Message:
        """The CANCEL of a pending INVITE (RFC 3261 §9.1)."""
        number = int(invite.header("CSeq").split()[0])
        cancel = self._request("CANCEL", number, invite.source, None, invite.header("Via"), {})
        return replace(
            cancel.having("To", invite.header("To")),
            start_line=invite.start_line.replace("INVITE", "CANCEL", 1),
            destination=invite.destination,
        )

    def _request(
        self, method: str, number: int, by: Party, body: Body | None, via_value: str, headers: dict[str, str]
    ) -> Message:
        calls = by.name == self.caller.name
        peer = self.callee if calls else self.caller
        in_dialog = self.established or method in ("PRACK", "UPDATE") or not calls
        to = f"<{peer.uri}>" + (f";tag={self.tags[peer.name]}" if in_dialog else "")
        uri = self.target[by.name] if in_dialog else peer.uri
        fields = [
            ("Via", via_value),
            ("Max-Forwards", "70"),
            ("From", f'"{by.name}" <{by.uri}>;tag={self.tags[by.name]}'),
            ("To", to),
            ("Call-ID", self.id),
            ("CSeq", f"{number} {method}"),
            *_fields(headers),
        ]
        if method in ("INVITE", "UPDATE"):
            if "Contact" not in headers:
                fields.append(("Contact", by.contact))
            fields.append(("Allow", ALLOW))
            fields.append(("Supported", "100rel, timer"))
        fields.append(("User-Agent", "simulated"))
        receiver = self.next_hop if calls else self.caller
        return Message(f"{method} {uri} SIP/2.0", tuple(fields), by, receiver, body, self.transport)


def forward(message: Message, proxy: Party, destination: Party, rng: random.Random) -> Message:
    """The message as a stateful proxy sends it on (RFC 3261 §16.6, §16.7)."""
    if message.status is not None:
        return message.without_first("Via").by(proxy, destination)
    top = message.header("Via").replace(";rport;", _received(message.source))
    hops = int(message.header("Max-Forwards"))
    onward = message.having("Via", top).having("Max-Forwards", str(hops - 1))
    own = f"SIP/2.0/{message.transport.upper()} {proxy.sent_by};branch={branch(rng)}"
    route = (("Record-Route", f"<sip:{proxy.sent_by};lr>"),) if message.method == "INVITE" else ()
    return replace(onward, headers=(("Via", own), *route, *onward.headers)).by(proxy, destination)


def _received(source: Party) -> str:
    """``rport`` and ``received`` filled in, as RFC 3581 §4 asks."""
    return f";received={source.address};rport={source.port};"


def _fields(headers: dict[str, str]) -> list[tuple[str, str]]:
    return [(name.replace("_", "-"), value) for name, value in headers.items()]
