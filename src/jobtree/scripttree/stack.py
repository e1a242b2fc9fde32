"""Where old scripts begin: options for their parsers, and the start of a run."""

from __future__ import annotations

from typing import Any

from .target import Target as Target
from .target import check


class Stack:
    """A root target that can be run. RuntimeError if its constructor did not call that of Target."""

    def __init__(self, target: Target) -> None:
        check(target)
        self.target = target

    @staticmethod
    def addJobTreeOptions(parser: Any) -> None:
        """Add the options of jobTree to a parser of optparse or argparse, in groups; RuntimeError for anything else."""
        from ._options import add_options

        add_options(parser)

    @staticmethod
    def getDefaultOptions() -> Any:
        """An object with all options at their defaults."""
        from ._options import default_options

        return default_options()

    def startJobTree(self, options: Any) -> int:
        """Run to the end and return how many targets have failed. A directory that exists is gone on with, whatever the target.

        Makes `options.jobTree` absolute. RuntimeError for options that `addJobTreeOptions` has not made.
        """
        from ._start import start

        return start(self.target, options)
