"""`jobtree stop`: an end to a run, from anywhere; it can be restarted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .arguments import Parser, print_json, tree_of


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    words = (
        "Stop a run: what runs is finished, nothing new is begun; with --now at once. jobtree restart goes on. Without a living "
        "master the workers that the journal knows of are ended."
    )
    parser = Parser("stop", words)
    parser.add_tree()
    parser.add_argument("--now", action="store_true", help="end what runs")
    parser.add_json()
    given = parser.parse_args(argv)

    from .._control import ask, end_workers, has_master

    tree = tree_of(given.tree)
    if not has_master(tree):
        ended = end_workers(tree)
        if given.json:
            print_json({"schema": 1, "live": False, "workers": ended})
        else:
            what = f"ended {len(ended)} of its workers" if ended else "no worker of it is left"
            print(f"no master is at work on {tree}; {what}", file=sys.stderr)
        return 0
    answer = ask(tree, "stop", now=given.now)
    if given.json:
        print_json({"schema": 1, "live": True, "running": answer["running"]})
    else:
        how = "stopping now" if given.now else f"stopping when what runs is done ({answer['running']} held by workers)"
        print(f"{how}; jobtree restart {tree} goes on", file=sys.stderr)
    return 0
