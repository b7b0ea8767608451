"""What is wrong with a configuration, told with its place."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong, as ``FILE:LINE: KEY: TEXT``."""

    file: Path
    line: int
    """1-based; 0 where the file as a whole is meant."""
    key: str
    """Dotted path, empty where no key is meant."""
    text: str
    """What is wrong, and the mend."""

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}{line}: {key}{self.text}"


class ConfigError(Exception):
    """A configuration that cannot be used: all that is wrong with it at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))
