"""SIP octets to messages, entities, session descriptions and key material. No state but stream framing."""
