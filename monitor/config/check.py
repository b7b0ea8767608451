"""A configuration checked with all that it names: files, modes, settings that work against each other."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from monitor import private_file
from monitor.antireplay.table import StoreError
from monitor.config.document import Document
from monitor.config.load import Loaded, load_with_sources
from monitor.config.model import Config, PolicyTable
from monitor.config.problem import ConfigError
from monitor.config.secret import SecretError, existing_secret, secret_check
from monitor.exceptions import ExceptionName, Outcome
from monitor.private_file import PrivateFileError
from monitor.store.location import open_store, sqlite_path
from monitor.toml_lines import KeyPath

KEY_FILES = 10_000
"""Most files of a directory of keys that are looked at."""
KEY_SIZE = 1 << 20
"""Most octets of one that are."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found, as lines to print."""

    config: Config | None
    """None where it cannot be read as a configuration."""
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    """What can be run and is likely not meant."""


def check(path: Path) -> Checked:
    """Check the configuration file ``path`` and all that it names; nothing is made or changed."""
    try:
        loaded = load_with_sources(path)
    except ConfigError as error:
        return Checked(None, tuple(map(str, error.problems)), ())
    problems = [*_files(loaded), *_secret_and_store(loaded), *_evidence(loaded), *_templates(loaded)]
    return Checked(loaded.config, tuple(problems), tuple(_warnings(loaded)))


def _files(loaded: Loaded) -> Iterator[str]:
    """What is missing among the files that the configuration names itself, and what others could change."""
    config, document = loaded.config, loaded.document
    for source in (document, *(source for source, _ in loaded.policies)):
        if source.path.stat().st_mode & stat.S_IWOTH:
            yield str(source.problem((), f"anyone can write to it (chmod o-w {source.path})"))
    if config.keys.directory is not None:
        yield from _keys(document, config.keys.directory)
    if config.keys.trust is not None and not config.keys.trust.exists():
        yield str(document.problem(("keys", "trust"), f"{config.keys.trust} does not exist"))
    homes: list[tuple[KeyPath, Path]] = [(("secret", "file"), config.secret.file)]
    if config.events.file is not None:
        homes.append((("events", "file"), config.events.file))
    if config.evidence.directory is not None:
        homes.append((("evidence", "directory"), config.evidence.directory))
        homes.append((("evidence", "key"), config.evidence.key))
    if config.store.url.startswith("sqlite:"):
        homes.append((("store", "url"), sqlite_path(config.store.url)))
    for key, file in homes:
        if key in document.lines and not file.parent.is_dir():
            yield str(document.problem(key, f"there is no directory {file.parent} (make it)"))


def _keys(document: Document, directory: Path) -> Iterator[str]:
    place = ("keys", "directory")
    if not directory.is_dir():
        yield str(document.problem(place, f"{directory} is no directory"))
        return
    try:
        for _, file in zip(range(KEY_FILES), sorted(directory.iterdir()), strict=False):
            if file.is_file() and file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                with file.open("rb") as octets:
                    private = b"PRIVATE KEY-----" in octets.read(KEY_SIZE)
                if private:
                    text = f"{file} holds a private key that anyone can read or change (chmod o-rw {file})"
                    yield str(document.problem(place, text))
    except OSError as error:
        yield str(document.problem(place, f"{error.filename}: {error.strerror}"))


def _secret_and_store(loaded: Loaded) -> Iterator[str]:
    config, document = loaded.config, loaded.document
    url = config.store.url
    if not url.startswith(("sqlite:", "memory:")) and find_spec("redis") is None:
        text = "needs the Python package redis (pip install 'sip-replay-monitor[redis]')"
        yield str(document.problem(("store", "url"), text))
    try:
        secret = existing_secret(config.secret.file)
    except SecretError as error:
        yield str(document.problem(("secret", "file"), str(error)))
        return
    if not url.startswith("sqlite:") or not sqlite_path(url).exists():
        return
    if secret is None:
        text = (
            f"{config.secret.file} does not exist, though {sqlite_path(url)} was made with one (put it back)"
        )
        yield str(document.problem(("secret", "file"), text))
        return
    try:
        open_store(url, secret_check=secret_check(secret), readonly=True).close()
    except StoreError as error:
        yield str(document.problem(("store", "url"), str(error)))


def _evidence(loaded: Loaded) -> Iterator[str]:
    evidence = loaded.config.evidence
    if evidence.directory is None:
        return
    try:
        private_file.read(evidence.key, KEY_SIZE)
    except FileNotFoundError:
        pass
    except PrivateFileError as error:
        yield str(loaded.document.problem(("evidence", "key"), str(error)))


def _templates(loaded: Loaded) -> Iterator[str]:
    directory = loaded.config.templates.directory
    if directory is None:
        return
    if not directory.is_dir():
        yield str(loaded.document.problem(("templates", "directory"), f"{directory} is no directory"))
        return
    # Here, so that only a configuration that names templates has the toolbox loaded.
    from monitor.toolbox.registry import RegistryError, registry
    from monitor.toolbox.template import TemplateError, load_templates

    try:
        load_templates(directory, registry())
    except TemplateError as error:
        yield from error.problems
    except RegistryError as error:
        yield str(loaded.document.problem(("templates",), str(error)))


def _warnings(loaded: Loaded) -> Iterator[str]:
    config, document = loaded.config, loaded.document
    if config.store.url.startswith("memory:"):
        yield _warning(
            document, ("store", "url"), "memory: forgets all that was accepted when the daemon ends"
        )
    yield from _weak(document, config, config.policy)
    for source, policy in loaded.policies:
        yield from _weak(source, config, policy.policy.over(config.policy))
    for index, (source, policy) in enumerate(loaded.policies):
        selector = policy.match.selector()
        for before, other in loaded.policies[:index]:
            for network in selector.source:
                if other.match.selector().covers(replace(selector, source=(network,))):
                    text = f"{network} is never reached: {before.path.name} before it takes it"
                    yield _warning(source, ("match", "source"), text)


def _weak(document: Document, config: Config, policy: PolicyTable) -> Iterator[str]:
    """Settings of a policy that undo each other or what the monitor is for; told where they are written."""
    exceptions = policy.exceptions
    if exceptions.get(ExceptionName.UNDECRYPTABLE) is Outcome.DENY and config.keys.directory is not None:
        yield from _said(
            document,
            ("policy", "exceptions", "undecryptable"),
            "while keys are held, a verdict must not show which envelopes they open",
        )
    if exceptions.get(ExceptionName.STORE_UNAVAILABLE, Outcome.DENY) is not Outcome.DENY:
        yield from _said(
            document, ("policy", "exceptions", "store-unavailable"), "replays pass while the store is away"
        )
    if policy.moves and policy.originator == "deny":
        key = "moves" if ("policy", "moves") in document.lines else "originator"
        yield from _said(document, ("policy", key), 'originator = "deny" denies what moves = true lets pass')


def _said(document: Document, path: KeyPath, text: str) -> Iterator[str]:
    if path in document.lines:
        yield _warning(document, path, text)


def _warning(document: Document, path: KeyPath, text: str) -> str:
    return str(document.problem(path, f"warning: {text}"))
