"""The control socket: what operators ask of a running daemon, and what it answers."""
