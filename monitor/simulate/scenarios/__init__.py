"""The scenarios, a file for each kind; a function's docstring is its story.

The policies say which machines are trusted; where none is given the default policy holds.
"""

from monitor.simulate.scenarios import (
    calls,
    changes,
    disguises,
    findings,
    media,
    paper,
    paths,
    replays,
    sealed,
    tricks,
)
from monitor.simulate.stage import Recipe

FILES = (calls, changes, sealed, paths, paper, replays, disguises, tricks, findings, media)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for file in FILES for recipe in file.REPERTOIRE.recipes}
"""All scenarios by name, in the order in which they are told."""
