"""What is written beside captures: the policy that they are ruled on under, and what they tell."""

import textwrap
from collections import Counter
from collections.abc import Sequence

from monitor.antireplay.policy import Policy
from monitor.simulate.captures import CONFIG, Capture
from monitor.simulate.scenario import Scenario
from monitor.wire import address


def policy_toml(policy: Policy) -> str:
    """A configuration file with what differs from the default policy."""
    default = Policy()
    lines = ["[policy]"]
    if policy.relays:
        lines.append(f"relays = {_addresses(policy.relays)}")
    if policy.b2bua:
        lines.append(f"b2bua = {_addresses(policy.b2bua)}")
    if policy.moves:
        lines.append("moves = true")
    if (policy.prefix_ipv4, policy.prefix_ipv6) != (default.prefix_ipv4, default.prefix_ipv6):
        lines.append(f"source_prefix = {{ipv4 = {policy.prefix_ipv4}, ipv6 = {policy.prefix_ipv6}}}")
    if policy.originator != default.originator:
        lines.append(f'originator = "{policy.originator}"')
    if policy.strict:
        lines.append("strict = true")
    return "\n".join(lines) + "\n"


def _addresses(packed: frozenset[bytes]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in sorted(map(address.text, packed))) + "]"


HEAD = f"""\
# Captures

Calls and attacks as captures, made by `replay-monitor simulate --pcaps`, which writes the same octets each
time, and this file with them. Nothing here was recorded from real people.

```
replay-monitor replay --keys pcaps/keys --trust pcaps/keys/ca.pem pcaps/4-replay-attack.pcap
replay-monitor replay --keys pcaps/keys --trust pcaps/keys/ca.pem --config pcaps/{CONFIG} pcaps/*.pcap*
```

Bob (192.0.2.2) calls Alice (192.0.2.1), Charles (192.0.2.66) attacks. The [keys](#keys) open the envelopes;
without them the envelopes are judged all the same, by what can be seen of them from outside.

Messages that bear key material are ruled on; the tables count them by reason, as
[the project's README](../README.md#what-it-says) lists them.
"""

KEYS = """\
## keys/

Test keys. Everybody has them; they sign and open the envelopes here, and protect nothing: never install one,
and never trust `ca.pem`.

| file | whose |
| --- | --- |
| `ca.pem` | the authority that the certificates come from; its private key was thrown away |
| `alice-test-*.pem`, `bob-test-*.pem` | the two who call each other |
| `charles-test-*.pem` | the attacker, who has a good certificate in his own name |
| `dave-test-cert.pem` | somebody whose private key was thrown away: what is sealed for him stays closed |
| `impostor-test-*.pem` | self-signed, and names Bob |

RSA of 2048 bits; valid from 2020 to 2120; each certificate names its holder as `sip:…@example.org`.
"""


def readme(captures: Sequence[tuple[Capture, Sequence[Scenario]]]) -> str:
    """The README of the collection."""
    return "\n".join((HEAD, *(_section(capture, scenarios) for capture, scenarios in captures), KEYS))


def _section(capture: Capture, scenarios: Sequence[Scenario]) -> str:
    lines = [f"## {capture.file}", "", *textwrap.wrap(capture.story, 110), ""]
    if any(scenario.policy != Policy() for scenario in scenarios):
        lines += [f"With `--config {CONFIG}`.", ""]
    lines += ["| scenario | frames | story | accepted | denied |", "| --- " * 5 + "|"]
    first = 1
    for scenario in scenarios:
        last = first + len(scenario.frames) - 1
        accepted, denied = _reasons(scenario, "accept"), _reasons(scenario, "deny")
        lines.append(f"| {scenario.name} | {first}–{last} | {scenario.story} | {accepted} | {denied} |")
        first = last + 1
    return "\n".join(lines) + "\n"


def _reasons(scenario: Scenario, verdict: str) -> str:
    """The rulings by reason, and what is to be reported with them."""
    counts = Counter(str(one.reason) for one in scenario.expected if one.verdict == verdict)
    told = [f"{count} {reason}" for reason, count in counts.items()]
    if verdict == "accept":
        alerts = {alert for one in scenario.expected for alert in one.alerts}
        names = {str(one.exception) for one in scenario.exceptions}
        told += [f"_{name}_" for name in sorted(alerts | names)]
    return ", ".join(told)
