"""Ten thousand workers: what each costs the master, and how long its turns get."""

from __future__ import annotations

import tracemalloc

from benchmarks.cluster import Cluster, quiet_gc
from benchmarks.measure import Figures, Setting, Workload

WORKERS, COUNT = 10_000, 100_000


def workload(setting: Setting) -> Workload:
    """10,000 simulated workers of one slot, targets of 10 s, on the master's state alone"""
    workers, count = setting.scaled(WORKERS), setting.scaled(COUNT)

    def ours() -> Figures:
        cluster = Cluster(lambda target: 10.0 + target % 1000 / 100)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        cluster.join(workers, 1, 4 << 30)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        joined = len(cluster.turns)
        cluster.fan_out([["work", None, {}]], count)
        with quiet_gc():
            cluster.run()
        assert cluster.state.core.tree.outcome == "complete", "not all is done"
        assert len(cluster.state.core.roster) == workers, "a worker was given up that was there"
        turns = sorted(cluster.turns[joined:])
        return {
            "longest_turn_ms": turns[-1] * 1e3,
            "median_turn_ms": turns[len(turns) // 2] * 1e3,
            "master_cpu_us_per_target": sum(turns) / count * 1e6,
            "bytes_per_worker": (after - before) / workers,
        }

    what = f"{workers:,} workers, {count:,} targets of 10 to 20 s; state and journal encoding, no sockets"
    return Workload("workers", what, "longest_turn_ms", False, {"jobtree": ours})
