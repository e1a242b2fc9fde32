"""Which pool a target belongs to, and the workers that are made to fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from jobtree.master.pools import MOST_PACKED, NO_LIMIT, PoolPlan, Pools, Size

G = 1 << 30
SMALL = PoolPlan("", Size(4.0, 8 * G), 0, 10, on_cluster=True, worker_time=3600.0)
BIG = PoolPlan("big", Size(32.0, 256 * G), 0, 4, on_cluster=True, worker_time=36_000.0)
GPU = PoolPlan("gpu", Size(4.0, 8 * G, 2.0), 0, 4, on_cluster=True)
ELASTIC = PoolPlan("", Size(1.0, 2 * G), 0, 100, on_cluster=True, largest=Size(64.0, NO_LIMIT, 8.0))


@pytest.mark.parametrize(
    ("cpus", "memory", "gpus", "requests", "home"),
    [
        (1.0, None, 0.0, {}, ""),
        (4.0, 8 * G, 0.0, {}, ""),
        (1.0, 9 * G, 0.0, {}, "big"),
        (5.0, None, 0.0, {}, "big"),
        (1.0, None, 1.0, {}, "gpu"),
        (1.0, None, 0.0, {"pool": "gpu"}, "gpu"),
        (1.0, None, 0.0, {"expected_time": 7200}, "big"),
        (33.0, None, 0.0, {}, None),
        (1.0, 9 * G, 0.0, {"pool": "gpu"}, None),
    ],
)
def test_a_target_belongs_to_the_smallest_pool_that_fits_or_the_one_it_names(
    cpus: float, memory: int | None, gpus: float, requests: dict[str, object], home: str | None
) -> None:
    plan, missing = Pools([SMALL, BIG, GPU]).home(cpus, memory, gpus, requests)
    assert (plan.name if plan is not None else None, missing) == (home, "")


def test_what_no_pool_can_ever_run_is_said_in_words() -> None:
    pools = Pools([SMALL, BIG])
    assert pools.home(1.0, None, 0.0, {"pool": "hug"}) == (None, "the pool hug, which this run has not (it has big)")
    assert (
        Pools([SMALL]).home(1.0, None, 0.0, {"pool": "x"})[1] == "the pool x, which this run has not (pools are made with --pool)"
    )
    assert (
        pools.home(1.0, None, 0.0, {"expected_time": 86_400})[1] == "1d, and a worker lives for 10h at the most (--worker-time)"
    )


def test_the_workers_of_an_elastic_pool_fit_what_waits_in_few_sizes() -> None:
    assert ELASTIC.size_for(1.0, None, 0.0, 5) == Size(1.0, 2 * G)
    assert ELASTIC.size_for(1.0, 5 * G, 0.0, 1) == ELASTIC.size_for(1.0, 8 * G, 0.0, 99) == Size(1.0, 8 * G)
    assert ELASTIC.size_for(3.0, None, 0.0, 1) == Size(4.0, 2 * G)
    assert ELASTIC.size_for(1.0, None, 1.0, 1).gpus == 1.0


def test_several_small_targets_are_packed_into_one_worker() -> None:
    assert ELASTIC.size_for(0.25, 1 * G, 0.0, 100) == Size(1.0, 4 * G)
    assert ELASTIC.size_for(0.25, 1 * G, 0.0, 1) == Size(1.0, 2 * G), "not for one alone"
    assert ELASTIC.size_for(0.001, 1 * G, 0.0, 10**6).memory <= MOST_PACKED * G


@given(some.floats(0.01, 64.0), some.integers(0, 10**13), some.floats(0.0, 8.0), some.integers(1, 10**6))
def test_what_is_asked_for_always_holds_the_target_it_is_for(cpus: float, memory: int, gpus: float, count: int) -> None:
    size = ELASTIC.size_for(cpus, memory, gpus, count)
    assert size.holds(Size(cpus, memory, gpus))
    assert ELASTIC.largest_size.holds(size)
