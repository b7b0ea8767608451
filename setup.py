"""Puts rules and units beside the code in what is built. Everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithFiles(build_py):
    """The package, and in it the directories that ``monitor.shipped`` looks for."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("rules", "systemd", "docs/man"):
                self.copy_tree(name, str(Path(self.build_lib, "monitor", name)))


setup(cmdclass={"build_py": BuildWithFiles})
