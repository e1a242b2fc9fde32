"""A tree that grows while it runs: children created from inside, follow-ons that reduce their results."""

from __future__ import annotations

from benchmarks import engine
from benchmarks.measure import Figures, Setting, Workload
from benchmarks.targets import timed_leaves

LEAVES = 1 << 12


def workload(setting: Setting) -> Workload:
    """a binary tree of 2^13 targets, and 2^12 follow-ons that add up"""
    return _of("tree", setting.scaled(LEAVES), setting)


def big(setting: Setting) -> Workload:
    """a binary tree of 2^15 targets, and 2^14 follow-ons"""
    return _of("bigtree", setting.scaled(4 * LEAVES), setting)


def _of(name: str, leaves: int, setting: Setting) -> Workload:
    depth = max(1, leaves.bit_length() - 1)
    grown, reducing = (2 << depth) - 1, (1 << depth) - 1
    count = grown + reducing

    def ours() -> Figures:
        run = engine.run(timed_leaves(depth), setting.directory)
        found, seconds = run.result
        assert found == 1 << depth, f"{found} leaves of {1 << depth}"
        return {
            "targets_per_s": count / seconds,
            "seconds": seconds,
            "master_cpu_us_per_target": run.master_cpu / count * 1e6,
            "worker_cpu_us_per_target": run.worker_cpu / count * 1e6,
            "journal_bytes_per_target": run.journal_bytes / count,
        }

    what = f"a binary tree of {grown:,} targets, grown from inside, and {reducing:,} follow-ons that add two results each"
    return Workload(name, what, "targets_per_s", True, {"jobtree": ours})
