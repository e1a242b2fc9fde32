"""How long `import jobtree` takes, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.measure import Figures, Setting, Workload

SAMPLES = 5
_PROGRAM = "import time; begun = time.perf_counter(); import {}; print(time.perf_counter() - begun)"


def workload(setting: Setting) -> Workload:
    """seconds of `import jobtree` in a fresh interpreter"""

    def ours() -> Figures:
        return {"seconds": _best("jobtree"), "with_run_and_target_s": _best("jobtree; jobtree.run; jobtree.target")}

    def theirs() -> Figures:
        return {"seconds": _best("argparse")}

    what = f"`import jobtree` in a fresh interpreter, the best of {SAMPLES} for each sample"
    return Workload("imports", what, "seconds", False, {"jobtree": ours, "import argparse": theirs})


def _best(what: str) -> float:
    def once() -> float:
        done = subprocess.run([sys.executable, "-c", _PROGRAM.format(what)], capture_output=True, text=True, check=True)
        return float(done.stdout)

    return min(once() for _ in range(SAMPLES))
