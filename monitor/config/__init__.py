"""The typed configuration: read once, checked whole, never changed."""

from monitor.config.load import DEFAULT_PATH, load
from monitor.config.model import Config
from monitor.config.problem import ConfigError, Problem
from monitor.config.secret import SecretError, secret_check, site_secret

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Problem",
    "SecretError",
    "load",
    "secret_check",
    "site_secret",
]
