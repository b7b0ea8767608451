"""What comes with the package: its version, and files, beside it in a checkout, inside it when installed."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def shipped(*parts: str) -> Path:
    """The path of a file or directory below ``rules``."""
    package = Path(__file__).resolve().parent
    installed = package / "rules"
    return (installed if installed.is_dir() else package.parent / "rules").joinpath(*parts)


@cache
def program_version() -> str:
    """The version that is installed."""
    try:
        return version("sip-replay-monitor")
    except PackageNotFoundError:
        return "unknown"
