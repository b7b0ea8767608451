"""Read a configuration file and the policy files that it names; every problem is told, not the first."""

import difflib
import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.document import Document, read_document
from monitor.config.model import Config, PolicyFile, PolicyTable, Table, tables
from monitor.config.problem import ConfigError, Problem
from monitor.config.selector import PolicyList
from monitor.exceptions import ExceptionName
from monitor.toml_lines import KeyPath
from monitor.wire import address

DEFAULT_PATH = Path("/etc/replay-monitor/replay-monitor.toml")
POLICY_FILES = 1000
"""Most policy files."""

T = TypeVar("T", bound=Table)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with the texts that it came from."""

    config: Config
    document: Document
    policies: tuple[tuple[Document, PolicyFile], ...]
    """In the order in which they are asked."""


def load(path: Path) -> Config:
    """The configuration of the file ``path``.

    :raises ConfigError: something is wrong with it, or with a policy file that it names.
    """
    return load_with_sources(path).config


def load_daemons(path: Path | None) -> Config:
    """The configuration that the daemon runs with: ``path``, else the usual file, else the defaults.

    :raises ConfigError: it cannot be read, or something in it is wrong.
    """
    if path is None and not DEFAULT_PATH.exists():
        return Config()
    return load(path or DEFAULT_PATH)


def load_with_sources(path: Path) -> Loaded:
    """As ``load``, with the texts.

    :raises ConfigError: as ``load``.
    """
    document = read_document(path)
    config, problems = _validated(document, Config)
    files, more = _policy_files(document)
    problems += more
    policies: list[tuple[Document, PolicyFile]] = []
    for file in files:
        try:
            source = read_document(file)
        except ConfigError as error:
            problems += error.problems
            continue
        policy, more = _validated(source, PolicyFile)
        problems += more
        if policy is not None:
            policies.append((source, policy))
    if config is not None:
        problems += _both_relay_and_b2bua(document, config.policy)
        for source, policy in policies:
            problems += _both_relay_and_b2bua(source, policy.policy.over(config.policy))
    problems += _never_reached(policies)
    if problems or config is None:
        raise ConfigError(problems)
    entries = tuple(
        (policy.match.selector(), policy.policy.over(config.policy).policy(source.path.stem))
        for source, policy in policies
    )
    config = config.with_policies(PolicyList(config.policy.policy("default"), entries))
    return Loaded(config, document, tuple(policies))


def _policy_files(document: Document) -> tuple[list[Path], list[Problem]]:
    """The policy files in order, whatever else is wrong with the configuration."""
    pattern = document.values.get("policies")
    if not isinstance(pattern, str):
        return [], []
    place = document.path.parent / pattern
    if place.is_dir():
        files = sorted(place.glob("*.toml"))
    else:
        files = sorted(map(Path, glob.glob(str(place))), key=lambda file: file.name)  # noqa: PTH207
        if not files:
            return [], [document.problem(("policies",), f'"{pattern}" is no directory, and no file fits it')]
    if len(files) > POLICY_FILES:
        return [], [document.problem(("policies",), f"names more than {POLICY_FILES} files")]
    return files, []


def _both_relay_and_b2bua(document: Document, policy: PolicyTable) -> list[Problem]:
    said = document.values.get("policy", {})
    key = "b2bua" if "b2bua" in said else "relays"
    return [
        document.problem(
            ("policy", key),
            f"{address.text(both)} is a relay and a B2BUA at once (a B2BUA makes calls of its own: keep"
            f" it there,"
            " and take it out of relays)",
        )
        for both in sorted(policy.relays & policy.b2bua)
        if key in said
    ]


def _never_reached(policies: Sequence[tuple[Document, PolicyFile]]) -> list[Problem]:
    problems = []
    for index, (document, policy) in enumerate(policies):
        for before, other in policies[:index]:
            if other.match.selector().covers(policy.match.selector()):
                text = (
                    f"is never reached: {before.path.name} before it takes all that this takes (rename one)"
                )
                problems.append(document.problem(("match",), text))
                break
    return problems


def _validated(document: Document, model: type[T]) -> tuple[T | None, list[Problem]]:
    try:
        context = {"directory": document.path.parent}
        return model.model_validate(document.values, context=context), []
    except ValidationError as error:
        return None, [_problem(document, model, details) for details in error.errors()]


def _problem(document: Document, model: type[Table], details: ErrorDetails) -> Problem:
    path: KeyPath = details["loc"]
    if path[-1] == "[key]" and details["type"] != "extra_forbidden":
        # It is the key itself that is wrong, says pydantic.
        path = path[:-1]
    return document.problem(path, _text(model, path, details))


def _text(model: type[Table], path: KeyPath, details: ErrorDetails) -> str:
    """What is wrong, in our words: pydantic's speak of Python types."""
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "value_error":
            return str(context["error"])
        case "extra_forbidden":
            return f"is no key that is known{_meant(model, path)}"
        case "enum" if "exceptions" in path and details["loc"][-1] == "[key]":
            return f"is no exception{_nearest(str(path[-1]), [str(name) for name in ExceptionName])}"
        case "enum" | "literal_error":
            return f"must be {context['expected']}, is {_toml(details['input'])}"
        case "greater_than_equal" | "less_than_equal":
            bound = f"{context['ge']} or more" if "ge" in context else f"{context['le']} or less"
            return f"must be {bound}, is {_toml(details['input'])}"
    wanted = _WANTED.get(kind)
    return f"must be {wanted}, is {_toml(details['input'])}" if wanted else details["msg"]


_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "string_type": "text in quotes",
    "frozen_set_type": 'a list, as in ["192.0.2.10"]',
    "tuple_type": "a list",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "mapping_type": "a table",
    "dict_type": "a table",
}


def _toml(value: object) -> str:
    """A value as it was written, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _meant(model: type[Table], path: KeyPath) -> str:
    """The key that was meant, if one can be told: one of this table, else the same key of another."""
    name = str(path[-1])
    table: type[BaseModel] = model
    for part in path[:-1]:
        table = tables(table).get(str(part), table)
    home = next((key for key, other in tables(model).items() if name in _names(other)), None)
    return f" here (it belongs under [{home}])" if home else _nearest(name, _names(table))


def _names(table: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in table.model_fields.items()]


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name.replace("_", "-") if "-" in "".join(known) else name, known, 1)
    return f' (did you mean "{near[0]}"?)' if near else ""
