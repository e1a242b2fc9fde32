"""`jobtree scale`: other numbers of workers for a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..errors import UsageError
from .arguments import Parser, print_json, tree_of


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("scale", "Let a running master have another number of workers.")
    parser.usage = "jobtree scale TREE N|MIN:MAX"
    parser.add_argument("tree", metavar="TREE", help="directory of the run")
    parser.add_argument("workers", metavar="N|MIN:MAX", help="how many workers")
    parser.add_json()
    given = parser.parse_args(argv)

    from .._control import ask

    least, most = _numbers(given.workers)
    answer = ask(tree_of(given.tree), "scale", least=least, most=most)
    if given.json:
        print_json({"schema": 1, **{key: value for key, value in answer.items() if key != "live"}})
    else:
        print(f"up to {answer['workers']} workers, {answer['before']} before", file=sys.stderr)
    return 0


def _numbers(word: str) -> tuple[int | None, int]:
    """The least, where that is said, and the most."""
    first, colon, second = word.partition(":")
    try:
        least, most = (int(first or 0), int(second)) if colon else (None, int(first))
    except ValueError:
        raise UsageError(f"{word!r} is no number of workers; give N or MIN:MAX") from None
    if most < 1 or (least is not None and not 0 <= least <= most):
        raise UsageError(f"{word!r}: the most must be one at least, and not less than the least")
    return least, most
