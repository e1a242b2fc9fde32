"""How the verbs that change a run show what was answered."""

from __future__ import annotations

import sys
from typing import Any

from .arguments import print_json


def show_choice(answer: dict[str, Any], verb: str, *, as_json: bool) -> int:
    """Which targets were meant, and why others were not; exit status 1 if there are none."""
    targets, refused = answer["targets"], answer["refused"]
    if as_json:
        print_json({"schema": 1, "live": answer["live"], "targets": targets, "refused": dict(refused)})
        return 0 if targets else 1
    for target, words in refused:
        print(f"{target}: {words}", file=sys.stderr)
    count = len(targets)
    print(f"{count:,} {'target' if count == 1 else 'targets'} {verb}", file=sys.stderr)
    return 0 if targets else 1
