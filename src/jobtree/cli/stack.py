"""`jobtree stack`: where in its code a running target is."""

from __future__ import annotations

from collections.abc import Sequence

from .arguments import Parser, print_json, target_ids, tree_of


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    words = "Show where in its code a running target is: the Python stacks of all its threads, the latest call first."
    parser = Parser("stack", words)
    parser.usage = "jobtree stack TREE TARGET"
    parser.add_argument("tree", metavar="TREE", help="directory of the run")
    parser.add_argument("target", metavar="TARGET", help="ID or NAME:ID")
    parser.add_json()
    given = parser.parse_args(argv)

    from .._control import ask
    from ..views.words import escape

    (target,) = target_ids([given.target])
    answer = ask(tree_of(given.tree), "stack", target=target)
    if given.json:
        print_json({"schema": 1, "target": target, "worker": answer["worker"], "stack": answer["stack"]})
    else:
        print("\n".join(escape(line) for line in answer["stack"].splitlines()))
    return 0
