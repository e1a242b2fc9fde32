"""The kinds of workers that a run may ask for, and which of them a target belongs to.

A pool is a launcher, the size of its workers, and how many of them. A *fixed* pool's workers are all alike. An *elastic* one's
are made to fit what waits: rounded up to powers of two, so that there are few sizes, with room for several small targets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..resources import format_size, format_time

#: Small targets that share one cpu of an elastic pool's worker at the most.
MOST_PACKED = 16
#: Sums of fractions of cpus are right but for this.
SLACK = 1e-6
NO_LIMIT = 1 << 62


class Size(NamedTuple):
    """What one worker has; ``memory`` in bytes."""

    cpus: float
    memory: int
    gpus: float = 0.0

    def holds(self, other: Size) -> bool:
        """Whether it has as much of everything."""
        return self.cpus + SLACK >= other.cpus and self.memory >= other.memory and self.gpus + SLACK >= other.gpus

    def __str__(self) -> str:
        gpus = f", {self.gpus:g} gpus" if self.gpus else ""
        return f"{self.cpus:g} cpus, {format_size(self.memory)} memory{gpus}"


@dataclass(slots=True)
class PoolPlan:
    """What the master may ask for under one name; "" is the pool of the run's own options.

    ``size`` is that of every worker; in an elastic pool the smallest that is asked for, and ``largest`` the largest.
    ``least`` None means that always ``most`` are held.
    """

    name: str
    size: Size
    least: int | None
    most: int
    on_cluster: bool = False
    worker_time: float | None = None  # seconds until the batch system ends a worker
    largest: Size | None = None  # set: the pool is elastic

    @property
    def elastic(self) -> bool:
        """Whether its workers are made to fit what waits."""
        return self.largest is not None

    @property
    def largest_size(self) -> Size:
        """The most that one of its workers may have."""
        return self.largest or self.size

    def can_hold(self, cpus: float, memory: int | None, gpus: float) -> bool:
        """Whether it may ever have a worker with so much."""
        return self.largest_size.holds(Size(cpus, memory or 0, gpus))

    def size_for(self, cpus: float, memory: int | None, gpus: float, count: int) -> Size:
        """The worker to be asked for where ``count`` targets wait that need so much each."""
        if self.largest is None:
            return self.size
        side_by_side = min(max(1, int(1 / cpus + SLACK)), MOST_PACKED, max(1, count)) if 0 < cpus < 1 else 1
        bytes_ = max(self.size.memory, _power_of_two((memory or 0) * side_by_side))
        return Size(
            min(max(self.size.cpus, float(_power_of_two(math.ceil(cpus - SLACK)))), max(self.largest.cpus, cpus)),
            min(bytes_, max(self.largest.memory, memory or 0)),
            float(math.ceil(gpus)),
        )


class Pools:
    """All pools of a run."""

    def __init__(self, plans: Sequence[PoolPlan]) -> None:
        self.plans = list(plans)
        self.by_name = {plan.name: plan for plan in plans}

    def home(self, cpus: float, memory: int | None, gpus: float, requests: dict[str, Any]) -> tuple[PoolPlan | None, str]:
        """The pool that a target belongs to: the one it names, or the smallest whose workers it fits.

        None where there is none, with what it asks for that can never be had, in words, as far as that is plain already.
        """
        named = requests.get("pool")
        if named is not None and str(named) not in self.by_name:
            return None, f"the pool {named}, which this run has not ({self._names()})"
        plans = [self.by_name[str(named)]] if named is not None else self.plans
        fitting = [plan for plan in plans if plan.can_hold(cpus, memory, gpus)]
        seconds = requests.get("expected_time")
        timely = [plan for plan in fitting if seconds is None or plan.worker_time is None or plan.worker_time > float(seconds)]
        if fitting and not timely and seconds is not None:
            life = max(plan.worker_time or 0.0 for plan in fitting)
            asked = format_time(float(seconds))
            return None, f"{asked}, and a worker lives for {format_time(life)} at the most (--worker-time)"
        if not timely:
            return None, ""
        return min(timely, key=lambda plan: _bulk(plan.size_for(cpus, memory, gpus, 1))), ""

    def of(self, name: str | None) -> PoolPlan:
        """The pool of a block; the first one for what is not known any more, after a restart with other options."""
        return self.by_name.get(name or "", self.plans[0])

    @property
    def largest(self) -> Size:
        """The most of everything that any worker may have."""
        sizes = [plan.largest_size for plan in self.plans]
        return Size(*(max(amounts) for amounts in zip(*sizes, strict=True)))

    def may_hold(self, cpus: float, memory: int | None, gpus: float, name: str | None = None) -> bool:
        """Whether any pool, or the one of this name, may ever have a worker with so much."""
        plans = self.plans if name is None else [plan for plan in self.plans if plan.name == name]
        return any(plan.can_hold(cpus, memory, gpus) for plan in plans)

    def _names(self) -> str:
        names = [plan.name for plan in self.plans if plan.name]
        return f"it has {', '.join(names)}" if names else "pools are made with --pool"


def _bulk(size: Size) -> tuple[float, int, float]:
    """From small to large: gpus are the most precious, then memory."""
    return size.gpus, size.memory, size.cpus


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length() if number > 1 else max(number, 1)


def total(sizes: Iterable[tuple[Size, int]]) -> tuple[float, int]:
    """Cpus and bytes of so many workers of each size."""
    cpus, memory = 0.0, 0
    for size, count in sizes:
        cpus += size.cpus * count
        memory += size.memory * count
    return cpus, memory
