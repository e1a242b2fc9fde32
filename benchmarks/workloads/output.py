"""What printing costs: each target's output goes to the log store, told apart from that of its neighbours."""

from __future__ import annotations

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import fan_out_shouts

COUNT = 5000
SIZES = (0, 1 << 10, 10 << 10)


def workload(setting: Setting) -> Workload:
    """5,000 targets that print nothing, 1 KiB or 10 KiB"""
    count = setting.scaled(COUNT)

    def ours() -> Figures:
        found = {}
        for size in SIZES:
            found[f"targets_per_s_{size >> 10}KiB"] = count / engine.run(fan_out_shouts(count, size), setting.directory).result
        return found

    return Workload("output", f"{count:,} targets that print lines", "targets_per_s_1KiB", True, {"jobtree": ours})
