"""Templates: which tools a kind of message passes, with what parameters, and what a failure means.

A template is a TOML file. ``docs/toolbox.md`` tells how to write one.
"""

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from monitor.exceptions import ExceptionName, Outcome
from monitor.sip.message import Message
from monitor.toml_lines import key_lines, line_of
from monitor.toolbox.layer import Kind, Service
from monitor.toolbox.registry import Registry
from monitor.wire.address import same_network

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")


class TemplateError(Exception):
    """Templates that cannot be used: one line for each thing that is wrong, with file, line and mend."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Step:
    """One use of a tool."""

    tool: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    on_failure: Mapping[ExceptionName, Outcome] = field(default_factory=dict)
    """Outcomes that go before those of the policy."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which messages a template takes; an empty condition takes all."""

    layers: frozenset[Kind] = frozenset()
    """All layers that the message shows before any tool is at work are among these."""
    methods: frozenset[str] = frozenset()
    """Method of the request, or of the CSeq for a response."""
    direction: str = ""
    """``request`` or ``response``."""
    statuses: frozenset[str] = frozenset()
    """Of a response: a code, or a class such as ``2xx``. Requests are not taken."""
    sources: tuple[Network, ...] = ()
    """Networks that the effective source is in one of."""

    def takes(self, kinds: frozenset[Kind], message: Message, source: bytes) -> bool:
        """Whether a message with these layers from this source (packed) is taken."""
        status = message.status
        return (
            (not self.layers or kinds <= self.layers)
            and (not self.methods or message.method in self.methods)
            and (not self.direction or (self.direction == "request") == (status is None))
            and (not self.statuses or (status is not None and _has_status(self.statuses, status)))
            and (not self.sources or any(_within(network, source) for network in self.sources))
        )


@dataclass(frozen=True, slots=True)
class Template:
    """One template."""

    name: str
    order: int
    """The template with the lowest order that takes a message is its template."""
    match: Match
    steps: tuple[Step, ...]
    required: frozenset[Service] = frozenset()
    """Services without which a key is ``service-missing``."""
    ignored: frozenset[Service] = frozenset()
    """Services that messages may have and nobody looks at."""
    enforce: bool = True
    """Whether denials take effect; otherwise they are told only."""
    about: str = ""


def _has_status(statuses: frozenset[str], status: int) -> bool:
    return str(status) in statuses or f"{status // 100}xx" in statuses


def _within(network: Network, source: bytes) -> bool:
    return same_network(network.network_address.packed, source, network.prefixlen)


def load_templates(directory: Path, registry: Registry) -> tuple[Template, ...]:
    """Read and check every ``*.toml`` of a directory, in their order.

    :raises TemplateError: one is wrong, two have one name, or there is none.
    """
    problems: list[str] = []
    templates: list[Template] = []
    names: dict[str, Path] = {}
    paths = sorted(directory.glob("*.toml")) if directory.is_dir() else []
    if not paths:
        raise TemplateError([f"{directory}: no template there; put at least one *.toml file in it"])
    for path in paths:
        template = _Reader(path, registry, problems).read()
        if template is None:
            continue
        if template.name in names:
            problems.append(f"{path}:1: name: {names[template.name]} has it too; give one another name")
        names[template.name] = path
        templates.append(template)
    if problems:
        raise TemplateError(problems)
    return tuple(sorted(templates, key=lambda template: (template.order, template.name)))


