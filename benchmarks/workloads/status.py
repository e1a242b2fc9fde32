"""How long `jobtree status` takes on a large tree."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jobtree
from benchmarks import zero
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import noop

COUNT = 145_000
SAMPLES = 3


def workload(setting: Setting) -> Workload:
    """`jobtree status` of a tree of 145,000 targets"""
    count = setting.scaled(COUNT)
    tree = Path(tempfile.mkdtemp(dir=setting.directory)) / "tree"

    def ours() -> Figures:
        if not tree.exists():
            jobtree.run(noop(), tree=tree, progress="none", **zero.use(count))
        return {"seconds": min(_seconds("-m", "jobtree", "status", str(tree)) for _ in range(SAMPLES))}

    def python() -> Figures:
        return {"seconds": min(_seconds("-c", "import msgpack, rich.table") for _ in range(SAMPLES))}

    what = f"`jobtree status` of {count:,} targets that are done, the best of {SAMPLES} for each sample"
    return Workload("status", what, "seconds", False, {"jobtree": ours, "python -c 'import msgpack, rich.table'": python})


def _seconds(*words: str) -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL, env=dict(os.environ))
    return time.monotonic() - begun
