"""The tables of ``docs/configuration.md``, made from the configuration's own descriptions and defaults.

``python -m monitor.config.reference docs/configuration.md`` writes them anew below the marker in that file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from monitor.antireplay.policy import DEFAULT_OUTCOMES
from monitor.config.model import Config, MatchTable, tables
from monitor.config.quantity import duration_text, parse_duration, parse_retention
from monitor.exceptions import ExceptionName

MARKER = "<!-- made by python -m monitor.config.reference; edit monitor/config/model.py instead -->\n"
MEANINGS = {
    ExceptionName.MALFORMED: "Looks like SIP and cannot be read.",
    ExceptionName.AMBIGUOUS: "Has two readings: double `Content-Length`, fragments that disagree …",
    ExceptionName.TRUNCATED: "Fewer octets were captured than the packet had.",
    ExceptionName.LIMIT: "A limit on what is kept or looked at was hit.",
    ExceptionName.UNSUPPORTED: "A coding or a kind of envelope that cannot be opened.",
    ExceptionName.UNDECRYPTABLE: "An envelope for nobody whose key is held. It is known again all the same.",
    ExceptionName.BAD_SIGNATURE: "A signature that does not fit what it signs.",
    ExceptionName.UNTRUSTED_SIGNER: "A signer whom no trusted authority vouches for.",
    ExceptionName.IDENTITY_MISMATCH: "A signer's certificate that does not name the sender.",
    ExceptionName.NOT_FRESH: "A signed time too far from the packet's; only where a template asks for it.",
    ExceptionName.SERVICE_MISSING: "A key without a security service that the template requires.",
    ExceptionName.REFUSED: "A rule of a further tool, which somebody installed, is broken.",
    ExceptionName.STORE_UNAVAILABLE: "The store does not answer, so that a replay cannot be told.",
    ExceptionName.OVERLOAD: "More waits than can be judged; only messages that bear keys are meant.",
}


def reference() -> str:
    """All keys with their defaults and meanings, in Markdown."""
    parts = [f"## Before the first table\n\n{_rows(_keys(Config))}"]
    for name, table in tables(Config).items():
        parts.append(f"## `[{name}]`\n\n{table.__doc__}\n\n{_rows(_keys(table))}")
        if name == "policy":
            match = f"{MatchTable.__doc__}\n\n{_rows(_keys(MatchTable))}"
            parts.append(f"### `[policy.exceptions]`\n\n{_rows(_exceptions())}")
            parts.append(f"### `[match]`, in policy files only\n\n{match}")
    return "\n".join(parts)


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Name, default and meaning of each key of a table, and of the inline tables in it."""
    inner = tables(model)
    for name, field in model.model_fields.items():
        if name not in inner and name != "exceptions":
            yield f"{prefix}{field.alias or name}", default_text(field), field.description or ""
        elif model is not Config and name in inner:
            yield from _keys(inner[name], f"{prefix}{name}.")


def default_text(field: FieldInfo) -> str:
    """The default as TOML; empty where leaving the key out is the only way to have it."""
    value: Any = field.get_default(call_default_factory=True)
    readers = [getattr(item, "func", None) for item in field.metadata]
    if parse_retention in readers and value is None:
        return '"certificate"'
    if parse_duration in readers:
        return f'"{duration_text(value)}"'
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset | tuple):
        return f"[{', '.join(map(str, value))}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _exceptions() -> Iterator[tuple[str, str, str]]:
    for name, outcome in DEFAULT_OUTCOMES.items():
        yield str(name), f'"{outcome}"', MEANINGS.get(name, "")


def _rows(keys: Iterator[tuple[str, str, str]]) -> str:
    lines = ["| key | default | meaning |", "| --- | --- | --- |"]
    for name, default, meaning in keys:
        lines.append(f"| `{name}` | {f'`{default}`' if default else 'not set'} | {meaning} |")
    return "\n".join(lines) + "\n"


def main(file: Path) -> None:
    """Write the tables anew below the marker of ``file``."""
    before, marker, _ = file.read_text().partition(MARKER)
    if not marker:
        raise SystemExit(f"{file}: has no line {MARKER.strip()}")
    file.write_text(f"{before}{MARKER}\n{reference()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
