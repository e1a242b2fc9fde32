"""Runs a tree as a user's script would, in a fresh directory, and counts what it cost beside the time."""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobtree


@dataclass(frozen=True)
class Run:
    """One run: its result, its seconds from the call of ``run`` to its return, and what it cost."""

    result: Any
    seconds: float
    master_cpu: float  # seconds of this process
    worker_cpu: float  # seconds of the workers, their nurseries and runners
    journal_bytes: int


def run(root: jobtree.Target[Any], directory: Path, **options: Any) -> Run:
    """Run ``root`` in a new tree below ``directory``, which is removed afterwards."""
    tree = Path(tempfile.mkdtemp(dir=directory)) / "tree"
    before, below = _cpu(resource.RUSAGE_SELF), _cpu(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    result = jobtree.run(root, tree=tree, progress="none", **options)
    seconds = time.monotonic() - begun
    written = sum(path.stat().st_size for path in (tree / "journal").glob("seg-*.log"))
    shutil.rmtree(tree.parent)
    own, others = _cpu(resource.RUSAGE_SELF) - before, _cpu(resource.RUSAGE_CHILDREN) - below
    return Run(result, seconds, own, others, written)


def slots() -> int:
    """How many targets of one cpu run side by side by default, and how many processes a peer may use."""
    return len(os.sched_getaffinity(0))


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
