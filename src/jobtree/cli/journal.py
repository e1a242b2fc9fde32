"""`jobtree journal verify|dump|salvage`: the journal itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import Parser, print_json, tree_of

if TYPE_CHECKING:
    from ..master.journal.directory import Directory
    from ..master.journal.files import Files


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or 3 for a journal that is damaged."""
    parser = Parser("journal", "Look at the journal of a run, or make a damaged one sound.")
    words = "verify: is it sound? dump: a line of JSON for each record. salvage: make a damaged one sound"
    parser.add_argument("action", choices=("verify", "dump", "salvage"), help=words)
    parser.add_tree()
    given = parser.parse_args(argv)

    from ..master.journal.directory import Directory
    from ..master.journal.files import Files

    if given.action == "salvage":
        return _salvage(tree_of(given.tree))
    files = Files()
    directory = Directory.open(files, tree_of(given.tree))
    return _verify(files, directory) if given.action == "verify" else _dump(files, directory)


def _verify(files: Files, directory: Directory) -> int:
    from ..master.journal.verify import verify

    report = verify(files, directory)
    for line in report.lines():
        print(line)
    return report.damage.exit_status if report.damage is not None else 0


def _dump(files: Files, directory: Directory) -> int:
    from ..views.dump import documents

    for document in documents(files, directory):
        print_json(document, pretty=False)
    return 0


def _salvage(tree: str) -> int:
    from pathlib import Path

    from .._opening import salvage_tree

    for line in salvage_tree(Path(tree).absolute()).lines():
        print(line)
    return 0
