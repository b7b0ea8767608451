"""The ASN.1 of CMS (RFC 5652, 5083, 3274) in DER and BER, and nothing else: no keys, no ciphers."""
