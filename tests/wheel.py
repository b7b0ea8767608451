"""The package as it is installed elsewhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path, version: str | None = None) -> Path:
    """The package as a wheel, under another version if one is given.

    Where nothing can be built, the environment names one in WHEEL.
    """
    if version is None and "WHEEL" in os.environ:
        return Path(os.environ["WHEEL"])
    source = folder / "source"
    for part in ("monitor", "rules", "systemd", "docs/man"):
        shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, source)
    if version is not None:
        project = source / "pyproject.toml"
        lines = project.read_text().splitlines()
        project.write_text(
            "\n".join(f'version = "{version}"' if line.startswith("version = ") else line for line in lines)
        )
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps"]
    options = ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run([*command, *options], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
