"""The commands `jobTreeRun` and `jobTreeKill` of old, with their options, on the trees of today."""

from __future__ import annotations

import optparse
import sys
from collections.abc import Callable, Sequence

from ..errors import JobtreeError, UsageError


def run(argv: Sequence[str] | None = None) -> int:
    """`jobTreeRun`: go on with a run as it remembers itself, or run one shell command; exit status 1 if jobs have failed."""
    return _ending_well("jobTreeRun", lambda: _run(_words(argv)))


def kill(argv: Sequence[str] | None = None) -> int:
    """`jobTreeKill`: stop a run at once, with or without a living master; it can be gone on with."""
    return _ending_well("jobTreeKill", lambda: _kill(_words(argv)))


def _run(words: list[str]) -> int:
    from ..scripttree._options import add_options
    from ..scripttree._start import start_command

    parser = optparse.OptionParser(usage="%prog [options] [JOBTREE]", version=_version(), prog="jobTreeRun")
    add_options(parser)
    if not words:
        parser.print_help()
        return 0
    options, arguments = parser.parse_args(words)
    if len(arguments) > 1:
        raise UsageError(f"one JOBTREE is enough, there are {len(arguments)}; see jobTreeRun --help")
    if arguments:
        options.jobTree = arguments[0]
    return 1 if start_command(options) else 0


def _kill(words: list[str]) -> int:
    from ..scripttree.bioio import getBasicOptionParser
    from . import stop

    parser = getBasicOptionParser("%prog [options] [JOBTREE]", _version())
    parser.prog = "jobTreeKill"
    parser.add_option("--jobTree", dest="jobTree", help="Directory of the run.")
    if not words:
        parser.print_help()
        return 0
    options, arguments = parser.parse_args(words)
    given = [name for name in [options.jobTree, *arguments] if name is not None]
    if len(given) != 1:
        raise UsageError("give the directory of one run; see jobTreeKill --help")
    return stop.main(["--now", given[0]])


def _ending_well(name: str, action: Callable[[], int]) -> int:
    try:
        ended = action()
        sys.stdout.flush()
    except JobtreeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_status
    return ended


def _words(argv: Sequence[str] | None) -> list[str]:
    return list(sys.argv[1:] if argv is None else argv)


def _version() -> str:
    from .. import __version__

    return f"%prog {__version__}"
