"""The configuration as typed values. ``docs/configuration.md`` is made from the descriptions here."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from monitor.antireplay.policy import DEFAULT_OUTCOMES, Policy, Remedy
from monitor.config.quantity import (
    Addresses,
    Duration,
    Endpoint,
    FilePath,
    Flag,
    Interfaces,
    Listen,
    Marks,
    Methods,
    Names,
    Networks,
    Output,
    QueueNumbers,
    Retention,
    Socket,
    StoreUrl,
    Whole,
)
from monitor.config.selector import PolicyList, Selector
from monitor.exceptions import ExceptionName, Outcome
from monitor.exhibit import Keep
from monitor.keys.fair import PENDING, PENDING_SOURCE
from monitor.store.managed import Durability
from monitor.wire.frame import NANOSECONDS

STATE = Path("/var/lib/replay-monitor")
"""Where the daemon keeps what it must not lose."""
RUN = Path("/run/replay-monitor")
"""Where it keeps what ends with it."""


class Table(BaseModel):
    """A TOML table of which every key is known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SourcePrefix(Table):
    """How much of a source address is bound."""

    ipv4: Whole = Field(default=32, ge=1, le=32, description="Leading bits of an IPv4 source that are bound.")
    ipv6: Whole = Field(
        default=128, ge=1, le=128, description="The same for IPv6; hosts change the last 64 often."
    )


