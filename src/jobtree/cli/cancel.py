"""`jobtree cancel`: targets that are not wanted any more, with all below them."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import Parser, target_ids, tree_of
from .asking import show_choice


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or 1 if none of the targets could be cancelled."""
    words = (
        "Cancel targets with all below them: what runs of them is ended, and for what waits for them they have failed. "
        "jobtree retry brings them back, jobtree restart does not. On a stopped run too."
    )
    parser = Parser("cancel", words)
    parser.usage = "jobtree cancel TREE TARGET..."
    parser.add_argument("tree", metavar="TREE", help="directory of the run")
    parser.add_argument("targets", metavar="TARGET", nargs="+", help="ID or NAME:ID; the first of a chain stands for all of it")
    parser.add_json()
    given = parser.parse_args(argv)

    from .._control import ask

    tree = tree_of(given.tree)
    answer = ask(tree, "cancel", targets=target_ids(given.targets))
    return show_choice(answer, "cancelled", as_json=given.json)
