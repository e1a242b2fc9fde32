"""`jobtree ps`: my runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import JobtreeError
from .arguments import Parser, print_json


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("ps", "List my runs: how they stand, where their masters are, and what they have in the queues.")
    parser.add_argument("-a", "--all", action="store_true", help="also those that are complete")
    parser.add_json()
    given = parser.parse_args(argv)

    from .. import _runs

    found = [about for tree in _runs.known() if (about := _about(tree)) is not None]
    shown = [about for about in found if given.all or about["state"] != "complete"]
    if given.json:
        print_json({"schema": 1, "runs": shown})
        return 0
    _print(shown, len(found) - len(shown))
    return 0


def _about(tree: Path) -> dict[str, Any] | None:
    """A run as a document; None for a tree that can't be read."""
    from ..master.journal.directory import Directory
    from ..master.journal.files import Files
    from ..views.history import History
    from ..views.presence import master_of
    from ..views.status import status_of

    try:
        holder = master_of(Directory.open(Files(), str(tree)))
        history = History(str(tree))
        history.poll()
        status = status_of(history)
    except (JobtreeError, OSError) as error:
        return {"tree": str(tree), "state": "unreadable", "host": None, "pid": None, "blocks": [], "reason": str(error)}
    blocks = [{"name": b.name, "state": b.state, "workers": b.n - b.ended} for b in status.blocks if b.state != "ended"]
    where = (holder.host, holder.pid) if holder is not None else (None, None)
    return {"tree": str(tree), "state": str(status.state), "host": where[0], "pid": where[1], "blocks": blocks, "reason": ""}


def _print(runs: list[dict[str, Any]], complete: int) -> None:
    from ..views.words import Table, columns, escape, plural, show

    rows = [
        [
            run["state"],
            f"{run['host']}:{run['pid']}" if run["pid"] else "-",
            str(sum(block["workers"] for block in run["blocks"])) if run["blocks"] else "-",
            escape(run["tree"]),
        ]
        for run in runs
    ]
    if rows:
        show([Table(columns("<state", "<master", ">workers", "<tree"), rows)], sys.stdout)
    if complete:
        print(f"{plural(complete, 'run')} complete; --all shows them, too", file=sys.stderr)
    elif not rows:
        print("no runs", file=sys.stderr)
