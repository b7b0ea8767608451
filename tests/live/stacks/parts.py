"""The two ends of a call as scenarios of sipp, written step by step."""

import re
from typing import Literal

Way = Literal["sendrecv", "sendonly", "recvonly"]

AUTHENTICATION = "[authentication username=caller password=secret]"


def sdp(way: Way = "sendrecv", version: int = 1) -> str:
    """An offer or an answer with the call's key, which is field 0."""
    return f"""\
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- [pid] {version} IN IP[media_ip_type] [media_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [media_port] RTP/SAVP 0
a=crypto:1 [field0]
a=rtpmap:0 PCMU/8000
a={way}
"""


def sealed(field: int) -> str:
    """The same under S/MIME, which is a field too."""
    return f"""\
Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename=smime.p7m; handling=required
Content-Length: [len]

[field{field}]"""


NOTHING = "Content-Length: 0\n\n"
CONTACT = "Contact: <sip:[service]@[local_ip]:[local_port];transport=[transport]>"


class Part:
    """One end's steps, in order. What differs from call to call stands in fields of an injection file."""

    wait = 4000
    """Milliseconds after which a message is sent again. A busy machine is slow, and sipp easily confused."""

    def __init__(self) -> None:
        self._steps: list[str] = []
        self._asked = ""
        """The method of the last request received."""

    @property
    def itself(self) -> str:
        """Its own address with its tag, as From has it in a request within the dialog."""
        raise NotImplementedError

    def send(self, *lines: str, body: str = NOTHING, again: bool = False) -> None:
        """Send a message; ``again``: until the next one comes, should it get lost."""
        text = "\n".join((*lines, body))
        retransmitted = f' retrans="{self.wait}"' if again else ""
        self._steps.append(f"<send{retransmitted}><![CDATA[\n{text}]]></send>")

    def receive(
        self,
        what: int | str,
        *,
        optional: bool = False,
        challenge: bool = False,
        routes: bool = False,
        keep: str = "",
    ) -> None:
        """Wait for a response or a request.

        :param challenge: it asks for credentials, which the next request gives.
        :param routes: take the route of later requests from it.
        :param keep: actions that keep parts of it in variables.
        """
        if isinstance(what, str):
            self._asked = what
        options = (("optional", optional), ("auth", challenge), ("rrs", routes))
        shown = "".join(f' {name}="true"' for name, chosen in options if chosen)
        kind = "response" if isinstance(what, int) else "request"
        self._steps.append(
            f'<recv {kind}="{what}"{shown}>{f"<action>{keep}</action>" if keep else ""}</recv>'
        )

    def reply(self, status: int, body: str = NOTHING, *headers: str, tag: str = "") -> None:
        """Answer the last request."""
        self.send(
            f"SIP/2.0 {status} Said",
            "[last_Via:]",
            "[last_Record-Route:]",
            "[last_From:]",
            f"[last_To:]{tag}",
            "[last_Call-ID:]",
            "[last_CSeq:]",
            CONTACT,
            *headers,
            body=body,
            again=status >= 200 and self._asked == "INVITE",
        )

    def request(self, method: str, number: int, body: str = NOTHING, *headers: str) -> None:
        """A request within the dialog."""
        self.send(
            f"{method} [next_url] SIP/2.0",
            "Via: SIP/2.0/[transport] [local_ip]:[local_port];"
            f"branch=z9hG4bK-[pid]-[call_number]-{number}-{method}",
            "[routes]",
            f"From:{self.itself}",
            "To:[$remote]",
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
            CONTACT,
            *headers,
            body=body,
            again=method != "ACK",
        )

    def pause(self, milliseconds: int) -> None:
        """Let time pass."""
        self._steps.append(f'<pause milliseconds="{milliseconds}"/>')

    def linger(self, milliseconds: int) -> None:
        """Go on answering what comes again, when the call is over."""
        self._steps.append(f'<timewait milliseconds="{milliseconds}"/>')

    def xml(self) -> str:
        """As sipp reads it."""
        steps = "\n".join(self._steps)
        # sipp refuses a variable that it meets only once.
        kept = ",".join(sorted(set(re.findall(r'assign_to="(\w+)"', steps))))
        if kept:
            steps += f'\n<Reference variables="{kept}"/>'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="part">\n{steps}\n</scenario>\n'


