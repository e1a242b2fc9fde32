"""`jobtree report`: a run as one HTML page."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .arguments import Parser, tree_of, write_whole


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("report", "Write a run as one HTML page that needs no network: who ran when, use, requests, failures, costs.")
    parser.add_tree()
    parser.add_argument("-o", "--output", metavar="FILE", help="where to (default TREE-report.html beside it; - is stdout)")
    given = parser.parse_args(argv)

    from ..views.history import History
    from ..views.report import report_of

    tree = tree_of(given.tree)
    history = History(tree, detail=True)
    history.poll()
    if given.output == "-":
        sys.stdout.writelines(report_of(history))
        return 0
    path = Path(given.output) if given.output else Path(f"{os.path.abspath(tree)}-report.html")
    write_whole(path, report_of(history), "--output")
    print(path)
    return 0
