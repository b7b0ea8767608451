"""What is used once, what is known of it, and the judge. Pure values and functions."""
