"""What comes with the package: its version, and files, beside it in a checkout, inside it when installed."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def shipped(*parts: str) -> Path:
    """The path of a file or directory below ``rules``."""
    return _home("rules").joinpath(*parts)


def units() -> Path:
    """The directory of the units for systemd and what goes with them."""
    return _home("systemd")


def manual() -> Path:
    """The directory of the manual pages."""
    return _home("docs/man")


def _home(name: str) -> Path:
    package = Path(__file__).resolve().parent
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


def program_version() -> str:
    """The version that is installed."""
    try:
        return version("sip-replay-monitor")
    except PackageNotFoundError:
        return "unknown"
