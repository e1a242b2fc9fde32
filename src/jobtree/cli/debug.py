"""`jobtree debug`: a failed target once more, here and under a debugger."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import Parser, target_ids, tree_of


def main(argv: Sequence[str]) -> int:
    """Exit status 0 if the target succeeds, 1 if it fails again."""
    words = (
        "Run a failed target again, here and in the foreground, with its arguments, its promises' values and its global temp "
        "dir as they are; pdb opens at the frame that fails. Nothing that it does changes the run. It runs your code: use it on "
        "trees of your own."
    )
    parser = Parser("debug", words)
    parser.usage = "jobtree debug [--no-pdb] TREE TARGET"
    parser.add_argument("tree", metavar="TREE", help="directory of the run")
    parser.add_argument("target", metavar="TARGET", help="ID or NAME:ID")
    parser.add_argument("--no-pdb", action="store_true", help="only run it")
    given = parser.parse_args(argv)

    from .._debug import debug

    (target,) = target_ids([given.target])
    return debug(tree_of(given.tree), target, with_pdb=not given.no_pdb)
