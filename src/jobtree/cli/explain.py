"""`jobtree explain`: why targets have failed, or why one has not run yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .arguments import Parser, print_json, target_ids, tree_of

if TYPE_CHECKING:
    from ..views.explain import Waiting
    from ..views.history import History


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    words = (
        "Without TARGET: all failures, grouped by name, cause and place in your code. With TARGET: why it has failed, or why it "
        "has not run yet."
    )
    parser = Parser("explain", words)
    parser.usage = "jobtree explain [OPTIONS] [TREE] [TARGET]"
    parser.add_tree()
    parser.add_argument("target", metavar="TARGET", nargs="?", help="ID or NAME:ID")
    parser.add_argument("--examples", metavar="N", type=int, default=1, help="of how many groups one is shown whole (default 1)")
    parser.add_json()
    given = parser.parse_args(argv)

    from ..views.history import History

    history = History(tree_of(given.tree))
    history.poll()
    if given.target is None:
        return _all(history, examples=given.examples, as_json=given.json)
    (target,) = target_ids([given.target])
    return _one(history, target, as_json=given.json)


def _all(history: History, *, examples: int, as_json: bool) -> int:
    from dataclasses import asdict

    from ..views.failures import grouped, report
    from ..views.presence import master_of
    from ..views.schema import State
    from ..views.status import state_of

    failures = list(history.failures.values())
    if as_json:
        groups = [
            {
                "name": group.name, "cause": group.cause, "where": group.where, "count": len(group.failures),
                "targets": [failure.id for failure in group.failures], "example": asdict(group.first),
            }
            for group in grouped(failures)
        ]  # fmt: skip
        print_json({"schema": 1, "tree": history.path, "groups": groups})
        return 0
    if not failures:
        print("nothing has failed")
        return 0
    totals = {name: sum(tally) for name, tally in history.tree.tallies.items()}
    live = state_of(history, master_of(history.directory))[0] is State.RUNNING
    for line in report(failures, totals, tree=history.path, examples=examples, live=live):
        print(line)
    return 0


def _one(history: History, target: int, *, as_json: bool) -> int:
    from dataclasses import asdict

    from ..views.explain import explain

    found = explain(history, target, _waiting(history))
    if as_json:
        print_json({"schema": 1, "tree": history.path, **asdict(found)})
        return 0
    print(f"{found.name}:{target} is {found.phase}" if found.name else f"{target} is {found.phase}")
    for line in found.lines:
        print(f"  {line}")
    for command in found.commands:
        print(f"  $ {command}")
    return 0


def _waiting(history: History) -> Waiting:
    """What the launcher says of workers that were asked for; nothing if it can't be asked from here."""
    from pathlib import Path

    from ..errors import JobtreeError
    from ..launchers import registry
    from ..options import Options
    from ..views.explain import Waiting

    if all(block.ended for block in history.blocks.values()):
        return Waiting()
    try:
        options = Options.from_wire(history.tree.options)
        states = registry.make(options.launcher, [sys.executable], Path(history.path) / "blocks").poll()
    except JobtreeError:
        return Waiting()  # a view goes without
    return Waiting({ident: f"{status.state} {status.reason}".strip() for ident, status in states.items()})
