"""`jobtree report`: a run as one HTML page."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..errors import UsageError
from .arguments import Parser, tree_of


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
    _write_whole(path, "".join(report_of(history)))
    print(path)
    return 0


def _write_whole(path: Path, text: str) -> None:
    """Written beside it first, so that nobody sees half of a page."""
    if path.is_dir():
        raise UsageError(f"--output {path} is a directory; name a file")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
