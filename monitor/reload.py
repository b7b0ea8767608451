"""A reload: what a running daemon takes from its configuration anew."""

import logging
from collections.abc import Callable, Mapping

from monitor.assembly import reassemble
from monitor.config.model import Config, tables
from monitor.keys.trust import TrustStore
from monitor.observe import log as logs
from monitor.pipeline import Pipeline

log = logging.getLogger("monitor")

TAKEN: Mapping[str, frozenset[str]] = {"keys": frozenset({"trust"}), "evidence": frozenset({"keep"})}
"""By table: the keys that are taken anew, where others of the table are not."""
TAKEN_WHOLE = frozenset({"policy", "templates", "log"})


class Reloader:
    """Takes policies, templates, trust, what is kept as evidence and the log's settings from the file anew.

    :param read: reads the configuration.
    :param started: that which the daemon was started with.
    :param describe: told the configuration that is in force now.
    """

    def __init__(
        self,
        read: Callable[[], Config],
        started: Config,
        pipeline: Pipeline,
        describe: Callable[[Config], None],
    ) -> None:
        self._read = read
        self._started = started
        self._pipeline = pipeline
        self._describe = describe

    def __call__(self) -> None:
        """Reload; whatever it raises, all is as before.

        :raises ConfigError, KeyStoreError, TemplateError, RegistryError: what is wrong.
        """
        config = self._read()
        trust = TrustStore.load(config.keys.trust) if config.keys.trust else None
        reassemble(
            self._pipeline,
            policies=config.policies,
            trust=trust,
            templates=config.templates.directory,
            evidence=config.evidence.keep if self._started.evidence.directory else None,
        )
        logs.configure(config.log.level, config.log.format)
        self._describe(config)
        for name in tables(Config):
            if name not in TAKEN_WHOLE and self._told(config, name) != self._told(self._started, name):
                log.warning("[%s] has changed: that takes a new start of the daemon", name)
        templates = ", ".join(template.name for template in self._pipeline.templates)
        log.info(
            "reloaded: policies %s, templates %s",
            ", ".join(policy.name for _, policy in config.policies.entries) or "none but the default",
            templates,
        )

    @staticmethod
    def _told(config: Config, table: str) -> dict[str, object]:
        """What the configuration says that is not taken anew."""
        return {name: value for name, value in getattr(config, table) if name not in TAKEN.get(table, ())}
