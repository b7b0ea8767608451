"""The one error of this layer."""

from monitor.exceptions import DecodeError


class CmsError(DecodeError):
    """Octets that are no CMS, are ambiguous or unsupported, or hit a limit; or content that does not open."""
