"""``replay-monitor`` and ``python -m monitor``: find the command's file and call it."""

import argparse
import importlib
import sys

COMMANDS = {
    "run": "the daemon: rule on the packets of a netfilter queue",
    "replay": "rule on captures",
    "demo": "the replay attack, live, in network namespaces of its own",
    "simulate": "write captures of legitimate calls and of attacks",
    "rules": "show, apply or remove the kernel rules that feed the queue",
    "blocked": "list or clear the sources that the kernel blocks",
    "status": "how the running daemon is doing, once or live",
    "alerts": "its latest denials, alerts and exceptions",
    "associations": "list, show, forget or prune what is known of keys and envelopes",
    "evidence": "list, export or verify the messages kept as evidence",
    "install": "make this a service of the machine: units, configuration, user",
    "uninstall": "undo that",
    "check-config": "check a configuration file and all that it names",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; the exit status is the command's, 2 for bad usage or bad input."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="replay-monitor",
        description="Denies replayed SDES and S/MIME key material in SIP.",
        epilog="'replay-monitor COMMAND --help' tells more of each.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            module = importlib.import_module(f"monitor.cli.{name.replace('-', '_')}")
            module.arguments(sub)
            sub.set_defaults(main=module.main)
    options = parser.parse_args(arguments)
    try:
        return int(options.main(options))
    except BrokenPipeError:
        sys.stderr.close()
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
