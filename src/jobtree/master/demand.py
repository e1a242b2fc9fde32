"""How many workers the ready targets are worth, and how many are there or on their way."""

from __future__ import annotations

import math

from .core import Core
from .roster import Worker
from .scheduler import Shape

#: Seconds of work that are worth a worker, where it is known how long targets take.
WORTH = 10.0
#: The share of its life before whose end a worker's successor is asked for, within these bounds (seconds).
SUCCESSOR_SHARE, SUCCESSOR_LEAST, SUCCESSOR_MOST = 0.25, 20.0, 600.0


class Demand:
    """Looks at queues and workers; decides nothing."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def workers(self) -> int:
        """How many are wanted: those at work, and for what waits as many as it is worth; within what was asked for."""
        settings = self.core.settings
        if settings.workers_least is None or settings.workers_least == settings.workers:
            return settings.workers
        busy = sum(1 for worker in self.core.roster if worker.held and worker.block)
        wanted = busy + math.ceil(sum(self._worth(shape) for shape in self.core.scheduler.waiting()))
        return max(settings.workers_least, min(settings.workers, wanted))

    def _worth(self, shape: Shape) -> float:
        settings = self.core.settings
        if not shape.fits(settings.worker_cpus, settings.worker_memory, 0.0):
            return 0.0
        side_by_side = max(1.0, settings.worker_cpus // max(shape.cpus, 0.01))
        if shape.memory:
            side_by_side = max(1.0, min(side_by_side, settings.worker_memory // shape.memory))
        count = shape.size / side_by_side
        what = shape.best()
        seconds = self.core.scheduler.expected(what.form) if what is not None else None
        return count if seconds is None else min(count, count * seconds / WORTH)

    def expected(self) -> int:
        """Workers that are there and will be for a while, or have been asked for."""
        there = self.core.ledger.expected + len(self.strangers())
        return there - sum(1 for worker in self.core.roster if self._is_leaving(worker))

    def _is_leaving(self, worker: Worker) -> bool:
        """Whether it is time for its successor. One that said so itself counts no more either."""
        if worker.draining:
            return self._is_counted(worker)
        life = self.core.settings.worker_time
        if worker.until is None or life is None or not self._is_counted(worker):
            return False
        lead = min(max(SUCCESSOR_LEAST, life * SUCCESSOR_SHARE), SUCCESSOR_MOST, life / 2)
        return worker.until - self.core.now < lead

    def strangers(self) -> list[Worker]:
        """Workers of a submission of which we do not know any more: they were given up and have come back.

        Those that were started by hand count nowhere: they come and go as somebody likes.
        """
        return [worker for worker in self.core.roster if worker.block and not self._is_counted(worker)]

    def _is_counted(self, worker: Worker) -> bool:
        block = self.core.ledger.blocks.get(worker.block)
        return block is not None and (not block.known or bool(block.ident_of(worker.index)))
