"""Which ready target goes to which worker: queues by shape, the deepest first, and as much ahead as hides the wire's latency.

After each turn nothing that waits fits anywhere. So in the next one only two things have to be looked at: shapes that have got
something ready, which are offered to all workers, and workers that have got room, to whom all shapes are offered until it is
taken. What a turn costs so depends on what has happened, not on how much waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple

from .agenda import Agenda
from .counters import Amounts, Counters
from .nodes import Form, Node, Phase, Run
from .pools import Pools
from .roster import Worker

#: Completions of a name that must be known before its targets are pushed ahead.
KNOWN_AFTER = 5
#: Targets of a name that was never seen to take longer than this are taken to take this long (seconds).
SHORTEST = 20e-6
#: At most so many targets are pushed ahead to one worker in one turn, and about so many are given out altogether.
MOST_AT_ONCE, MOST_IN_A_TURN = 1000, 2000
#: So many targets are held by one worker at the most: what it loses with its death has to fit into few records.
MOST_HELD = 20_000
#: Sums of fractions of cpus are right but for this.
SLACK = 1e-6
#: Targets that were seen to take longer than this share of a worker's life are given to new workers all the same.
LONGEST_SHARE = 0.8


class Assignment(NamedTuple):
    """``amount`` targets of a run, from its front, or a single node."""

    worker: Worker
    what: Run | Node
    amount: int


@dataclass(slots=True)
class Learned:
    """How long attempts of a name take: an average in which the last ones count most. And what they have used, for people."""

    count: int = 0
    mean: float = 0.0
    seconds: float = 0.0  # of all of them
    cpu_seconds: float = 0.0
    peak: int = 0  # bytes

    def add(self, seconds: float, cpu_seconds: float = 0.0, memory: int = 0) -> None:
        """Take in one completion."""
        self.count += 1
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds
        if memory > self.peak:
            self.peak = memory
        weight = max(1.0 / self.count, 0.02)
        self.mean += (seconds - self.mean) * weight


@dataclass(slots=True, eq=False)
class Shape:
    """Ready targets that need the same: buckets by priority and depth, first in first out within a bucket.

    ``memory`` is None for targets that do not say; they reserve their share of the worker, at most the default.
    """

    cpus: float
    memory: int | None
    gpus: float
    missing: str = ""  # what it asks for that can never be had, in words
    named: Amounts = ()  # of the run's own resources
    pool: str | None = None  # whose workers it is for; None: all that it fits
    keys: list[tuple[int, int]] = field(default_factory=list)  # a heap
    buckets: dict[tuple[int, int], deque[Run | Node]] = field(default_factory=dict)
    size: int = 0  # targets queued, stale ones included

    def push(self, what: Run | Node, front: bool = False) -> None:
        """Queue a run or a node."""
        priority = int(what.form.requests.get("priority", 0))
        key = (-priority, -what.depth)
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = deque()
            heappush(self.keys, key)
        if front:
            bucket.appendleft(what)
        else:
            bucket.append(what)
        self.size += what.count if isinstance(what, Run) else 1

    def best(self) -> Run | Node | None:
        """What comes first, or None; emptied runs and nodes that are not ready any more are dropped on the way."""
        while self.keys:
            bucket = self.buckets[self.keys[0]]
            while bucket:
                what = bucket[0]
                if isinstance(what, Run):
                    if what.count:
                        return what
                elif what.phase is Phase.READY:
                    return what
                else:
                    self.size -= 1
                bucket.popleft()
            del self.buckets[heappop(self.keys)]
        self.size = 0
        return None

    def taken(self, what: Run | Node, count: int) -> None:
        """``count`` targets of what came first were assigned."""
        self.size -= count
        if isinstance(what, Node):
            self.buckets[self.keys[0]].popleft()

    def memory_on(self, worker: Worker, default: int) -> int:
        """Bytes that one target of the shape reserves on ``worker``."""
        if self.memory is not None:
            return self.memory
        return int(min(default, worker.memory * self.cpus / worker.cpus)) if worker.cpus else default

    def fits_at_all(self, worker: Worker) -> bool:
        """Whether ``worker``, with nothing else to do, could run a target of the shape."""
        if self.missing or not self.may_go_to(worker):
            return False
        return self.fits(worker.cpus, worker.memory, worker.gpus)

    def may_go_to(self, worker: Worker) -> bool:
        """Whether ``worker`` was asked for on behalf of such targets, or for nobody in particular."""
        return self.pool is None or worker.pool is None or worker.pool == self.pool

    def fits(self, cpus: float, memory: int, gpus: float) -> bool:
        """Whether a target of the shape fits into so much."""
        return self.cpus <= cpus + SLACK and (self.memory or 0) <= memory and self.gpus <= gpus + SLACK


class Scheduler:
    """The queues of ready targets, and the decision where they go."""

    def __init__(
        self,
        default_cpus: float,
        default_memory: int,
        target_time: float,
        resources: Mapping[str, float] | None = None,
        pools: Pools | None = None,
    ) -> None:
        self.pools = pools
        self.default_cpus = default_cpus
        self.default_memory = default_memory
        self.target_time = target_time
        self.counters = Counters(resources)
        self.shapes: dict[tuple[Any, ...], Shape] = {}
        self.learned: dict[str, Learned] = {}
        self.unsettled = False  # the last turn has not looked at everything
        self._agenda: Agenda[Shape] = Agenda()
        self._least_cpus = float("inf")  # no shape that waits needs fewer
        self._later: list[tuple[float, int, Node]] = []  # a heap: targets to be tried again at a time
        self._fresh: dict[Shape, None] = {}  # have got something ready since they were last offered to everybody
        self._eased: dict[int, Worker] = {}  # have got room since they were last offered everything
        self._workers: list[Worker] = []
        self._present: set[int] = set()
        self._now = 0.0
        self._given = 0  # in this turn
        self._most: list[Worker] | None = None  # the workers of whom none has more room than:
        self._room_at_most = (0.0, 0, 0.0)

    def ready(self, what: Run | Node, now: float) -> None:
        """Take in what has become ready."""
        if isinstance(what, Node) and what.not_before > now:
            heappush(self._later, (what.not_before, what.id, what))
            return
        shape = self.shape(what.form)
        # What was given back has waited longest.
        shape.push(what, front=isinstance(what, Node) and what.begun > 0)
        self._agenda.file(shape, shape.keys[0])
        self._fresh[shape] = None
        self._least_cpus = min(self._least_cpus, shape.cpus)

    def wake(self, now: float) -> None:
        """Queue the targets whose time to be tried again has come."""
        while self._later and self._later[0][0] <= now:
            _, _, node = heappop(self._later)
            if node.phase is Phase.READY:
                node.not_before = 0.0
                self.ready(node, now)

    @property
    def next_wake(self) -> float | None:
        """When the next target is to be tried again."""
        return self._later[0][0] if self._later else None

    @property
    def queued(self) -> int:
        """How many targets wait for a worker."""
        return sum(shape.size for shape in self._agenda)

    def shape(self, form: Form) -> Shape:
        """What a form's targets need."""
        if form.shape is None:
            requests = form.requests
            cpus = float(requests.get("cpus", self.default_cpus))
            memory = requests.get("memory")
            gpus = float(requests.get("gpus", 0))
            named = tuple(sorted((requests.get("resources") or {}).items()))
            home, nowhere = self.pools.home(cpus, memory, gpus, requests) if self.pools is not None else (None, "")
            missing = self.counters.missing(named) or nowhere
            pool = home.name if home is not None else requests.get("pool")
            key = (cpus, memory, gpus, named, missing, pool)
            form.shape = self.shapes.setdefault(key, Shape(cpus, memory, gpus, missing, named, pool))
        shape: Shape = form.shape
        return shape

    def expected(self, form: Form) -> float | None:
        """How many seconds a target of ``form`` may take; None while nothing is known."""
        learned = self.learned.get(form.name)
        if learned is not None and learned.count >= KNOWN_AFTER:
            return max(learned.mean, SHORTEST)
        given = form.requests.get("expected_time")
        return max(float(given), SHORTEST) if given is not None else None

    def learn(self, form: Form, seconds: float, cpu_seconds: float = 0.0, memory: int = 0) -> None:
        """An attempt of ``form`` has succeeded after ``seconds``; ``memory`` is its peak in bytes."""
        learned = self.learned.get(form.name)
        if learned is None:
            learned = self.learned[form.name] = Learned()
        learned.add(seconds, cpu_seconds, memory)
        if learned.count == KNOWN_AFTER:  # from now on they may be pushed ahead
            self._fresh.update(dict.fromkeys(self._agenda))

    def waiting(self) -> list[Shape]:
        """The shapes that have ready targets, the most urgent first."""
        return list(self._walk())

    def unproven(self, workers: list[Worker]) -> list[Shape]:
        """Of these, the ones that the last `assign` to ``workers``, or to others, has not seen."""
        return [shape for shape in self._fresh if shape.best() is not None] if workers is self._workers else self.waiting()

    def assign(self, workers: list[Worker], now: float) -> Iterator[Assignment]:
        """Give ready targets to workers: first to free slots, evenly, then ahead of time.

        The caller applies each assignment before it asks for the next one.
        """
        self._now = now
        self._notice(workers)
        fresh, self._fresh = self._fresh, {}
        eased, self._eased = self._eased, {}
        free = [worker for number, worker in eased.items() if number in self._present]
        self._given = 0
        self._most = None
        yield from self._offer(fresh, free, workers, self._has_room, self._fill_slots)
        yield from self._offer(fresh, free, workers, self._is_hungry, lambda shape, some: self._push_ahead(shape, some, now))
        if self._given >= MOST_IN_A_TURN:
            self._fresh = {**fresh, **self._fresh}
            self._eased = {**eased, **self._eased}
        self.unsettled = bool(self._eased or self._fresh)

    def _notice(self, workers: list[Worker]) -> None:
        """Who was not there the last time may be offered everything; the list is another one if its members are."""
        if workers is not self._workers:
            for worker in workers:
                if worker.number not in self._present:
                    self._eased[worker.number] = worker
            self._workers = workers
            self._present = {worker.number for worker in workers}

    def _offer(
        self,
        fresh: dict[Shape, None],
        free: list[Worker],
        workers: list[Worker],
        wants: Callable[[Worker], bool],
        give: Callable[[Shape, list[Worker]], Iterator[Assignment]],
    ) -> Iterator[Assignment]:
        """Offer fresh shapes to all workers, and all shapes to the free ones, the most urgent first."""
        left = dict(fresh)
        open_to_all = [worker for worker in workers if wants(worker)] if left else []
        free = [worker for worker in free if wants(worker)]
        for shape in self._walk():
            if not free or self._given >= MOST_IN_A_TURN:
                break
            before = self._given
            if shape in left:
                del left[shape]
                yield from give(shape, open_to_all)
            else:
                yield from give(shape, free)
            if self._given != before:
                free = [worker for worker in free if wants(worker)]
                open_to_all = [worker for worker in open_to_all if wants(worker)]
        for shape in sorted((shape for shape in left if shape.best() is not None), key=lambda shape: shape.keys[0]):
            if not open_to_all or self._given >= MOST_IN_A_TURN:
                break
            before = self._given
            yield from give(shape, open_to_all)
            if self._given != before:
                open_to_all = [worker for worker in open_to_all if wants(worker)]

    def _walk(self) -> Iterator[Shape]:
        """The shapes that have something ready, in order; what happens to them meanwhile is seen."""
        for shape, filed in self._agenda.walk():
            if shape.best() is None:
                self._agenda.drop(shape)
                if not self._agenda:
                    self._least_cpus = float("inf")
            elif shape.keys[0] != filed:
                self._agenda.file(shape, shape.keys[0])  # it is less urgent by now, and comes later
            else:
                yield shape

    def _has_room(self, worker: Worker) -> bool:
        return worker.free_cpus + SLACK >= self._least_cpus

    def _fill_slots(self, shape: Shape, workers: list[Worker]) -> Iterator[Assignment]:
        if self._most is not workers:
            self._measure(workers)
        if not shape.fits(*self._room_at_most):
            return
        if shape.size < len(workers):  # no need to look at all of them
            for worker in workers:
                if self._fits(shape, worker):
                    if shape.best() is None:
                        return
                    yield from self._fill_worker(shape, worker, 1)
        roomy = [worker for worker in workers if self._fits(shape, worker)]
        while roomy and self._given < MOST_IN_A_TURN and shape.best() is not None:
            share = max(1, -(-shape.size // len(roomy)))
            for worker in roomy:
                if self._given >= MOST_IN_A_TURN:
                    return
                yield from self._fill_worker(shape, worker, share)
            roomy = [worker for worker in roomy if self._fits(shape, worker)]

    def _fill_worker(self, shape: Shape, worker: Worker, share: int) -> Iterator[Assignment]:
        while share > 0 and (what := shape.best()) is not None and self._given < MOST_IN_A_TURN:
            count = min(share, self._room(shape, worker), what.count if isinstance(what, Run) else 1)
            if not count or (worker.until is not None and not self.in_time(shape, worker)):
                return
            share -= count
            yield self._take(shape, worker, what, count)

    def _measure(self, workers: list[Worker]) -> None:
        """Find out what fits on none of these, by one look at a shape; rooms only shrink while they are filled."""
        self._most = workers
        self._room_at_most = (
            max((worker.free_cpus for worker in workers), default=0.0),
            max((worker.free_memory for worker in workers), default=0),
            max((worker.free_gpus for worker in workers), default=0.0),
        )

    def _fits(self, shape: Shape, worker: Worker) -> bool:
        """Whether a target of ``shape`` can start on ``worker`` now."""
        return (
            worker.free_cpus + SLACK >= shape.cpus
            and (shape.pool == worker.pool or shape.may_go_to(worker))
            and (worker.until is None or self.in_time(shape, worker))
            and worker.free_gpus + SLACK >= shape.gpus
            and worker.free_memory >= shape.memory_on(worker, self.default_memory)
            and (not shape.named or self.counters.room(shape.named, 1) > 0)
        )

    def in_time(self, shape: Shape, worker: Worker) -> bool:
        """Whether what comes first will have ended before ``worker`` has to; one that is new may try whatever it is."""
        what = shape.best()
        seconds = self.expected(what.form) if what is not None else None
        if seconds is None or worker.until is None:
            return True
        life = self.pools.of(worker.pool).worker_time if self.pools is not None else None
        if life is not None:
            seconds = min(seconds, life * LONGEST_SHARE)
        return self._now + seconds <= worker.until

    def _room(self, shape: Shape, worker: Worker) -> int:
        """How many targets of ``shape`` can start on ``worker`` now, at most as many as are given at once."""
        room = float(MOST_AT_ONCE)
        if shape.cpus:
            room = min(room, (worker.free_cpus + SLACK) // shape.cpus)
        if shape.gpus:
            room = min(room, (worker.free_gpus + SLACK) // shape.gpus)
        if room > 0 and (memory := shape.memory_on(worker, self.default_memory)):
            room = min(room, worker.free_memory // memory)
        if shape.named:
            room = self.counters.room(shape.named, int(room))
        return max(0, int(room))

    def _is_hungry(self, worker: Worker) -> bool:
        return worker.backlog < self.target_time * max(1.0, worker.cpus) and len(worker.held) < MOST_HELD

    def _push_ahead(self, shape: Shape, workers: list[Worker], now: float) -> Iterator[Assignment]:
        what = shape.best()
        if what is None or not workers or self.expected(what.form) is None or shape.named:
            return  # what waits on a worker must not keep a licence from who could begin
        share = shape.size // len(self._workers) + 1  # so that nobody gets the whole end of a queue
        for worker in workers:
            may = shape.fits_at_all(worker) and (worker.until is None or self.in_time(shape, worker))
            slots = self._moving_slots(shape, worker, now) if may else 0.0
            left = min(share, MOST_AT_ONCE, MOST_HELD - len(worker.held)) if slots > 0 else 0
            while left > 0 and (what := shape.best()) is not None and self._given < MOST_IN_A_TURN:
                count = min(self._ahead(worker, what.form, slots), left, what.count if isinstance(what, Run) else 1)
                if count < 1:
                    break
                left -= count
                yield self._take(shape, worker, what, count)

    def _moving_slots(self, shape: Shape, worker: Worker, now: float) -> float:
        """How many targets of ``shape`` run side by side on ``worker``, not counting slots whose target is overdue."""
        slots = max(1.0, worker.cpus // max(shape.cpus, 0.01))
        for attempt, since in worker.begun.items():
            expected = self.expected(worker.held[attempt].form) or 0.0
            if now - since > self.target_time + 2 * expected:
                slots -= 1
        return slots

    def _ahead(self, worker: Worker, form: Form, slots: float) -> int:
        """How many targets of ``form`` may be pushed to ``worker`` though it is busy."""
        seconds = self.expected(form)
        if seconds is None:
            return 0
        return min(MOST_AT_ONCE, int((self.target_time * slots - worker.backlog) / seconds))

    def _take(self, shape: Shape, worker: Worker, what: Run | Node, count: int) -> Assignment:
        """Reserve, and hand out; the caller makes it true."""
        self._given += count
        self.reserve(worker, what.form, count)
        shape.taken(what, count)
        return Assignment(worker, what, count)

    def reserve(self, worker: Worker, form: Form, count: int = 1) -> None:
        """Note that ``worker`` holds ``count`` more targets of ``form``; fewer, if negative."""
        if count < 0:
            self._eased[worker.number] = worker
        shape = self.shape(form)
        worker.free_cpus -= shape.cpus * count
        worker.free_gpus -= shape.gpus * count
        worker.free_memory -= shape.memory_on(worker, self.default_memory) * count
        if shape.named:
            self._reserve_named(shape, count)
        seconds = self.expected(form)
        if seconds is not None:
            worker.backlog = max(0.0, worker.backlog + seconds * count) if worker.held or count > 0 else 0.0

    def release(self, worker: Worker, form: Form) -> None:
        """Note that ``worker`` holds one target of ``form`` less."""
        if worker.held:
            self.reserve(worker, form, -1)
        else:
            self._eased[worker.number] = worker
            worker.idle()  # sums of fractions drift
            if (shape := self.shape(form)).named:
                self._reserve_named(shape, -1)

    def _reserve_named(self, shape: Shape, count: int) -> None:
        """What is given back may be what others have waited for, on any worker."""
        self.counters.reserve(shape.named, count)
        if count < 0:
            self._fresh.update((other, None) for other in self._agenda if other.named)
