"""`jobtree status`: how a run stands."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .arguments import Parser, print_json, tree_of

if TYPE_CHECKING:
    from ..views.schema import Status

WATCH_SECONDS = 1.0
#: Characters of a failure's output in --json; all of it with --verbose.
SHORT_OUTPUT = 1000


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or 1 with --fail-if-not-complete unless the run is complete."""
    parser = Parser("status", "Show how a run stands: counts by state and name, failures, workers, blocks.")
    parser.add_tree()
    parser.add_json()
    parser.add_argument("-v", "--verbose", action="store_true", help="show what failed targets printed")
    parser.add_argument("--fail-if-not-complete", action="store_true", help="exit status 1 unless the run is complete")
    parser.add_argument("-w", "--watch", action="store_true", help="show it anew every second until the run has ended")
    given = parser.parse_args(argv)

    from ..views.history import History
    from ..views.schema import State
    from ..views.status import status_of

    history = History(tree_of(given.tree))
    while True:
        history.poll()
        status = status_of(history)
        if given.json:
            _print_json(status, verbose=given.verbose, pretty=not given.watch)
        else:
            _print(status, verbose=given.verbose, anew=given.watch)
        if not given.watch or status.state is not State.RUNNING:
            return 1 if given.fail_if_not_complete and not status.is_complete else 0
        time.sleep(WATCH_SECONDS)


def _print(status: Status, *, verbose: bool, anew: bool) -> None:
    from ..views.status import lines
    from ..views.words import show

    if anew and sys.stdout.isatty():
        print("\x1b[H\x1b[J", end="")  # a clean screen
    show(list(lines(status, verbose=verbose)), sys.stdout)
    if anew and not sys.stdout.isatty():
        print()
    sys.stdout.flush()


def _print_json(status: Status, *, verbose: bool, pretty: bool) -> None:
    from ..views.schema import to_json

    if not verbose:
        status = replace(status, failures=tuple(replace(one, output=one.output[-SHORT_OUTPUT:]) for one in status.failures))
    print_json(to_json(status), pretty=pretty)
    sys.stdout.flush()
