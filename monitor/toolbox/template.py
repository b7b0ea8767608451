"""Templates: which tools a kind of message passes, with what parameters, and what a failure means.

A template is a TOML file. ``docs/toolbox.md`` tells how to write one.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monitor.exceptions import ExceptionName, Outcome
from monitor.toml_lines import key_lines, line_of
from monitor.toolbox.layer import Kind
from monitor.toolbox.registry import Registry


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

    def takes(self, kinds: frozenset[Kind], method: str) -> bool:
        """Whether a message with these layers and this method is taken."""
        return (not self.layers or kinds <= self.layers) and (not self.methods or method in self.methods)


@dataclass(frozen=True, slots=True)
class Template:
    """One template."""

    name: str
    order: int
    """The template with the lowest order that takes a message is its template."""
    match: Match
    steps: tuple[Step, ...]
    about: str = ""


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
        self._unknown(document, {"name", "about", "order", "match", "step"}, "")
        name = self._text(document, "name", "")
        about = self._text(document, "about", "", required=False)
        order = document.get("order", 100)
        if not isinstance(order, int) or isinstance(order, bool):
            self._wrong("order", "must be a whole number")
            order = 0
        match = self._match(document.get("match", {}))
        steps = self._steps(document.get("step", []))
        if len(self._problems) > self._count:
            return None
        return Template(name, order, match, steps, about)

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

    def _match(self, table: Any) -> Match:
        if not isinstance(table, dict):
            self._wrong("match", "must be a table, [match]")
            return Match()
        self._unknown(table, {"layers", "methods"}, "match.")
        kinds = {kind.value: kind for kind in Kind if kind is not Kind.MESSAGE}
        layers = [each for each in self._list(table, "layers") if self._known(each, kinds, "match.layers")]
        methods = self._list(table, "methods")
        return Match(frozenset(kinds[each] for each in layers), frozenset(each.upper() for each in methods))

    def _list(self, table: Mapping[str, Any], key: str) -> list[str]:
        if key not in table:
            return []
        value = table[key]
        if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
            self._wrong(f"match.{key}", "must be a list of texts with at least one; leave it out to take all")
            return []
        return value

    def _known(self, word: str, known: Mapping[str, Any], key: str) -> bool:
        if word not in known:
            self._wrong(key, f"{word!r} is none of {', '.join(known)}")
        return word in known

    def _steps(self, tables: Any) -> tuple[Step, ...]:
        if not isinstance(tables, list) or not tables:
            self._wrong("step", "must be given at least once, as [[step]]")
            return ()
        steps = []
        for index, table in enumerate(tables):
            step = self._step(table, f"step[{index}]")
            if step is not None:
                steps.append(step)
        taken = {kind for step in steps for kind in self._registry.tools[step.tool].takes}
        if steps and Kind.MESSAGE not in taken:
            self._wrong("step", "no step rules on the message; end with the tool anti-replay.judge")
        return tuple(steps)

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
