"""What old scripts and their tests ask about runs and about the machine."""

from __future__ import annotations

import shlex
import shutil
import sys

from ._programs import system


def runJobTreeStats(jobTree: str, outputFile: str) -> None:
    """Write the statistics of a run into a file; RuntimeError if there are none."""
    system(_command("stats", "--jobTree", jobTree, "--outputFile", outputFile))


def runJobTreeStatusAndFailIfNotComplete(jobTreeDir: str) -> None:
    """RuntimeError unless the run is complete."""
    system(_command("status", "--jobTree", jobTreeDir, "--failIfNotComplete", "--verbose"))


def parasolIsInstalled() -> bool:
    """Whether parasol's client is there."""
    return shutil.which("parasol") is not None


def gridEngineIsInstalled() -> bool:
    """Whether Grid Engine's clients are there."""
    return shutil.which("qsub") is not None and shutil.which("qstat") is not None


def _command(verb: str, *words: str) -> str:
    code = f"import sys; from jobtree.cli.old_views import {verb}; sys.exit({verb}())"
    return shlex.join([sys.executable, "-c", code, *words])
