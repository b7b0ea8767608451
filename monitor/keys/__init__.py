"""Keys and certificates of the trusted part: loading, pairing, and the work that needs a private key."""
