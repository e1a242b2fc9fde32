"""`jobtree restart`: a master on a tree whose run has stopped."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import Parser, tree_of


def main(argv: Sequence[str]) -> int:
    """The exit status of the run."""
    from .._option_values import DEST
    from ..options import DEFAULTS, add_options

    words = "Go on with a run that has stopped. What has failed is tried again; options given here win over the tree's."
    parser = Parser("restart", words)
    parser.usage = "jobtree restart [OPTIONS] [TREE]"
    parser.add_tree()
    add_options(parser)
    given = parser.parse_args(argv)
    values = {name: getattr(given, DEST + name, None) for name in DEFAULTS}

    from .._run import restart_tree

    tree = tree_of(given.tree or values.pop("tree", None))
    status: int = restart_tree(tree, {name: value for name, value in values.items() if value is not None})
    return status
