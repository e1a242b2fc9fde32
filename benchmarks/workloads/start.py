"""How long a run of one target takes: starting and ending everything."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import noop

ROOT = Path(__file__).resolve().parents[2]


def workload(setting: Setting) -> Workload:
    """start to finish of a run of one target"""

    def script() -> Figures:
        within = engine.run(noop(), setting.directory).seconds
        with tempfile.TemporaryDirectory(dir=setting.directory) as directory:
            whole = _seconds_of("-m", "benchmarks.trivial", f"{directory}/tree")
        return {"script_s": whole, "run_call_s": within}

    def python_alone() -> Figures:
        return {"script_s": _seconds_of("-c", "pass")}

    what = "a script that runs one no-op target, from its start to its end: master, worker, nursery, runner, journal"
    return Workload("start", what, "script_s", False, {"jobtree": script, "python -c pass": python_alone})


def _seconds_of(*words: str) -> float:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    begun = time.monotonic()
    subprocess.run([sys.executable, *words], check=True, env={**os.environ, "PYTHONPATH": path})
    return time.monotonic() - begun
