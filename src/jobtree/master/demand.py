"""How many workers the ready targets are worth, of which size, and how many are there or on their way."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from .core import Core
from .ledger import Block
from .pools import PoolPlan, Size
from .roster import Worker
from .scheduler import Shape

#: Seconds of work that are worth a worker, where it is known how long targets take.
WORTH = 10.0
#: The share of its life before whose end a worker's successor is asked for, within these bounds (seconds).
SUCCESSOR_SHARE, SUCCESSOR_LEAST, SUCCESSOR_MOST = 0.25, 20.0, 600.0


@dataclass(slots=True)
class Group:
    """Workers of one pool and size: how many are wanted, and how many are there for a while or have been asked for."""

    pool: PoolPlan
    size: Size
    wanted: int = 0
    there: int = 0

    @property
    def missing(self) -> int:
        """How many more are wanted; below zero: how many too many are there."""
        return self.wanted - self.there


class Demand:
    """Looks at queues and workers; decides nothing."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def groups(self, pool: PoolPlan, shapes: list[Shape]) -> list[Group]:
        """What a pool ought to have; ``shapes`` are those that wait, the most urgent first."""
        mine = [shape for shape in shapes if shape.pool == pool.name and not shape.missing]
        found: dict[Size, Group] = {}

        def group(size: Size) -> Group:
            return found.setdefault(size, Group(pool, size))

        for block in self.core.ledger.blocks.values():
            if self.pool_of(block) is pool:
                group(self.size_of(block)).there += block.expected
        for worker in self.core.roster:
            if not worker.block or self.core.pools.of(worker.pool) is not pool:
                continue  # those that were started by hand come and go as somebody likes
            its = group(self.size_of_worker(worker))
            its.there += (not self._is_counted(worker)) - (self._is_leaving(worker) or self._is_of_no_use(worker, mine))
            its.wanted += bool(worker.held)
        self._allot(pool, mine, found)
        return list(found.values())

    def _allot(self, pool: PoolPlan, shapes: list[Shape], found: dict[Size, Group]) -> None:
        """Say of each size how many are wanted, within what the pool may have."""
        least, most = self._bounds(pool)
        least = most if least is None else min(least, most)
        worth: Counter[Size] = Counter()
        amounts: dict[Size, float] = {}
        for shape in shapes:
            size = pool.size_for(shape.cpus, shape.memory, shape.gpus, shape.size)
            amounts[size] = amounts.get(size, 0.0) + self._worth(shape, size)
        worth.update({size: math.ceil(amount) for size, amount in amounts.items()})
        left = most - sum(group.wanted for group in found.values())
        for size, workers in worth.items():
            some = max(0, min(workers - self._spare(size, workers, found), left))
            found.setdefault(size, Group(pool, size)).wanted += some
            left -= some
        short = least - sum(group.wanted for group in found.values())
        if short > 0:
            found.setdefault(pool.size, Group(pool, pool.size)).wanted += short

    def _spare(self, size: Size, need: int, found: dict[Size, Group]) -> int:
        """Larger ones that nobody else needs: they will do as well, and stay wanted for it."""
        spare = 0
        for group in found.values():
            if group.size != size and group.size.holds(size):
                some = max(0, min(need - spare, group.there - group.wanted))
                group.wanted += some
                spare += some
        return spare

    def _bounds(self, pool: PoolPlan) -> tuple[int | None, int]:
        """The least and the most; those of the run's own pool can be changed while it runs."""
        if pool.name:
            return pool.least, pool.most
        settings = self.core.settings
        return settings.workers_least, settings.workers

    def _worth(self, shape: Shape, size: Size) -> float:
        side_by_side = max(1.0, size.cpus // max(shape.cpus, 0.01))
        if shape.memory:
            side_by_side = max(1.0, min(side_by_side, size.memory // shape.memory))
        count = shape.size / side_by_side
        what = shape.best()
        seconds = self.core.scheduler.expected(what.form) if what is not None else None
        return count if seconds is None else min(count, count * seconds / WORTH)

    # -- who is there ---------------------------------------------------------------------------------------------

    def pool_of(self, block: Block) -> PoolPlan:
        """Whose a submission is."""
        return self.core.pools.of(block.pool)

    def size_of(self, block: Block) -> Size:
        """What each of its workers has."""
        pool = self.pool_of(block)
        return Size(block.cpus, block.memory, block.gpus) if pool.elastic and block.cpus else pool.size

    def size_of_worker(self, worker: Worker) -> Size:
        """What it was asked for with."""
        block = self.core.ledger.blocks.get(worker.block)
        if block is not None:
            return self.size_of(block)
        pool = self.core.pools.of(worker.pool)
        return Size(worker.cpus, worker.memory, worker.gpus) if pool.elastic else pool.size

    def _is_leaving(self, worker: Worker) -> bool:
        """Whether it is time for its successor. One that said so itself counts no more either."""
        if worker.draining:
            return True
        life = self.core.pools.of(worker.pool).worker_time
        if worker.until is None or life is None or not self._is_counted(worker):
            return False
        lead = min(max(SUCCESSOR_LEAST, life * SUCCESSOR_SHARE), SUCCESSOR_MOST, life / 2)
        return worker.until - self.core.now < lead

    def _is_of_no_use(self, worker: Worker, shapes: list[Shape]) -> bool:
        """Whether it is idle, and its time is too short for anything that waits."""
        if worker.until is None or worker.held or not shapes or worker.draining:
            return False
        return not any(self.core.scheduler.in_time(shape, worker) for shape in shapes)

    def strangers(self) -> list[Worker]:
        """Workers of a submission of which we do not know any more: they were given up and have come back.

        Those that were started by hand count nowhere: they come and go as somebody likes.
        """
        return [worker for worker in self.core.roster if worker.block and not self._is_counted(worker)]

    def _is_counted(self, worker: Worker) -> bool:
        block = self.core.ledger.blocks.get(worker.block)
        return block is not None and (not block.known or bool(block.ident_of(worker.index)))
