"""Write docs/conformance.md from what the rows of the matrix are observed to be."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main() -> int:
    """0 where it was written and every row is what it must be."""
    from matrix import observed, render
    from rows import missing, sections

    if reason := missing():
        print(f"the matrix cannot be made whole: {reason}", file=sys.stderr)
        return 2
    wrong = [row for section in sections() for row in section.rows if observed(row) != row.expected]
    for row in wrong:
        print(f"{row.name}: {observed(row)}, where it must be {row.expected}", file=sys.stderr)
    if not wrong:
        (ROOT / "docs" / "conformance.md").write_text(render(sections()))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
