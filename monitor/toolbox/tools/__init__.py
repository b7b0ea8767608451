"""The tools, one family a file."""
