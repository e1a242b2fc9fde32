"""What a target costs the master alone: a worker that answers at once, and runs nothing."""

from __future__ import annotations

import resource
import shutil
import tempfile
from pathlib import Path

import jobtree
from benchmarks import zero
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import noop

COUNT = 200_000


def workload(setting: Setting) -> Workload:
    """200,000 targets through sockets, state and journal, by a worker that runs nothing"""
    count = setting.scaled(COUNT)

    def ours() -> Figures:
        tree = Path(tempfile.mkdtemp(dir=setting.directory)) / "tree"
        before = _cpu()
        jobtree.run(noop(), tree=tree, progress="none", **zero.use(count))
        cpu = _cpu() - before
        seconds = float((tree / "zero").read_text())
        journal = sum(path.stat().st_size for path in (tree / "journal").glob("seg-*.log"))
        shutil.rmtree(tree.parent)
        return {
            "master_cpu_us_per_target": cpu / count * 1e6,
            "targets_per_s": count / seconds,
            "journal_bytes_per_target": journal / count,
        }

    what = f"{count:,} targets that a worker ends as soon as they have come, every end on disk before it is acknowledged"
    return Workload("zero", what, "master_cpu_us_per_target", False, {"jobtree": ours})


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