def _kept(name: str, header: str) -> str:
    return f'<ereg regexp=".*" search_in="hdr" header="{header}:" assign_to="{name}"/>'


def _kept_lines(name: str, header: str) -> str:
    """All lines of a header, ends and all."""
    line = f"{header}:[^[:cntrl:]]*[[:cntrl:]]+"
    return f'<ereg regexp="({line})+" search_in="msg" assign_to="{name}"/>'


class Caller(Part):
    """The end that sends the first INVITE, to the user who is the run's service."""

    sender, recipient = "caller-of-[service]", "[service]"
    """Users in From and To."""

    @property
    def itself(self) -> str:
        """See ``Part``."""
        return f" <sip:{self.sender}@example.org>;tag=[pid]c[call_number]"

    def invite(self, body: str = NOTHING, *headers: str) -> None:
        """The first INVITE, and again with credentials when the proxy asks for them."""
        self._first("INVITE", 1, body, *headers)
        self.receive(100, optional=True)
        self.receive(407, challenge=True)
        self._first("ACK", 1, NOTHING)
        self._first("INVITE", 2, body, AUTHENTICATION, *headers)
        self.receive(100, optional=True)

    def _first(self, method: str, number: int, body: str, *headers: str) -> None:
        to = "[last_To:]" if method == "ACK" else f"To: <sip:{self.recipient}@example.org>"
        self.send(
            f"{method} sip:[service]@example.org SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-{number}",
            f"From:{self.itself}",
            to,
            "Call-ID: [call_id]",
            f"CSeq: {number} {method}",
            "Max-Forwards: 70",
            CONTACT,
            *headers,
            body=body,
            again=method != "ACK",
        )

    def answered(self, status: int = 200) -> None:
        """Wait for a response that makes the dialog."""
        self.receive(status, routes=True, keep=_kept("remote", "To"))

    def acknowledge_refusal(self) -> None:
        """ACK to a final response that is no 2xx: of the INVITE's own transaction."""
        self._first("ACK", 2, NOTHING)

    def cancel(self) -> None:
        """CANCEL the INVITE."""
        self._first("CANCEL", 2, NOTHING)

    def reinvite(self, number: int, body: str) -> None:
        """Offer anew within the dialog."""
        self.request("INVITE", number, body)
        self.receive(100, optional=True)
        self.receive(200)
        self.request("ACK", number)

    def bye(self, number: int) -> None:
        """Hang up."""
        self.request("BYE", number)
        self.receive(100, optional=True)
        self.receive(200)


class Callee(Part):
    """The end that is called."""

    @property
    def itself(self) -> str:
        """See ``Part``."""
        return "[$local];tag=[pid]a[call_number]"

    def called(self) -> None:
        """Wait for the INVITE."""
        lines = _kept_lines("vias", "Via") + _kept_lines("route", "Record-Route")
        ends = _kept("remote", "From") + _kept("local", "To")
        self.receive("INVITE", routes=True, keep=lines + ends)

    def answer(self, status: int, body: str = NOTHING, *headers: str) -> None:
        """Answer the INVITE that makes the call."""
        self.reply(status, body, *headers, tag=";tag=[pid]a[call_number]")

    def reply_later(self, status: int, body: str = NOTHING) -> None:
        """Answer the INVITE that made the call, though other requests came since."""
        self.send(
            f"SIP/2.0 {status} Said",
            "[$vias][$route]From:[$remote]",
            "To:[$local];tag=[pid]a[call_number]",
            "Call-ID: [call_id]",
            "CSeq: 2 INVITE",
            CONTACT,
            body=body,
            again=True,
        )


def register() -> str:
    """Bind a contact to the user in field 0: address, transport and preference are the next fields."""
    part = Part()
    for number in (1, 2):
        part.send(
            "REGISTER sip:example.org SIP/2.0",
            f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK-[pid]-[call_number]-{number}",
            "From: <sip:[field0]@example.org>;tag=[pid]r[call_number]",
            "To: <sip:[field0]@example.org>",
            "Call-ID: [call_id]",
            f"CSeq: {number} REGISTER",
            "Max-Forwards: 70",
            "Contact: <sip:[field0]@[field1];transport=[field2]>;q=[field3]",
            "Expires: 600",
            *((AUTHENTICATION,) if number == 2 else ()),
            again=True,
        )
        part.receive(401 if number == 1 else 200, challenge=number == 1)
    return part.xml()