class OnDeny(Table):
    """What denying does, to datagrams and on streams; one word is for both."""

    udp: Literal["drop", "respond", "neutralise"] = Field(
        default="drop",
        description="What denying does to a datagram: `drop`; `respond`, drop it and tell the sender of a"
        " request by a 403; `neutralise`, pass it with the message made harmless. See enforcement.md. One"
        ' word, as in `on_deny = "respond"`, is for both; there `respond` means `neutralise` on TCP, and'
        " `reset` means `drop` on UDP.",
    )
    tcp: Literal["drop", "neutralise", "reset"] = Field(
        default="drop",
        description="What it does on a stream: `drop`, which stalls the connection with all its calls;"
        " `neutralise`; or `reset`, close the recipient's end of the connection.",
    )

    @model_validator(mode="before")
    @classmethod
    def _word(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match value:
            case "drop" | "neutralise":
                return {"udp": value, "tcp": value}
            case "respond":
                return {"udp": value, "tcp": "neutralise"}
            case "reset":
                return {"udp": "drop", "tcp": value}
        raise ValueError(f'must be "drop", "respond", "neutralise" or "reset", is "{value}"')


class PolicyTable(Table):
    """What is asked of messages. In a policy file, a key that is left out is as in the configuration file."""

    relays: Addresses = Field(
        default=frozenset(),
        description="Addresses of trusted proxies. What such a one wrote into the `Via` of the hop before"
        " it is the"
        " source of the message.",
    )
    b2bua: Addresses = Field(
        default=frozenset(),
        description="Addresses of B2BUAs that copy keys from one leg of a call to the other, once.",
    )
    moves: Flag = Field(
        default=False,
        description="Whether a party may go on from another source: handover, NAT rebinding. Tells an alert.",
    )
    source_prefix: SourcePrefix = Field(
        default=SourcePrefix(), description="How much of a source address is bound."
    )
    originator: Literal["ignore", "alert", "deny"] = Field(
        default="alert",
        description="What a known originator at a new source means: `ignore`, `alert` or `deny`.",
    )
    originator_silence: Duration = Field(
        default=30 * 86400 * NANOSECONDS,
        description="Silence at the bound source (told to a thousandth) after which an originator may come"
        " from anywhere again.",
    )
    strict: Flag = Field(
        default=False,
        description="Whether one key in two places of a message, or the same key for new media, is denied"
        " too.",
    )
    on_deny: OnDeny = Field(default=OnDeny(), description="What denying does.")
    exceptions: Mapping[ExceptionName, Outcome] = Field(
        default_factory=dict,
        description="What each exception means: `accept`, `deny` or `alert` (accept and tell).",
    )

    def over(self, base: "PolicyTable") -> "PolicyTable":
        """This table, with what it leaves out as in ``base``."""
        said = {name: getattr(self, name) for name in self.model_fields_set}
        if "exceptions" in said:
            said["exceptions"] = {**base.exceptions, **self.exceptions}
        for name in {"source_prefix", "on_deny"} & said.keys():
            table = said[name]
            parts = {part: getattr(table, part) for part in table.model_fields_set}
            said[name] = getattr(base, name).model_copy(update=parts)
        return base.model_copy(update=said)

    def policy(self, name: str) -> Policy:
        """The policy that the judge takes."""
        return Policy(
            name=name,
            relays=self.relays,
            b2bua=self.b2bua,
            moves=self.moves,
            prefix_ipv4=self.source_prefix.ipv4,
            prefix_ipv6=self.source_prefix.ipv6,
            originator=self.originator,
            originator_silence=self.originator_silence,
            strict=self.strict,
            on_deny_udp=Remedy(self.on_deny.udp),
            on_deny_tcp=Remedy(self.on_deny.tcp),
            outcomes=MappingProxyType({**DEFAULT_OUTCOMES, **self.exceptions}),
        )


class MatchTable(Table):
    """Which messages a policy file takes: those that fit every key given; a list fits if one entry does."""

    source: Networks = Field(default=(), description="Networks that the packet comes from.")
    interface: Interfaces = Field(
        default=(), description="Interfaces that it comes in by; captures do not tell them."
    )
    mark: Marks = Field(default=(), description='Packet marks: `1`, or `"0x10/0xff"` for some of its bits.')
    method: Methods = Field(default=(), description="Methods of the request, or of the CSeq of a response.")

    def selector(self) -> Selector:
        """What the policy list asks."""
        return Selector(source=self.source, interface=self.interface, mark=self.mark, method=self.method)


class PolicyFile(Table):
    """One file of policies."""

    match: MatchTable = MatchTable()
    policy: PolicyTable = PolicyTable()


class QueueTable(Table):
    """The netfilter queues, which the kernel rules fill."""

    numbers: QueueNumbers = Field(default=(0,), description="The queue, or a list of them.")
    length: Whole = Field(default=16384, ge=1, le=1 << 20, description="Packets that may wait in the kernel.")
    fail_open: Flag = Field(
        default=False, description="Whether packets pass unjudged while the queue is full."
    )
    batch: Whole = Field(
        default=256, ge=1, le=65536, description="Most packets that are judged between two commits."
    )
    reader: Literal["netlink", "library"] = Field(
        default="netlink",
        description="Who reads packets out of the kernel's messages: `netlink`, we ourselves, which costs the"
        " least; or `library`, the package netfilterqueue. Both give the same packets.",
    )


class StoreTable(Table):
    """Where associations are kept."""

    url: StoreUrl = Field(
        default=f"sqlite://{STATE}/associations.db",
        description="`sqlite:///PATH`, `redis://HOST:PORT/NUMBER`, `rediss://…`, `unix:///SOCKET`, or"
        " `memory:`,"
        " which forgets all when the daemon ends.",
    )
    durability: Durability = Field(
        default="process",
        description="What an accepted message's memory outlasts: `process`, the daemon's end by any"
        " signal; `power`,"
        " a loss of power too, at the price of a disk write for each batch.",
    )
    retention: Retention = Field(
        default=None,
        description="How long an association is kept after its last message: `certificate`, until the newest"
        " certificate of the keys held expires, and a year at the least; or a duration.",
    )


class SecretTable(Table):
    """The site secret, without which no fingerprint can be made or compared."""

    file: FilePath = Field(
        default=STATE / "secret",
        description="32 random octets or more, which others may not read. The daemon makes it where it is"
        " missing.",
    )


class KeysTable(Table):
    """Private keys that envelopes are opened with. Without them the envelope tier still rules."""

    directory: FilePath | None = Field(
        default=None, description="PEM files of private keys and certificates, whatever their names."
    )
    trust: FilePath | None = Field(
        default=None, description="Certificates of trusted authorities: a PEM file, or a directory of them."
    )
    workers: Whole = Field(default=1, ge=1, le=256, description="Processes that do private-key operations.")
    pending: Whole = Field(
        default=PENDING,
        ge=1,
        le=65536,
        description="Envelopes that may wait to be opened. One more is an `overload`, unless another source"
        " has more of them waiting, one of which then is.",
    )
    pending_per_source: Whole = Field(
        default=PENDING_SOURCE,
        ge=1,
        le=65536,
        description="Those of them from one address (IPv6: from one /64). A trunk has a burst of calls from"
        " one.",
    )


class BlockTable(Table):
    """Sources that keep sending replays, and whose packets the kernel is to drop. See enforcement.md."""

    enabled: Flag = Field(default=False, description="Whether there are any.")
    denials: Whole = Field(
        default=20, ge=2, le=1000, description="Replays of one source after which it is blocked."
    )
    within: Duration = Field(
        default=60 * NANOSECONDS, description="The time in which so many of them must be denied."
    )
    duration: Duration = Field(
        default=600 * NANOSECONDS, description="For how long a source is blocked: a day at the most."
    )
    udp: Flag = Field(
        default=False,
        description="Whether replays over UDP count. Anybody can write any source into them, and so have"
        " others blocked; over TCP only connections count that the source has itself set up.",
    )
    allow: Networks = Field(
        default=(),
        description="Networks that are never blocked. Relays and B2BUAs of any policy never are either.",
    )
    ipv6_prefix: Whole = Field(
        default=64,
        ge=32,
        le=128,
        description="Bits of an IPv6 address whose bearers count, and are blocked, as one source: who has a"
        " /64 has all addresses in it. Where one of a network is never blocked, the others are one by one."
        " 128 where your own callers share a network and none of them may be blocked for another.",
    )

    @field_validator("duration")
    @classmethod
    def _a_day(cls, duration: int) -> int:
        if not NANOSECONDS <= duration <= 86400 * NANOSECONDS:
            raise ValueError('must be from "1s" to "1d"')
        return duration


class MetricsTable(Table):
    """Metrics for Prometheus."""

    listen: Listen = Field(
        default=Endpoint("127.0.0.1", 9464),
        description="Address and port of `/metrics`, or `off`. It asks for no password.",
    )


class TemplatesTable(Table):
    """The toolbox's templates: which tools a message passes."""

    directory: FilePath | None = Field(
        default=None, description="TOML files of templates; none: those that come with us."
    )


class ControlTable(Table):
    """The socket on which `replay-monitor status`, `associations` and `alerts` ask the daemon."""

    socket: Socket = Field(
        default=RUN / "control",
        description="Path of the socket, in a directory of the daemon's own; or `off`.",
    )
    users: Names = Field(default=(), description="Users who may ask, beside root and the daemon's own.")
    groups: Names = Field(default=(), description="Groups whose members may.")


class LogTable(Table):
    """The daemon's log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="`debug`, `info`, `warning` or `error`."
    )
    format: Literal["text", "json", "ecs"] = Field(
        default="text",
        description="`text` for people and, with fields, for the journal; `json` for one object a line, `ecs`"
        " for one with the names of the Elastic Common Schema.",
    )


class EventsTable(Table):
    """Rulings and exceptions as JSON Lines, the records of `replay-monitor replay --json`."""

    file: Output | None = Field(
        default=None, description='File that they are appended to, or `"-"` for standard output.'
    )
    format: Literal["json", "ecs"] = Field(
        default="json",
        description="`json` for the records of `replay --json`; `ecs` for the names of the Elastic Common"
        " Schema.",
    )


class EvidenceTable(Table):
    """The evidence log: messages as they came, how they were ruled on, chained and signed."""

    directory: FilePath | None = Field(
        default=None, description="Where the log is, a directory of its own; none: nothing is kept."
    )
    keep: Keep = Field(
        default=Keep.DENIALS,
        description="Which messages: `denials`; `signed`, what bears a good signature too; or `all` that is"
        " ruled on. A template's step may say otherwise.",
    )
    key: FilePath = Field(
        default=STATE / "evidence.key",
        description="Ed25519 private key (PEM) that entries are signed with. The daemon makes it where it is"
        " missing.",
    )
    limit: Whole = Field(
        default=10240, ge=1, description="Mebibytes that the log may take up. Beyond that nothing is kept."
    )
    required: Flag = Field(
        default=False, description="Whether a message that should be kept, and cannot be, is dropped."
    )


class Config(Table):
    """All that the daemon is told. An empty file is valid."""

    policy_files: str | None = Field(
        default=None,
        alias="policies",
        strict=True,
        description="Directory of further policies (`*.toml`), or a pattern such as `policies/*.toml`."
        " They are asked"
        " in the order of their file names, the first that matches wins, and `[policy]` takes the rest."
        " Being no"
        " table's key, it stands before the first table.",
    )
    policy: PolicyTable = PolicyTable()
    queue: QueueTable = QueueTable()
    store: StoreTable = StoreTable()
    secret: SecretTable = SecretTable()
    keys: KeysTable = KeysTable()
    block: BlockTable = BlockTable()
    metrics: MetricsTable = MetricsTable()
    templates: TemplatesTable = TemplatesTable()
    control: ControlTable = ControlTable()
    log: LogTable = LogTable()
    events: EventsTable = EventsTable()
    evidence: EvidenceTable = EvidenceTable()

    _policies: PolicyList | None = PrivateAttr(None)

    @property
    def policies(self) -> PolicyList:
        """All policies, for the choice of the one that takes a message."""
        return self._policies or PolicyList(self.policy.policy("default"))

    def with_policies(self, policies: PolicyList) -> "Config":
        """This configuration with the policies of its policy files."""
        config = self.model_copy()
        config._policies = policies
        return config


def tables(model: type[BaseModel]) -> Mapping[str, type[BaseModel]]:
    """The tables in a table."""
    return {
        name: field.annotation
        for name, field in model.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
