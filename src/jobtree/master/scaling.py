"""How many workers are wanted, which submissions that takes, and what becomes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..protocol.messages import Type
from . import records as r
from .contacts import Contacts
from .core import Core
from .demand import Demand, Group
from .effects import CancelBlocks, Find, Submit
from .ledger import Block
from .pools import SLACK, PoolPlan, Size, total
from .roster import Worker
from .scheduler import Shape

#: Workers that die before they say HELLO, one after the other, before no more are asked for.
STILLBIRTHS = 3
#: Workers in one submission at the most: batch systems limit the size of arrays.
MOST_IN_BLOCK = 500
#: Seconds between two looks at how many workers a cluster's run needs.
LOOK_EVERY = 1.0
#: Seconds between two submissions for the same pool and size while it has workers.
ASK_EVERY = 10.0
#: Seconds until a submission is tried again that failed for the first time; doubled up to the most.
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0
#: Seconds until people are told that workers have to wait, when nothing is wrong with them.
TELL_WAITING_AFTER = 30.0


class Scaling:
    """Keeps the number of workers at what is wanted."""

    def __init__(self, core: Core, contacts: Contacts) -> None:
        self.core = core
        self.contacts = contacts
        self.demand = Demand(core)
        self.stillbirths: Counter[str] = Counter()  # by pool: in a row
        self.proven: set[str] = set()  # pools of which workers have come
        self.inherited: set[str] = set()  # blocks of earlier masters: what became of them shows nothing about ours
        self.closed: dict[str, str] = {}  # by pool: why no more of its workers are asked for
        self.refused: dict[tuple[str, Size], str] = {}  # sizes of elastic pools that are not to be had, and why
        self._looked = 0.0
        self._idle_since: dict[int, float] = {}
        self._surplus_since: dict[tuple[str, Size], float] = {}
        self._pause: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._asked_at: dict[tuple[str, Size], float] = {}
        self._told: dict[str, str] = {}  # by block: what people were told of it last

    def take_up(self) -> None:
        """After a replay: ask after submissions that were planned, but of which nothing more is known."""
        self.inherited.update(self.core.ledger.blocks)
        for block in self.core.ledger.blocks.values():
            if not block.known:
                self.core.do(Find(block.name, block.pool))

    def adjust(self) -> None:
        """Ask for as many workers as are missing; on a cluster, send home those that are not needed."""
        core = self.core
        for pool in core.pools.plans:
            if not pool.on_cluster:
                self._fill(pool)
        if core.settings.on_cluster and core.now - self._looked >= LOOK_EVERY:
            self._looked = core.now
            self._note_idle()
            shapes = core.scheduler.waiting()
            for pool in core.pools.plans:
                if pool.on_cluster:
                    self._balance(pool, self.demand.groups(pool, shapes))

    def _fill(self, pool: PoolPlan) -> None:
        """Hold as many as there may be."""
        most = pool.most if pool.name else self.core.settings.workers
        there = sum(block.expected for block in self.core.ledger.blocks.values() if self.demand.pool_of(block) is pool)
        self._ask_for(Group(pool, pool.size, most, there), most - there)

    def _balance(self, pool: PoolPlan, groups: list[Group]) -> None:
        """Have what is wanted of each size."""
        most = pool.most if pool.name else self.core.settings.workers
        room = most - sum(group.there for group in groups)
        crowded = sum(max(0, group.missing) for group in groups) > room
        for group in groups:
            room -= self._ask_for(group, min(group.missing, room))
        for group in groups:
            self._send_home(group, crowded)

    @property
    def deadline(self) -> float | None:
        """When to look again though nothing may have happened."""
        return self._looked + LOOK_EVERY if self.core.settings.on_cluster else None

    def _ask_for(self, group: Group, missing: int) -> int:
        """Submit a block for as many as are missing, if it is time; how many were asked for."""
        core, pool, size = self.core, group.pool, group.size
        n = min(missing, MOST_IN_BLOCK, self._allowed(size)) if missing > 0 else 0
        if n <= 0 or pool.name in self.closed or (pool.name, size) in self.refused:
            return 0
        if core.now < self._not_before.get(pool.name, 0.0) or (pool.on_cluster and not self._is_time(group)):
            return 0
        self._asked_at[pool.name, size] = core.now
        name = f"jt-{core.settings.script}-{core.settings.run[:6]}-{core.ledger.planned + 1}"
        own = size if pool.elastic else Size(0.0, 0)
        core.emit(r.BlockPlanned(core.now, name, pool.name, n, *own))
        core.do(Submit(name, n, pool.name, *own))
        return n

    def _is_time(self, group: Group) -> bool:
        """Whether to submit now, or to wait for more to be missing: a batch system is not to get a trickle of requests."""
        before = self._asked_at.get((group.pool.name, group.size))
        return before is None or group.there <= 0 or self.core.now - before >= ASK_EVERY

    def _allowed(self, size: Size) -> int:
        """How many more workers of this size all limits together leave room for."""
        settings, blocks = self.core.settings, self.core.ledger.blocks.values()
        if settings.max_blocks is not None and len(blocks) >= settings.max_blocks:
            return 0
        rooms = [MOST_IN_BLOCK]
        if settings.max_workers is not None:
            rooms.append(settings.max_workers - self.core.ledger.expected)
        if settings.max_cpus is None and settings.max_memory is None:
            return min(rooms)
        cpus, memory = total((self.demand.size_of(block), block.expected) for block in blocks)
        if settings.max_cpus is not None and size.cpus:
            rooms.append(int((settings.max_cpus - cpus + SLACK) / size.cpus))
        if settings.max_memory is not None and size.memory:
            rooms.append((settings.max_memory - memory) // size.memory)
        return min(rooms)

    @property
    def hopeless(self) -> str:
        """Why the run can't go on: all that waits belongs to pools of which no worker can be had. Empty if it can."""
        core = self.core
        if not (self.closed or self.refused) or any(worker.held for worker in core.roster):
            return ""
        reasons = [self._why_never(shape) for shape in core.scheduler.waiting()]
        return reasons[0] if reasons and all(reasons) and not self.refusals() else ""

    def _why_never(self, shape: Shape) -> str:
        """Why no worker will come for targets of a shape; empty if one may."""
        if any(shape.fits_at_all(worker) for worker in self.core.roster.in_contact):
            return ""
        pool = self.core.pools.of(shape.pool)
        size = pool.size_for(shape.cpus, shape.memory, shape.gpus, shape.size)
        return self.closed.get(pool.name, "") or self.refused.get((pool.name, size), "")

    # -- too many -------------------------------------------------------------------------------------------------

    def _send_home(self, group: Group, crowded: bool) -> None:
        """Workers that have had nothing to do for a while leave; what still waits in the queue is taken back.

        ``crowded``: others are wanted, and there is no room for them.
        """
        core, surplus = self.core, -group.missing
        key = (group.pool.name, group.size)
        if surplus <= 0:
            self._surplus_since.pop(key, None)
            return
        since = self._surplus_since.setdefault(key, core.now)
        patience = 0.0 if crowded else core.settings.worker_idle
        strangers = self.demand.strangers()
        for worker in self._idle_of(group):
            if surplus > 0 and (core.now - self._idle_since[worker.number] >= patience or worker in strangers):
                self._dismiss(worker)
                surplus -= 1
        if surplus > 0 and core.now - since >= patience:
            self._take_back(group, surplus)

    def _note_idle(self) -> None:
        core = self.core
        idle = [worker.number for worker in core.roster if worker.block and self._is_idle(worker)]
        self._idle_since = {number: self._idle_since.get(number, core.now) for number in idle}

    def _idle_of(self, group: Group) -> list[Worker]:
        some = [self.core.roster.workers[number] for number in self._idle_since]
        pools = self.core.pools
        return [w for w in some if pools.of(w.pool) is group.pool and self.demand.size_of_worker(w) == group.size]

    def _is_idle(self, worker: Worker) -> bool:
        return worker.peer is not None and not worker.held and not worker.draining

    def _dismiss(self, worker: Worker) -> None:
        assert worker.peer is not None
        self.core.roster.drain(worker)
        self.core.send(worker.peer, Type.STOP, ["there is nothing to do for it"])

    def _take_back(self, group: Group, surplus: int) -> None:
        blocks = [block for block in self.core.ledger.blocks.values() if block.known and self._is_of(block, group)]
        missing = [ident for block in blocks for ident in block.missing]
        if missing:
            self.core.do(CancelBlocks(missing[-surplus:], pool=group.pool.name))

    def _is_of(self, block: Block, group: Group) -> bool:
        return self.demand.pool_of(block) is group.pool and self.demand.size_of(block) == group.size

    # -- what the launcher says -----------------------------------------------------------------------------------

    def submitted(self, name: str, ids: list[str]) -> None:
        """The launcher has taken a submission."""
        block = self.core.ledger.blocks.get(name)
        if block is not None:
            self._pause.pop(block.pool, None)
            self.core.emit(r.BlockKnown(self.core.now, name, ids))

    def failed(self, name: str, reason: str, verdict: str = "") -> None:
        """The launcher has refused a submission, or does not know of it."""
        core = self.core
        block = core.ledger.blocks.get(name)
        if block is None:
            return
        pool, size = self.demand.pool_of(block), self.demand.size_of(block)
        core.emit(r.BlockEnded(core.now, name, "", reason))
        pause = 0.0
        if pool.on_cluster:
            pause = self._pause[pool.name] = min(max(FIRST_PAUSE, 2 * self._pause.get(pool.name, 0.0)), LONGEST_PAUSE)
            self._not_before[pool.name] = core.now + pause
        if verdict == "refused":
            self._refused(pool, size, reason)
        elif verdict == "busy":
            core.tell("WARNING", f"{_workers_of(pool)} can't be had now, the next try is in {pause:.0f} s: {reason}")
        else:
            self._stillborn(pool, f"{_workers_of(pool)} could not be started: {reason}")

    def _refused(self, pool: PoolPlan, size: Size, reason: str) -> None:
        """The same submission would be refused again; of an elastic pool, other sizes may be had."""
        if pool.elastic:
            self._not_before.pop(pool.name, None)
            self.core.tell("ERROR", f"{_workers_of(pool)} with {size} can't be had: {reason}")
            self.refused[pool.name, size] = f"the batch system refuses workers with {size}: {reason}"
        else:
            self.core.tell("ERROR", f"{_workers_of(pool)} can't be had: {reason}")
            self.closed[pool.name] = f"the batch system refuses {_workers_of(pool)}: {reason}"

    def refusals(self) -> list[tuple[Shape, str]]:
        """Shapes whose own size can't be had, though their pool has other workers: they will never run."""
        core = self.core
        if not self.refused:
            return []
        return [
            (shape, why) for shape in core.scheduler.waiting()
            if shape.pool in self.proven and shape.pool not in self.closed and (why := self._why_never(shape))
        ]  # fmt: skip

    def gone(self, name: str, ident: str, reason: str, tail: str) -> None:
        """A worker's process or job is known to have ended: no need to wait for its silence."""
        core = self.core
        block = core.ledger.blocks.get(name)
        if block is None or ident not in block.alive:
            return
        index = block.ids.index(ident)
        core.emit(r.BlockEnded(core.now, name, ident, reason))
        worker = next((w for w in core.roster if (w.block, w.index) == (name, index)), None)
        if worker is not None:
            if worker.peer is not None and self.demand.pool_of(block).on_cluster:
                # What a batch system calls ended may have left an orphan.
                core.send(worker.peer, Type.STOP, [f"the batch system says that this job has ended: {reason}"])
            self.contacts.bury(worker, f"its process has ended: {reason}")
        elif index not in block.came and name not in self.inherited:
            words = f"a worker ended before it reached the master: {reason}" + (f"\n{tail}" if tail else "")
            self._stillborn(self.demand.pool_of(block), words)

    def seen(self, name: str, state: str, count: int, reason: str) -> None:
        """The batch system says how a submission stands: remember it, and say what people ought to know."""
        core = self.core
        block = core.ledger.blocks.get(name)
        if block is None or block.note == (state, count, reason) or (state == "running" and block.note is None):
            return
        core.emit(r.BlockNoted(core.now, name, state, count, reason))
        words = f"{name}: {count} of {block.n} workers"
        if state in ("error", "held"):
            self._say(name, "WARNING", f"{words} can't start ({state}): {reason or 'the batch system does not say why'}")
        elif state == "pending" and (reason or core.now - block.planned_at >= TELL_WAITING_AFTER):
            self._say(name, "INFO", f"{words} wait in the queue: {reason or 'the batch system does not say why'}")
        elif state == "unknown" and reason:
            self._say(name, "WARNING" if count == 0 else "DEBUG", f"{name}: {reason}")

    def _say(self, name: str, level: str, words: str) -> None:
        if self._told.get(name) != words:
            self._told[name] = words
            self.core.tell(level, words)

    def cancelled(self, ids: list[str], trouble: str) -> None:
        """What was to be ended will end: it counts as ended, unless the launcher could not do it."""
        core = self.core
        if trouble:
            core.tell("WARNING", f"workers could not be ended: {trouble}")
            return
        gone = set(ids)
        for block in list(core.ledger.blocks.values()):
            if not self.demand.pool_of(block).on_cluster:
                continue
            for ident in sorted(gone & block.alive):
                core.emit(r.BlockEnded(core.now, block.name, ident, "cancelled"))

    # -- what workers do ------------------------------------------------------------------------------------------

    def joined(self, worker: Worker) -> None:
        """A worker has come: the road is open."""
        if worker.pool is not None:
            self.stillbirths.pop(worker.pool, None)
            self.proven.add(worker.pool)

    def left(self, worker: Worker, reason: str) -> None:
        """A worker has said that it leaves. The batch system will say so too, but much later."""
        block = self.core.ledger.blocks.get(worker.block)
        if block is not None and self.demand.pool_of(block).on_cluster:
            self._end_of(worker, reason)

    def lost(self, worker: Worker, reason: str) -> None:
        """A worker is given up. Should it still live, frozen or behind a cut link, its launcher is to end it when it can."""
        block = self.core.ledger.blocks.get(worker.block)
        ident = self._end_of(worker, reason)
        if ident and block is not None:
            self.core.do(CancelBlocks([ident], pool=block.pool))

    def _end_of(self, worker: Worker, reason: str) -> str:
        core = self.core
        block = core.ledger.blocks.get(worker.block)
        ident = block.ident_of(worker.index) if block is not None else ""
        if ident:
            core.emit(r.BlockEnded(core.now, worker.block, ident, reason))
        return ident

    def _stillborn(self, pool: PoolPlan, reason: str) -> None:
        self.stillbirths[pool.name] += 1
        self.core.tell("WARNING", reason)
        count = self.stillbirths[pool.name]
        if count >= STILLBIRTHS:
            self.closed[pool.name] = f"{count} {_workers_of(pool)} in a row could not be started; the last one: {reason}"

    # -- the end --------------------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """The run is over: nobody needs the workers that have not come yet."""
        core = self.core
        for pool in core.pools.plans:
            if pool.on_cluster:
                self._cancel(pool, lambda block: self._without_worker(block.name))

    def _without_worker(self, name: str) -> list[str]:
        block = self.core.ledger.blocks[name]
        here = {worker.index for worker in self.core.roster if worker.block == name and worker.peer is not None}
        return [ident for index, ident in enumerate(block.ids) if ident in block.alive and index not in here]

    def cancel_all(self, force: bool) -> None:
        """End all workers by the launcher's own means."""
        for pool in self.core.pools.plans:
            self._cancel(pool, lambda block: sorted(block.alive), force)

    def _cancel(self, pool: PoolPlan, which: Callable[[Block], list[str]], force: bool = False) -> None:
        blocks = [block for block in self.core.ledger.blocks.values() if self.demand.pool_of(block) is pool]
        ids = [ident for block in blocks for ident in which(block)]
        if ids:
            self.core.do(CancelBlocks(ids, force, pool.name))

    def left_over(self) -> str:
        """The names of what may still be there, for people."""
        return ", ".join(block.name for block in self.core.ledger.blocks.values())


def _workers_of(pool: PoolPlan) -> str:
    return f"workers of the pool {pool.name}" if pool.name else "workers"
