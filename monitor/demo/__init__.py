"""The demonstration: the replay attack and its denial, on real packets or from a capture."""
