"""What a ruling does to its packets."""
