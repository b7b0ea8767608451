"""Records under the names of the Elastic Common Schema, as a SIEM takes them.

https://www.elastic.co/guide/en/ecs/8.11; ``sip.*`` as Packetbeat has it, ``replay_monitor.*`` our own.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

ECS_VERSION = "8.11.0"
_SAME = {
    "source": "source.ip",
    "source_port": "source.port",
    "destination": "destination.ip",
    "destination_port": "destination.port",
    "transport": "network.transport",
    "frame": "event.sequence",
    "detail": "event.reason",
    "policy": "rule.name",
    "template": "rule.ruleset",
    "method": "sip.method",
    "status": "sip.code",
    "call_id": "sip.call_id",
    "cseq": "sip.cseq.code",
    "from": "sip.from.uri.original",
    "to": "sip.to.uri.original",
    "spi": "replay_monitor.spi",
    "tiers": "replay_monitor.tiers",
    "alerts": "replay_monitor.alerts",
    "enforced": "replay_monitor.enforced",
    "packet_source": "replay_monitor.packet_source",
    "start_line": "replay_monitor.start_line",
}
"""Of a record's document: what only has another name."""


def stamp(seconds: float) -> str:
    """A time as ``@timestamp`` has it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def base(seconds: float) -> dict[str, Any]:
    """What every document begins with."""
    return {
        "@timestamp": stamp(seconds),
        "ecs.version": ECS_VERSION,
        "service.name": "replay-monitor",
        "service.type": "replay-monitor",
        "event.dataset": "replay-monitor.log",
    }


def event(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ruling or an exception, from its document; what is not known is left out."""
    word = document.get("verdict") or document["outcome"]
    worth_telling = word != "accept" or bool(document.get("alerts"))
    fields = {
        "event.kind": "alert" if worth_telling else "event",
        "event.category": ["network", "intrusion_detection"],
        "event.type": ["denied" if word == "deny" else "allowed"],
        "event.action": document.get("reason") or document["exception"],
        "event.provider": document["type"],
        "network.protocol": "sip",
    }
    if document["source"]:
        fields["network.type"] = "ipv6" if ":" in document["source"] else "ipv4"
    return fields | {
        name: document[key] for key, name in _SAME.items() if document.get(key) not in (None, "", [])
    }


def line(document: Mapping[str, Any]) -> dict[str, Any]:
    """A whole document for one record."""
    return base(document["time"]) | {"event.dataset": "replay-monitor.events"} | event(document)
