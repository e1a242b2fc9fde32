"""``python -m tests.stories [--rewrite]``: play all stories; with the flag, write down how they go now, to be read as prose."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.stories.teller import play


def main() -> int:
    """Exit status 1 if a story goes otherwise than it is written down."""
    changed = 0
    for path in sorted(Path(__file__).parent.glob("*.txt")):
        text = path.read_text(encoding="utf-8")
        told = play(text)
        if told != text:
            changed += 1
            print(f"{path.name} goes otherwise now")
            if "--rewrite" in sys.argv[1:]:
                path.write_text(told, encoding="utf-8")
    return 1 if changed and "--rewrite" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
