"""The commands `jobTreeStatus` and `jobTreeStats` of old, with their options and layouts, on the trees of today."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ..errors import JobtreeError, UsageError
from .arguments import tree_of

_IGNORED = ("--logOff", "--logInfo", "--logDebug", "--logCritical", "--rotatingLogging")


class _OldParser(argparse.ArgumentParser):
    """The options that all old commands share; those about logging and temporary files have no effect any more."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(prog=name, description=description, allow_abbrev=False)
        self.add_argument("tree", metavar="JOBTREE", nargs="?", help="directory of the run (default ./jobTree)")
        self.add_argument("--jobTree", dest="named", metavar="DIR", help="the same as an option")
        for option in _IGNORED:
            self.add_argument(option, action="store_true", help=argparse.SUPPRESS)
        for option in ("--logLevel", "--logFile", "--tempDirRoot"):
            self.add_argument(option, help=argparse.SUPPRESS)
        self.add_argument("--version", action="store_true", help="the version")

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would have printed with the whole usage."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


def status(argv: Sequence[str] | None = None) -> int:
    """`jobTreeStatus`: exit status 1 with --failIfNotComplete unless the run is complete."""
    return _ending_well("jobTreeStatus", lambda: _status(argv))


def stats(argv: Sequence[str] | None = None) -> int:
    """`jobTreeStats`."""
    return _ending_well("jobTreeStats", lambda: _stats(argv))


def _ending_well(name: str, action: Callable[[], int]) -> int:
    try:
        ended = action()
        sys.stdout.flush()
    except JobtreeError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_status
    return ended


def _status(argv: Sequence[str] | None) -> int:
    parser = _OldParser("jobTreeStatus", "Report the state of a job tree.")
    parser.add_argument("--verbose", action="store_true", help="print the logs of failed jobs")
    parser.add_argument("--failIfNotComplete", action="store_true", help="exit status 1 unless the job tree is complete")
    given = parser.parse_args(argv)
    if given.version:
        return _version()

    from ..views.history import History
    from ..views.status import status_of
    from ..views.words import escape

    tree = tree_of(given.named or given.tree)
    history = History(tree)
    history.poll()
    found = status_of(history)
    counts = found.counts
    active = counts.ready + counts.running + counts.failed
    print(
        f"There are {active} active jobs, {counts.waiting} parent jobs with children, {counts.failed} totally failed jobs "
        f"and 0 empty jobs (i.e. finished but not cleaned up) currently in job tree: {escape(tree)}"
    )
    if given.verbose:
        for failure in found.failures:
            print(f"Log of failed job: {escape(failure.name)}:{failure.id} ({escape(failure.cause)} on {escape(failure.host)})")
            for line in (failure.output or failure.message).splitlines():
                print(escape(line), file=sys.stderr)
        if not found.failures:
            print("There are no failed jobs to report")
    return 1 if given.failIfNotComplete and not found.is_complete else 0


def _stats(argv: Sequence[str] | None) -> int:
    parser = _OldParser("jobTreeStats", "Report what the targets of a job tree took.")
    parser.add_argument("--outputFile", metavar="FILE", help="write the report there too")
    parser.add_argument("--raw", action="store_true", help="XML")
    parser.add_argument("--pretty", "--human", dest="human", action="store_true", help="units for people")
    parser.add_argument("--categories", default="time,clock,wait,memory", help="a list of time, clock, wait, memory")
    parser.add_argument("--sortCategory", default="time", help="alpha, time, clock, wait, memory, count")
    parser.add_argument("--sortField", default="med", help="min, med, ave, max, total")
    parser.add_argument("--sortReverse", "--reverseSort", dest="reverse", action="store_true", help="the largest first")
    parser.add_argument("--cache", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.version:
        return _version()

    from ..views import oldstats
    from ..views.history import History

    words = given.categories.split(",")
    choice = oldstats.Choice(words, given.sortCategory, given.sortField, given.reverse, given.human).checked()
    history = History(tree_of(given.named or given.tree))
    history.poll()
    found = oldstats.collated(history)
    report = oldstats.raw(found) if given.raw else "\n".join(oldstats.text(found, choice))
    print(report)
    if given.outputFile:
        try:
            Path(given.outputFile).write_text(report + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--outputFile {given.outputFile} can't be written: {error.strerror}") from error
    return 0


def _version() -> int:
    from .. import __version__

    print(f"jobtree {__version__}")
    return 0
