"""Which gpus targets see."""

from __future__ import annotations

from random import Random

import pytest

from jobtree.ids import Attempt
from jobtree.worker.devices import Devices
from jobtree.worker.effects import Task
from jobtree.worker.slots import Slots


def test_whole_gpus_are_nobody_elses() -> None:
    devices = Devices("012")
    assert devices.take(2) == ["0", "1"]
    assert devices.fits(1)
    assert not devices.fits(2)
    devices.give_back(["0", "1"], 2)
    assert devices.fits(3)


def test_shares_are_put_together_so_that_whole_ones_stay_whole() -> None:
    devices = Devices(["a", "b"])
    assert [devices.take(0.5), devices.take(0.25), devices.take(0.25)] == [["a"], ["a"], ["a"]]
    assert devices.take(1) == ["b"]


def test_a_share_that_no_single_gpu_has_left_does_not_fit() -> None:
    devices = Devices("01")
    devices.take(0.6)
    devices.take(0.6)
    assert not devices.fits(0.8)
    assert devices.fits(0.4)


@pytest.mark.parametrize("seed", range(30))
def test_no_gpu_is_ever_used_more_than_whole(seed: int) -> None:
    rng = Random(seed)
    devices, held = Devices("0123"), []
    for _ in range(200):
        amount = rng.choice((0.1, 0.25, 0.5, 1.0, 1.5, 2.0))
        if rng.random() < 0.5 and devices.fits(amount):
            held.append((devices.take(amount), amount))
        elif held:
            devices.give_back(*held.pop(rng.randrange(len(held))))
        assert all(-1e-6 <= left <= 1 + 1e-6 for left in devices.left.values())
        assert sum(devices.left.values()) == pytest.approx(4 - sum(amount for _, amount in held), abs=1e-3)


def test_targets_are_pinned_to_cores_of_their_own_while_there_are_some() -> None:
    slots = Slots(4.0, 8 << 30, 0.0, cores=[3, 5, 7, 9])
    slots.start_epoch(1)
    tasks = [
        Task(Attempt(1, n), n, 1, ["t", cpus, 1 << 20, 0.0, None, False], "", b"") for n, cpus in enumerate((2.0, 1.0, 0.5, 0.5))
    ]
    for task in tasks:
        slots.add(task)
    slots.fill()
    assert [task.cores for task in tasks] == [[3, 5], [7], [9], [9]]
    slots.finished(1, tasks[0].attempt, 1.0)
    more = Task(Attempt(1, 9), 9, 1, ["t", 2.0, 1 << 20, 0.0, None, False], "", b"")
    slots.add(more)
    slots.fill()
    assert more.cores == [3, 5]
