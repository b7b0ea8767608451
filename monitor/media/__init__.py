"""Media that keys protect: which SRTP packets of a capture repeat a keystream (RFC 3711)."""
