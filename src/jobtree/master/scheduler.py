"""Which ready target goes to which worker: queues by shape, the deepest first, and as much ahead as hides the wire's latency."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple

from .nodes import Form, Node, Phase, Run
from .roster import Worker

#: Completions of a name that must be known before its targets are pushed ahead.
KNOWN_AFTER = 5
#: Targets of a name that was never seen to take longer than this are taken to take this long (seconds).
SHORTEST = 20e-6
#: At most so many targets are pushed ahead to one worker in one turn.
MOST_AT_ONCE = 1000
#: So many targets are held by one worker at the most: what it loses with its death has to fit into few records.
MOST_HELD = 20_000
#: Sums of fractions of cpus are right but for this.
SLACK = 1e-6


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
    missing: str = ""  # what it asks for that no worker of this version has, in words
    keys: list[tuple[int, int]] = field(default_factory=list)  # a heap
    buckets: dict[tuple[int, int], deque[Run | Node]] = field(default_factory=dict)
    size: int = 0  # targets queued, stale ones included
    listed: bool = False  # among those that may have something ready

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
        if self.missing:
            return False
        return self.fits(worker.cpus, worker.memory, worker.gpus)

    def fits(self, cpus: float, memory: int, gpus: float) -> bool:
        """Whether a target of the shape fits into so much."""
        return self.cpus <= cpus + SLACK and (self.memory or 0) <= memory and self.gpus <= gpus + SLACK


class Scheduler:
    """The queues of ready targets, and the decision where they go."""

    def __init__(self, default_cpus: float, default_memory: int, target_time: float) -> None:
        self.default_cpus = default_cpus
        self.default_memory = default_memory
        self.target_time = target_time
        self.shapes: dict[tuple[Any, ...], Shape] = {}
        self.learned: dict[str, Learned] = {}
        self._waiting: list[Shape] = []  # shapes that may have something ready
        self._later: list[tuple[float, int, Node]] = []  # a heap: targets to be tried again at a time

    def ready(self, what: Run | Node, now: float) -> None:
        """Take in what has become ready."""
        if isinstance(what, Node) and what.not_before > now:
            heappush(self._later, (what.not_before, what.id, what))
            return
        shape = self.shape(what.form)
        if not shape.listed:
            shape.listed = True
            self._waiting.append(shape)
        # What was given back has waited longest.
        shape.push(what, front=isinstance(what, Node) and what.begun > 0)

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
        return sum(shape.size for shape in self._waiting)

    def shape(self, form: Form) -> Shape:
        """What a form's targets need."""
        if form.shape is None:
            requests = form.requests
            cpus = float(requests.get("cpus", self.default_cpus))
            memory = requests.get("memory")
            gpus = float(requests.get("gpus", 0))
            wanted = _not_to_be_had(requests)
            key = (cpus, memory, gpus, wanted)
            form.shape = self.shapes.setdefault(key, Shape(cpus, memory, gpus, wanted))
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

    def waiting(self) -> list[Shape]:
        """The shapes that have ready targets, the most urgent first."""
        left = []
        for shape in self._waiting:
            shape.listed = shape.best() is not None
            if shape.listed:
                left.append(shape)
        self._waiting = left
        self._waiting.sort(key=lambda shape: shape.keys[0])
        return self._waiting

    def assign(self, workers: list[Worker], now: float) -> Iterator[Assignment]:
        """Give ready targets to workers: first to free slots, round and round, then ahead of time.

        The caller applies each assignment before it asks for the next one.
        """
        for shape in self.waiting():
            yield from self._fill_slots(shape, workers)
        for shape in self.waiting():
            yield from self._push_ahead(shape, workers, now)

    def _fill_slots(self, shape: Shape, workers: Iterable[Worker]) -> Iterator[Assignment]:
        roomy = [worker for worker in workers if self._slots(shape, worker)]
        while roomy:
            left = []
            for worker in roomy:
                what = shape.best()
                if what is None:
                    return
                if self._slots(shape, worker):
                    yield self._take(shape, worker, what, 1)
                    left.append(worker)
            roomy = left

    def _slots(self, shape: Shape, worker: Worker) -> bool:
        """Whether a target of ``shape`` can start on ``worker`` now."""
        return (
            worker.free_cpus + SLACK >= shape.cpus
            and worker.free_gpus + SLACK >= shape.gpus
            and worker.free_memory >= shape.memory_on(worker, self.default_memory)
        )

    def _push_ahead(self, shape: Shape, workers: list[Worker], now: float) -> Iterator[Assignment]:
        what = shape.best()
        if what is None:
            return
        share = shape.size // len(workers) + 1 if workers else 0  # so that nobody gets the whole end of a queue
        for worker in workers:
            slots = self._moving_slots(shape, worker, now) if shape.fits_at_all(worker) else 0.0
            if slots <= 0:
                continue
            left = min(share, MOST_AT_ONCE, MOST_HELD - len(worker.held))
            while left > 0:
                what = shape.best()
                if what is None:
                    return
                count = min(self._ahead(worker, what.form, slots), left)
                if count < 1:
                    break
                count = min(count, what.count) if isinstance(what, Run) else 1
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
        self.reserve(worker, what.form, count)
        shape.taken(what, count)
        return Assignment(worker, what, count)

    def reserve(self, worker: Worker, form: Form, count: int = 1) -> None:
        """Note that ``worker`` holds ``count`` more targets of ``form``; fewer, if negative."""
        shape = self.shape(form)
        worker.free_cpus -= shape.cpus * count
        worker.free_gpus -= shape.gpus * count
        worker.free_memory -= shape.memory_on(worker, self.default_memory) * count
        seconds = self.expected(form)
        if seconds is not None:
            worker.backlog = max(0.0, worker.backlog + seconds * count) if worker.held or count > 0 else 0.0

    def release(self, worker: Worker, form: Form) -> None:
        """Note that ``worker`` holds one target of ``form`` less."""
        if worker.held:
            self.reserve(worker, form, -1)
        else:
            worker.idle()  # sums of fractions drift


def _not_to_be_had(requests: dict[str, Any]) -> str:
    """Named resources and pools are asked for by users, and workers have none so far."""
    named = requests.get("resources")
    if named:
        return f"the resource {', '.join(sorted(named))}"
    pool = requests.get("pool")
    return f"the pool {pool}" if pool else ""
