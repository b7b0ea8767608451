"""The one error of this layer."""


class KeyStoreError(Exception):
    """Keys or certificates that cannot be loaded. One line: the file, what is wrong, the mend."""
