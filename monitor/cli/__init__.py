"""The command line, one file per command: arguments and printing, nothing else.

Each file has ``arguments(parser)`` and ``main(options) -> int``. Files are imported
when their command is called, so that a start pays only for what it uses.
"""
