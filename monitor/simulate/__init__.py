"""SIP conversations and attacks as timed packets, the same for the same seed. Test data only.

Nothing that rules on traffic imports this package; it brings scapy in, and signs and encrypts with
randomness that anyone can repeat.
"""
