"""What old code imported from the module of `jobTreeRun`."""

from __future__ import annotations

from typing import Any


def addOptions(parser: Any) -> None:
    """As `Stack.addJobTreeOptions`."""
    from ._options import add_options

    add_options(parser)


def runJobTree(
    command: str,
    jobTreeDir: str,
    logLevel: str = "DEBUG",
    retryCount: int = 0,
    batchSystem: str = "single_machine",
    rescueJobFrequency: float | None = None,
) -> int:
    """Run a shell command as a tree of one job, or go on with the tree that is there; how many jobs have failed."""
    from ._options import default_options
    from ._start import start_command

    options = default_options()
    options.command, options.jobTree, options.logLevel = command, jobTreeDir, logLevel
    options.retryCount, options.batchSystem, options.rescueJobsFrequency = retryCount, batchSystem, rescueJobFrequency
    return start_command(options)
