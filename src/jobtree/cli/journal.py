"""`jobtree journal verify|dump`: the journal itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import Parser, print_json, tree_of

if TYPE_CHECKING:
    from ..master.journal.directory import Directory
    from ..master.journal.files import Files


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or 3 for a journal that is damaged."""
    parser = Parser("journal", "Look at the journal of a run without changing it.")
    parser.add_argument("action", choices=("verify", "dump"), help="verify: is it sound? dump: a line of JSON for each record")
    parser.add_tree()
    given = parser.parse_args(argv)

    from ..master.journal.directory import Directory
    from ..master.journal.files import Files

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
