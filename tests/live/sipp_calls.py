"""Calls of sipp, each with a key of a list, and a callee who answers them."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon import PORT
from namespaces import Host

from monitor.simulate.party import BOB
from monitor.simulate.stage import Stage

SECRET_LINE = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:[field0]"
PADDING = "\n".join(f"      a=x-padding:{number:060}" for number in range(50))


def _request(method: str, number: int, branch: str = "[branch]") -> str:
    """A request after the INVITE."""
    return f"""
  <send>
    <![CDATA[
      {method} sip:alice@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}
      [last_From:]
      [last_To:]
      Call-ID: [call_id]
      CSeq: {number} {method}
      Max-Forwards: 70
      Content-Length: 0

    ]]>
  </send>"""


CALLER = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="caller">
  <send>
    <![CDATA[
      INVITE sip:alice@[remote_ip]:[remote_port] SIP/2.0
      Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
      From: <sip:bob@[local_ip]:[local_port]>;tag=[pid]-[call_number]
      To: <sip:alice@[remote_ip]:[remote_port]>
      Call-ID: [call_id]
      CSeq: 1 INVITE
      Contact: <sip:bob@[local_ip]:[local_port]>
      Max-Forwards: 70
      Content-Type: application/sdp
      Content-Length: [len]

      v=0
      o=bob 1 1 IN IP[local_ip_type] [local_ip]
      s=-
      c=IN IP[media_ip_type] [media_ip]
      t=0 0
      m=audio [media_port] RTP/SAVP 0
{PADDING}
      {SECRET_LINE}

    ]]>
  </send>
  <recv response="180" optional="true"></recv>
  <recv response="REFUSED" optional="true" next="refused"></recv>
  <recv response="200"></recv>
{_request("ACK", 1)}
  <pause milliseconds="300"/>
{_request("BYE", 2)}
  <recv response="200" next="end"></recv>
  <label id="refused"/>
{_request("ACK", 1, "[branch-1]")}
  <label id="end"/>
</scenario>
"""


def _response(line: str) -> str:
    return f"""
  <send>
    <![CDATA[
      SIP/2.0 {line}
      [last_Via:]
      [last_From:]
      [last_To:];tag=alice-[call_number]
      [last_Call-ID:]
      [last_CSeq:]
      Contact: <sip:alice@[local_ip]:[local_port];transport=[transport]>
      Content-Length: 0

    ]]>
  </send>"""


CALLEE = f"""<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="callee">
  <recv request="INVITE">
    <action>
      <ereg regexp="application/sdp" search_in="hdr" header="Content-Type:" assign_to="sdp"/>
    </action>
  </recv>
  <nop next="known" test="sdp"/>
{_response("415 Unsupported Media Type")}
  <recv request="ACK" next="end"></recv>
  <label id="known"/>
{_response("180 Ringing")}
{_response("200 OK")}
  <recv request="ACK"></recv>
  <recv request="BYE"></recv>
{_response("200 OK")}
  <label id="end"/>
</scenario>
"""


class Sipp:
    """Calls of sipp, each with a key of a list."""

    def __init__(self, folder: Path, stage: Stage, calls: int, replayed: int) -> None:
        """Every ``replayed``-th call has the key of the one before it."""
        self.folder = folder
        keys = [stage.plain(BOB).content.split(b"inline:")[1][:40].decode() for _ in range(calls)]
        for number in range(replayed - 1, calls, replayed):
            keys[number] = keys[number - 1]
        self.replays = calls - len(set(keys))
        (folder / "keys.csv").write_text("SEQUENTIAL\n" + "".join(f"{key};\n" for key in keys))
        self.calls = calls

    @contextmanager
    def answering(self, host: Host, transport: str) -> Iterator[None]:
        """A callee, who refuses what has no session description."""
        (self.folder / "callee.xml").write_text(CALLEE)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        process = host.start(
            *("sipp", "-sf", str(self.folder / "callee.xml"), "-i", host.address, "-p", str(PORT)),
            *("-t", transport, "-nostdin", "-trace_err"),
            cwd=self.folder, **quiet,
        )  # fmt: skip
        host.until_bound(PORT, process, tcp=transport.startswith("t"))
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def call(self, host: Host, other: Host, transport: str, refused: int) -> subprocess.CompletedProcess[str]:
        """Place all calls; those with a known key are to be refused with this status."""
        (self.folder / "caller.xml").write_text(CALLER.replace("REFUSED", str(refused)))
        return host.run(
            *("sipp", "-sf", str(self.folder / "caller.xml"), "-inf", str(self.folder / "keys.csv")),
            *("-nostdin", "-i", host.address, "-t", transport, "-m", str(self.calls), "-r", "60"),
            *("-timeout", "30", "-timeout_error", "-cid_str", "%u-%s", f"{other.address}:{PORT}"),
            check=False, timeout=60,
        )  # fmt: skip
