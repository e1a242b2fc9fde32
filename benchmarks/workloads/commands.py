"""Programs as targets, against a loop that starts them and does nothing else."""

from __future__ import annotations

import subprocess
import time

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import fan_out_commands

COUNT = 1_000


def workload(setting: Setting) -> Workload:
    """1,000 x /bin/true as targets, against a bare spawn loop"""
    count = setting.scaled(COUNT)

    def ours() -> Figures:
        seconds = engine.run(fan_out_commands(count), setting.directory).result
        return {"commands_per_s": count / seconds, "seconds": seconds}

    def loop() -> Figures:
        begun = time.monotonic()
        for _ in range(count):
            subprocess.run(["/bin/true"], check=True)
        seconds = time.monotonic() - begun
        return {"commands_per_s": count / seconds, "seconds": seconds}

    what = f"{count:,} x /bin/true, on {engine.slots()} slots; the loop calls subprocess.run, one after the other"
    return Workload("commands", what, "commands_per_s", True, {"jobtree": ours, "spawn loop": loop})
