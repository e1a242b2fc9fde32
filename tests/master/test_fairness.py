"""Short and long targets mixed: what is pushed ahead does not make the end of a run wait (by a clock of the simulation)."""

from __future__ import annotations

import random
from heapq import heapreplace

import pytest

from benchmarks.cluster import Cluster


def list_schedule(times: list[float], slots: int) -> float:
    """When the last one ends, if each goes to the slot that is free first."""
    free = [0.0] * slots
    for seconds in times:
        heapreplace(free, free[0] + seconds)
    return max(free)


@pytest.mark.parametrize(("nodes", "slots", "count"), [(1, 2, 300), (8, 4, 2000), (20, 8, 3000)])
def test_targets_of_a_millisecond_to_five_seconds_end_as_soon_as_in_a_list_schedule(nodes: int, slots: int, count: int) -> None:
    chance = random.Random(7)
    times = [10 ** chance.uniform(-3, 0.7) for _ in range(count)]
    cluster = Cluster(lambda target: times[target - 2] if target > 1 else 0.0)
    cluster.join(nodes, slots, 64 << 30)
    cluster.fan_out([["work", None, {}]], count)
    begun = cluster.now
    cluster.run()
    assert cluster.state.core.tree.outcome == "complete"
    assert cluster.now - begun <= 1.1 * list_schedule(times, nodes * slots)