class _Reader:
    """Reads one file; what is wrong goes to ``problems``."""

    def __init__(self, path: Path, registry: Registry, problems: list[str]) -> None:
        self._path, self._registry, self._problems = path, registry, problems
        self._count = len(problems)

    def _wrong(self, key: str, what: str) -> None:
        parts: list[str | int] = []
        for name, index in re.findall(r"([^.\[]+)(?:\[(\d+)\])?\.?", key):
            parts += (name, int(index)) if index else (name,)
        self._problems.append(f"{self._path}:{line_of(self._lines, tuple(parts))}: {key}: {what}")

    def read(self) -> Template | None:
        try:
            text = self._path.read_text("utf-8")
            document = tomllib.loads(text)
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            self._problems.append(f"{self._path}: cannot be read: {error}")
            return None
        self._lines = key_lines(text)
        known = {"name", "about", "order", "enforce", "match", "services", "step"}
        self._unknown(document, known, "")
        name = self._text(document, "name", "")
        about = self._text(document, "about", "", required=False)
        order = self._typed(document, "order", int, 100, "must be a whole number")
        enforce = self._typed(document, "enforce", bool, True, "must be true or false")
        match = self._match(self._table(document, "match"))
        steps = self._steps(document.get("step", []))
        required, ignored = self._services(self._table(document, "services"), steps)
        if len(self._problems) > self._count:
            return None
        return Template(name, order, match, steps, required, ignored, enforce, about)

    def _typed(self, table: Mapping[str, Any], key: str, kind: type[T], default: T, what: str) -> T:
        value = table.get(key, default)
        if type(value) is not kind:
            self._wrong(key, what)
            return default
        return value

    def _table(self, document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        return self._typed(document, key, dict, {}, f"must be a table, [{key}]")

    def _unknown(self, table: Mapping[str, Any], known: set[str], prefix: str) -> None:
        for key in table:
            if key not in known:
                self._wrong(prefix + key, f"is no key here; there are {', '.join(sorted(known))}")

    def _text(self, table: Mapping[str, Any], key: str, prefix: str, required: bool = True) -> str:
        value = table.get(key, "")
        if not isinstance(value, str) or (required and not value):
            self._wrong(prefix + key, "must be a text that is not empty")
            return ""
        return value

    def _match(self, table: Mapping[str, Any]) -> Match:
        self._unknown(table, {"layers", "methods", "direction", "statuses", "sources"}, "match.")
        kinds = {kind.value: kind for kind in Kind if kind not in (Kind.ARRIVAL, Kind.MESSAGE)}
        layers = [each for each in self._list(table, "layers") if self._known(each, kinds, "match.layers")]
        methods = self._list(table, "methods")
        direction = table.get("direction", "")
        if direction not in ("", "request", "response"):
            self._wrong("match.direction", 'must be "request" or "response"; leave it out to take both')
        statuses = [str(each).lower() for each in self._list(table, "statuses", (str, int))]
        for each in statuses:
            if not re.fullmatch(r"[1-6](?:\d\d|xx)", each):
                self._wrong(
                    "match.statuses", f'{each!r} is neither a code such as 183 nor a class such as "2xx"'
                )
        if statuses and direction == "request":
            self._wrong("match.statuses", "requests have none; leave it or the direction out")
        sources: list[Network] = []
        for each in self._list(table, "sources"):
            try:
                sources.append(ipaddress.ip_network(each))
            except ValueError as error:
                self._wrong("match.sources", f"{error}; write a network such as 192.0.2.0/24")
        return Match(
            frozenset(kinds[each] for each in layers),
            frozenset(each.upper() for each in methods),
            direction,
            frozenset(statuses),
            tuple(sources),
        )

    def _services(
        self, table: Mapping[str, Any], steps: tuple[Step, ...]
    ) -> tuple[frozenset[Service], frozenset[Service]]:
        said: dict[str, set[Service]] = {"required": set(), "allowed": set(), "ignored": set()}
        provided = {service for step in steps for service in self._registry.tools[step.tool].provides}
        for word, value in table.items():
            key = f"services.{word}"
            if not self._known(word, {str(each): each for each in Service}, key):
                continue
            if not isinstance(value, str) or not self._known(value, said, key):
                continue
            service = Service(word)
            said[value].add(service)
            if value == "required" and service not in provided:
                self._wrong(key, "is required, and no step provides it; add one")
            if value == "ignored" and service in provided:
                self._wrong(key, "is ignored, and a step provides it; leave one of them out")
        return frozenset(said["required"]), frozenset(said["ignored"])

    def _list(self, table: Mapping[str, Any], key: str, kinds: tuple[type, ...] = (str,)) -> list[Any]:
        if key not in table:
            return []
        value = table[key]
        if not isinstance(value, list) or not value or not all(type(each) in kinds for each in value):
            self._wrong(f"match.{key}", "must be a list of texts with at least one; leave it out to take all")
            return []
        return value

    def _known(self, word: Any, known: Mapping[str, Any], key: str) -> bool:
        if not isinstance(word, str) or word not in known:
            self._wrong(key, f"{word!r} is none of {', '.join(known)}")
        return word in known

    def _steps(self, tables: Any) -> tuple[Step, ...]:
        if not isinstance(tables, list) or not tables:
            self._wrong("step", "must be given at least once, as [[step]]")
            return ()
        read = [self._step(table, f"step[{index}]") for index, table in enumerate(tables)]
        for index, step in enumerate(read):
            if step is not None:
                self._fed(index, step, [each for each in read[:index] if each is not None])
        steps = tuple(step for step in read if step is not None)
        if steps and not any(Kind.MESSAGE in self._registry.tools[step.tool].takes for step in steps):
            self._wrong("step", "no step rules on the message; end with the tool anti-replay.judge")
        return steps

    def _fed(self, index: int, step: Step, before: list[Step]) -> None:
        """See that what a step needs is there by then."""
        tool = self._registry.tools[step.tool]
        provided = {service for each in before for service in self._registry.tools[each.tool].provides}
        for service in tool.needs - provided:
            self._wrong(
                f"step[{index}].tool",
                f"{step.tool} needs {service}, which no step before it provides; add one",
            )
        if step in before:
            self._wrong(f"step[{index}].tool", f"{step.tool} is there twice with the same parameters")

    def _step(self, table: Any, key: str) -> Step | None:
        if not isinstance(table, dict):
            self._wrong(key, "must be a table, [[step]]")
            return None
        name = self._text(table, "tool", f"{key}.")
        if not name or not self._known(name, self._registry.tools, f"{key}.tool"):
            return None
        tool = self._registry.tools[name]
        parameters = {word: value for word, value in table.items() if word not in ("tool", "on_failure")}
        for word, value in parameters.items():
            wanted = tool.parameters.get(word)
            if wanted is None:
                known = ", ".join(tool.parameters) or "none"
                self._wrong(f"{key}.{word}", f"is no parameter of {name}; it has: {known}")
            elif issubclass(wanted, StrEnum):
                words = {str(each): each for each in wanted}
                if self._known(value, words, f"{key}.{word}"):
                    parameters[word] = words[value]
            elif type(value) is not wanted:
                self._wrong(f"{key}.{word}", f"must be of type {wanted.__name__}")
        failures = table.get("on_failure", {})
        if not isinstance(failures, dict):
            self._wrong(f"{key}.on_failure", 'must be a table such as {bad-signature = "deny"}')
            failures = {}
        names, outcomes = {str(each): each for each in ExceptionName}, {str(each): each for each in Outcome}
        meanings = {}
        for word, outcome in failures.items():
            where = f"{key}.on_failure"
            if self._known(word, names, where) and self._known(outcome, outcomes, where):
                meanings[names[word]] = outcomes[outcome]
        return Step(name, parameters, meanings)
