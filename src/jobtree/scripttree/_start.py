"""Runs old targets: begins a tree or goes on with it, shows it as old masters did, and counts what has failed."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jobtree._run import Life, refuse_inside_runner, speak_plainly
from jobtree._target import Target as TargetOfToday
from jobtree.errors import TargetsFailed, UsageError
from jobtree.options import Options
from jobtree.protocol.references import register_script
from jobtree.views.progress import Console, Progress

from ._logs import logger, setLoggingFromOptions
from ._options import REQUIRED, translate
from ._step import CommandStep, Step
from ._terms import Terms

if TYPE_CHECKING:
    from jobtree.master.effects import TellFailure

    from .target import Target

#: Old masters told of each failed attempt, and began the next one at once.
_MANNER = {"tell_failures": True, "backoff_most": 0.0}
#: What stands before a line of `Target.log` in what a display is told.
_SPEAKER = re.compile(r".*?:\d+: ", re.DOTALL)


def start(target: Target, options: Any) -> int:
    """Run the target and all that it leads to, or go on with the tree that is there; returns how many targets have failed.

    RuntimeError for options that `addJobTreeOptions` has not made.
    """
    translated, terms = _prepare(options)
    return _counted(Step(target, terms), translated)


def start_command(options: Any) -> int:
    """Run the shell command of such options as a tree of one job, or go on with the tree that is there as it remembers itself."""
    translated, terms = _prepare(options)
    if is_tree(options.jobTree):
        return _counted(None, Options.merged(None, tree=options.jobTree, log_level=translated.log_level))
    if options.command is None:
        raise UsageError(f"there is no jobTree {options.jobTree}; give a directory that exists, or a --command")
    return _counted(CommandStep(str(options.command), terms), translated)


def is_tree(path: str) -> bool:
    """Whether a directory holds a run."""
    return os.path.isdir(os.path.join(path, "journal"))


def _prepare(options: Any) -> tuple[Options, Terms]:
    """Set up logging, make the path of the tree absolute in place, and say all options in the words of today."""
    refuse_inside_runner()
    speak_plainly()
    missing = [name for name in REQUIRED if not hasattr(options, name)]
    if missing or options.jobTree is None:
        raise RuntimeError(f"the options have no {', '.join(missing) or 'jobTree'}: did you remember to call addJobTreeOptions?")
    setLoggingFromOptions(options)
    options.jobTree = os.path.abspath(options.jobTree)
    return translate(options)


def _counted(root: TargetOfToday[Any] | None, options: Options) -> int:
    """Run a root, or go on with the tree that is there (without a root: as it remembers itself); how many targets have failed."""
    life = Life(options, _old_console, _MANNER)
    try:
        if root is None:
            life.restart(want_result=False)
        elif not life.run_or_go_on(root, register_script()):
            logger.info("The jobTree %s has finished already: there is nothing to do", options.tree)
    except TargetsFailed as failed:
        count = len(failed.failures)
        logger.info("Only failed jobs and their dependents (%i total) are remaining", count)
        return count
    return 0


@contextmanager
def _old_console(options: Options) -> Iterator[Console]:
    """A progress is shown only where it is asked for in the words of today (JOBTREE_PROGRESS, a file)."""
    mode = options.progress if "progress" in options.origins else "none"
    yield OldConsole(Progress(mode, level="OFF"))


class OldConsole(Console):
    """Says what old masters said, through the logger: messages and failures are CRITICAL, so that they are always seen."""

    def say(self, level: str, text: str) -> None:
        """A message of a target, or a word of the master."""
        spoken = _SPEAKER.match(text) if level == "CRITICAL" else None
        if spoken is not None:
            logger.critical("Got message from job at time: %s : %s", time.time(), text[spoken.end() :])
        elif level in ("DEBUG", "INFO"):
            logger.info("%s", text)
        else:
            logger.critical("%s", text)

    def failed(self, what: TellFailure) -> None:
        """The output of an attempt that has failed, each line behind the name of its log."""
        job = f"{what.name}:{what.id}"
        output = str(what.failure.get("output") or "") or str(what.failure.get("message", ""))
        logger.critical("The job seems to have left a log file, indicating failure: %s", job)
        logger.critical("Reporting file: %s/log.txt", job)
        host = what.failure.get("host", "")
        for line in [
            "---JOBTREE SLAVE OUTPUT LOG---",
            *output.splitlines(),
            f"Exiting the slave because of a failed job on host {host}",
            f"Due to failure we are reducing the remaining retry count of job {job} to {what.tries_left}",
        ]:
            logger.critical("log.txt:\t%s", line)
        if what.tries_left == 0:
            logger.critical("Job: %s is completely failed", job)
