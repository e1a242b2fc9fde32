"""`jobtree attach`: the console of a detached run."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .arguments import Parser, tree_of

#: Bytes of what was said before that are shown first.
BEFORE = 8192
#: Seconds between two looks at the console.
LOOK_EVERY = 0.2


def main(argv: Sequence[str]) -> int:
    """The exit status of the run: 0 complete, 1 failed or stopped. ^C leaves the run alone."""
    parser = Parser("attach", "Show the console of a detached run until it ends. ^C leaves the run alone.")
    parser.add_tree()
    given = parser.parse_args(argv)

    from .._control import has_master
    from .._detach import CONSOLE

    tree = tree_of(given.tree)
    path = Path(tree, CONSOLE)
    if not path.exists():
        raise UsageError(f"{tree} was not begun with --detach; jobtree top {tree} shows a run, jobtree logs -f its targets")
    with path.open("rb") as console:
        size = os.fstat(console.fileno()).st_size
        if size > BEFORE:
            console.seek(size - BEFORE)
            console.readline()  # the rest of a line
        while True:
            alive = has_master(tree)
            while piece := console.read(65536):
                sys.stdout.buffer.write(piece)
                sys.stdout.flush()
            if not alive:
                break
            time.sleep(LOOK_EVERY)
    return _status(tree)


def _status(tree: str) -> int:
    from ..views.history import History
    from ..views.status import status_of

    history = History(tree)
    history.poll()
    return 0 if status_of(history).is_complete else 1
