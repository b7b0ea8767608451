"""Fuzzes each layer with atheris (libFuzzer): ``fuzz.py [--runs N] [TARGET ...]``.

What grows of the inputs stays in .fuzz/TARGET, so that the next run goes on from there. An input that makes
something escape stays in .fuzz/found; keep it in tests/fuzz/cases/TARGET once it is mended.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".fuzz"
RUNS = 1_000_000
SECONDS = 20
"""That one input may take."""
MEMORY = 2048
"""Mebibytes that a target may grow to."""

sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def fuzz(target: str, options: list[str]) -> None:
    """Fuzz one target in this process; it does not return."""
    import atheris

    with atheris.instrument_imports(include=["monitor"]):
        import fuzz_targets
        from fuzz_seeds import MOST, dictionary, seeds

    corpus, found = PLACE / target, PLACE / "found"
    for folder in (corpus, found):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words = PLACE / "words"
    words.write_text(dictionary())
    arguments = [f"-dict={words}", f"-artifact_prefix={found / target}-", f"-max_len={MOST}", "-verbosity=1"]
    arguments += [f"-timeout={SECONDS}", f"-rss_limit_mb={MEMORY}", *options, str(corpus)]
    atheris.Setup([target, *arguments], fuzz_targets.TARGETS[target], internal_libfuzzer=True)
    atheris.Fuzz()


def main() -> int:
    """Fuzz the targets in turn, each in a process of its own; 1 where one of them let something escape."""
    if sys.argv[1:2] == ["--in-process"]:
        # Here nothing of the package may have been imported before it is instrumented.
        fuzz(sys.argv[2], sys.argv[3:])
    from fuzz_targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help=f"executions of each target ({RUNS:,})")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    options = parser.parse_args()
    unknown = set(options.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    escaped = []
    for target in options.targets or TARGETS:
        print(f"== {target}", flush=True)
        command = [sys.executable, __file__, "--in-process", target, f"-runs={options.runs}"]
        if subprocess.run(command, check=False).returncode:
            escaped.append(target)
    if escaped:
        print(f"Something escaped: {', '.join(escaped)}. The inputs are in {PLACE / 'found'}.")
    return bool(escaped)


if __name__ == "__main__":
    sys.exit(main())
