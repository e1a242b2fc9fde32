"""`jobtree retry`: what has failed, or was cancelled, is tried again."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ..errors import Cause, UsageError
from .arguments import Parser, target_ids, tree_of
from .asking import show_choice


def main(argv: Sequence[str]) -> int:
    """Exit status 0, or 1 if nothing is tried again."""
    words = (
        "Try targets again, with all their attempts: those given, else all that have failed. Cancelled ones only if they are "
        "given, or with --cause cancelled. On a stopped run this is noted for the next restart."
    )
    parser = Parser("retry", words)
    parser.usage = "jobtree retry TREE [--cause C] [--name N] [--memory xN|SIZE] [TARGET...]"
    parser.add_argument("tree", metavar="TREE", help="directory of the run")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="ID or NAME:ID of what has failed, or has failed below it")
    parser.add_argument(
        "--cause", choices=[cause.value for cause in Cause], metavar="CAUSE", help="those with this cause of death"
    )
    parser.add_argument("--name", metavar="NAME", help="those of this name")
    parser.add_argument("--memory", metavar="xN|SIZE", help="with this much memory: x2 is twice what they asked for; or 4G")
    parser.add_json()
    given = parser.parse_args(argv)

    from .._control import ask

    about: dict[str, Any] = {"targets": target_ids(given.targets), "cause": given.cause or "", "name": given.name or ""}
    about.update(_memory(given.memory) if given.memory else {})
    tree = tree_of(given.tree)
    answer = ask(tree, "retry", **about)
    status = show_choice(answer, "tried again", as_json=given.json)
    if status == 0 and not answer["live"] and not given.json:
        print(f"jobtree restart {tree} runs them", file=sys.stderr)
    return status


def _memory(word: str) -> dict[str, Any]:
    from ..resources import parse_size

    if not word.startswith("x"):
        return {"memory": parse_size(word, "--memory")}
    try:
        factor = float(word[1:])
    except ValueError:
        factor = 0.0
    if not 0 < factor < 1e6:
        raise UsageError(f"--memory {word}: give a factor as x2, or a size as 4G")
    return {"factor": factor}
