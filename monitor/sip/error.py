"""The one error of this layer."""

from monitor.exceptions import DecodeError


class SipError(DecodeError):
    """SIP, MIME, SDP or SDES octets that cannot be read, or not for sure."""
