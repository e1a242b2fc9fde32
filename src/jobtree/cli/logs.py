"""`jobtree logs`: what targets print and log."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import UsageError
from .arguments import Parser, print_json, tree_of

if TYPE_CHECKING:
    from ..views.logs import Logs

EPILOG = """A line reads NAME:ID[ATTEMPT] out| TEXT; err is standard error, log what
Target.log was told. Control characters are shown as \\x1b and the like."""


def main(argv: Sequence[str]) -> int:
    """Exit status 0."""
    parser = Parser("logs", "Show what the targets of a run have printed and logged.")
    parser.epilog = EPILOG
    parser.add_tree()
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("--target", metavar="WHICH", help="only of these: NAME, ID or NAME:ID")
    parser.add_argument("--worker", metavar="ID", help="only what ran on this worker, as status shows it: 3 or w3@host")
    parser.add_argument("--since", metavar="WHEN", help="not what is older: 10m (ago), 17:05, 2026-11-22T17:05")
    parser.add_argument("--until", metavar="WHEN", help="not what is younger")
    parser.add_argument("--failed", action="store_true", help="only of targets that have failed")
    parser.add_argument("--level", metavar="LEVEL", help="only what was logged, from this level on")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--raw", action="store_true", help="the bytes as they were printed, without prefixes")
    how.add_argument("--own", action="store_true", help="what the worker printed itself, and its batch job; needs --worker")
    how.add_argument("--json", action="store_true", help="a line of JSON for each line")
    given = parser.parse_args(argv)

    from ..views.logs import Logs, Wanted

    if given.own:
        return _print_own(tree_of(given.tree), given.worker)
    wanted = Wanted.parse(
        given.target, failed=given.failed, level=given.level, worker=given.worker, since=given.since, until=given.until
    )
    logs = Logs(tree_of(given.tree), wanted, follow=given.follow)
    if given.raw:
        _print_raw(logs)
    elif not _print(logs, json=given.json) and wanted.words:
        print(f"jobtree: {wanted.words} has printed nothing that was asked for", file=sys.stderr)
    return 0


def _print_own(tree: str, worker: str | None) -> int:
    """The files in TREE/blocks, for who looks for the reason why a worker has failed."""
    from ..views.blocks import own_output

    if worker is None:
        raise UsageError("--own shows what one worker has printed; say which: --worker 3, or --worker BLOCK.INDEX")
    for line in own_output(tree, worker):
        print(line)
    return 0


def _print(logs: Logs, *, json: bool) -> int:
    from ..views.logs import prefixed
    from ..views.schema import to_json

    count = 0
    for batch in logs.batches():
        for line in batch:
            count += 1
            if json:
                print_json(to_json(line), pretty=False)
            else:
                print(prefixed(line))
        sys.stdout.flush()
    return count


def _print_raw(logs: Logs) -> None:
    for data in logs.raw():
        sys.stdout.buffer.write(data)
        if not data:
            sys.stdout.buffer.flush()
    sys.stdout.buffer.flush()
