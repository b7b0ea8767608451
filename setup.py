"""Puts the rules beside the code in what is built. Everything else is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRules(build_py):
    """The package, and in it the directory ``rules``, where ``monitor.shipped`` looks for it."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self.copy_tree("rules", str(Path(self.build_lib, "monitor", "rules")))


setup(cmdclass={"build_py": BuildWithRules})
