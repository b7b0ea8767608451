"""The files that come with the project: beside the package in a checkout, inside it when installed."""

from pathlib import Path


def shipped(*parts: str) -> Path:
    """The path of a file or directory below ``rules``."""
    package = Path(__file__).resolve().parent
    installed = package / "rules"
    return (installed if installed.is_dir() else package.parent / "rules").joinpath(*parts)
