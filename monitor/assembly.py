"""Puts a pipeline together from its parts: the same for the daemon, for captures and for tests."""

from dataclasses import replace
from pathlib import Path

from monitor.antireplay.fingerprint import Fingerprinter
from monitor.antireplay.sad import AssociationDatabase
from monitor.antireplay.table import Store
from monitor.exhibit import Keep
from monitor.keys.directory import Directory
from monitor.keys.trust import TrustStore
from monitor.pipeline import Pipeline, Policies
from monitor.shipped import shipped
from monitor.toolbox.engine import Engine
from monitor.toolbox.registry import registry
from monitor.toolbox.template import load_templates
from monitor.toolbox.tool import Databases
from monitor.wire.frame import NANOSECONDS

YEAR = 366 * 86400 * NANOSECONDS
"""How long associations are kept unless a certificate or the configuration says otherwise (nanoseconds)."""
REPLAY_SECRET = b"captures are ruled on without a site"
"""Stands in for the site secret where there is none, so that two runs over a capture say the same."""


def assemble(
    *,
    store: Store,
    secret: bytes,
    policies: Policies,
    directory: Directory | None = None,
    trust: TrustStore | None = None,
    templates: Path | None = None,
    retention: int = YEAR,
    evidence: Keep | None = None,
    hashes: Fingerprinter | None = None,
) -> Pipeline:
    """A pipeline.

    :param directory: which recipients' keys the keyholder has.
    :param templates: directory of the templates; those that come with the project where it is None.
    :param retention: nanoseconds that a record is kept after its last message.
    :param evidence: which messages are kept as evidence; None: nobody keeps any.
    :param hashes: takes the place of a fingerprinter under the secret.
    :raises TemplateError: the templates cannot be used.
    :raises RegistryError: an installed tool cannot be used.
    """
    hashes = hashes or Fingerprinter(secret)
    databases = Databases(
        AssociationDatabase(store, hashes, retention), hashes, directory or Directory(), trust, evidence
    )
    return Pipeline(_engine(templates, databases), databases, policies)


def reassemble(
    pipeline: Pipeline,
    *,
    policies: Policies,
    trust: TrustStore | None = None,
    templates: Path | None = None,
    evidence: Keep | None = None,
) -> None:
    """Have a pipeline rule by other policies, templates and trust; for the parameters see ``assemble``.

    :raises TemplateError: the templates cannot be used; nothing has changed.
    :raises RegistryError: an installed tool cannot be used; nothing has changed.
    """
    databases = replace(pipeline.databases, trust=trust, evidence=evidence)
    pipeline.reconfigure(_engine(templates, databases), policies)


def _engine(templates: Path | None, databases: Databases) -> Engine:
    tools = registry()
    return Engine(load_templates(templates or shipped("templates"), tools), tools, databases)
