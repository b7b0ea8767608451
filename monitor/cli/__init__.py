"""The command line, one file per command: arguments and printing, nothing else."""
