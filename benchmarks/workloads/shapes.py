"""Many shapes of requests on many workers: how long a turn of the master may take while it finds out what fits where."""

from __future__ import annotations

from benchmarks.cluster import Cluster, quiet_gc
from benchmarks.measure import Figures, Setting, Workload

SHAPES, WORKERS, SLOTS, COUNT = 500, 200, 1, 5000


def workload(setting: Setting) -> Workload:
    """500 shapes x 200 workers, on the master's state alone: the longest turn of the loop"""
    count = setting.scaled(COUNT, least=SHAPES)

    def ours() -> Figures:
        cluster = Cluster(lambda _: 1.0)
        cluster.join(WORKERS, SLOTS, 64 << 30)
        forms = [[f"name{n}", None, {"memory": (1 << 30) + n * (10 << 20)}] for n in range(SHAPES)]
        cluster.fan_out(forms, count)
        begun = len(cluster.turns)
        with quiet_gc():
            cluster.run()
        assert cluster.state.core.tree.outcome == "complete", "not all is done"
        turns = sorted(cluster.turns)
        return {
            "longest_turn_ms": turns[-1] * 1e3,
            "median_turn_ms": turns[len(turns) // 2] * 1e3,
            "master_cpu_us_per_target": sum(cluster.turns[begun:]) / count * 1e6,
        }

    what = f"{count:,} targets of {SHAPES} shapes on {WORKERS} workers; state and journal encoding, no sockets"
    return Workload("shapes", what, "longest_turn_ms", False, {"jobtree": ours})
