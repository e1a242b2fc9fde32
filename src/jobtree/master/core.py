"""What the parts of the master's state share: the tree, the workers, the queues, and the step that is being made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..protocol.messages import Type
from . import records as r
from .effects import Effect, Fetch, Send, Spill, Step, Tell
from .ledger import Ledger
from .nodes import Node, Phase
from .pools import PoolPlan, Pools, Size
from .roster import LOST_AFTER, Roster, Worker
from .scheduler import Scheduler
from .tree import Tree

#: Records that nothing waits for: they do not cause a sync of their own.
_LAZY = (r.AttemptsAssigned, r.AttemptsStarted, r.Summary)


@dataclass(slots=True)
class Settings:
    """How a run is to be made: those of its options that the master's state looks at. Times in seconds."""

    run: str = ""
    version: str = ""
    python: str = ""
    script: str = "script"  # for the names of blocks
    workers: int = 1  # at the most
    workers_least: int | None = None  # None: always as many as at the most
    on_cluster: bool = False  # workers come through a batch system: late, seldom polled, and not to be kept for nothing
    worker_idle: float = 60.0
    worker_time: float | None = None  # what a worker is asked for has this long to live
    worker_cpus: float = 0.0  # what a worker that is asked for has
    worker_memory: int = 0
    retries: int = 0
    oom_retries: int = 2
    resources: dict[str, float] = field(default_factory=dict)  # of the whole run, by name
    fail_fast: bool = False
    default_cpus: float = 1.0
    default_memory: int = 2 << 30
    target_time: float = 0.2
    time_limit: float | None = None
    adopt_grace: float = 60.0
    lost_after: float = LOST_AFTER
    worker_patience: float = 600.0
    stop_grace: float = 5.0
    backoff_most: float = 30.0  # the longest pause before a failed target is tried again
    tell_failures: bool = False  # each failed attempt is told to the display when it is on disk
    pools: list[PoolPlan] = field(default_factory=list)  # left out: one, as the fields above say
    max_cpus: float | None = None  # of all workers together
    max_memory: int | None = None
    max_workers: int | None = None
    max_blocks: int | None = None  # submissions that have not ended
    welcome: dict[str, Any] = field(default_factory=dict)  # what a worker is told beside the verdicts

    def __post_init__(self) -> None:
        if not self.pools:
            size = Size(self.worker_cpus, self.worker_memory)
            self.pools = [PoolPlan("", size, self.workers_least, self.workers, self.on_cluster, self.worker_time)]


class Core:
    """The shared memory of one master; ``emit`` is the only way anything durable changes."""

    def __init__(self, tree: Tree, ledger: Ledger, settings: Settings) -> None:
        self.tree = tree
        self.ledger = ledger
        self.settings = settings
        self.roster = Roster()
        self.roster.next_number = ledger.last_worker + 1
        self.pools = Pools(settings.pools)
        self.scheduler = Scheduler(
            settings.default_cpus, settings.default_memory, settings.target_time, settings.resources, self.pools
        )
        self.now = 0.0
        self.step = Step()
        self.ending = False  # the workers are being sent home: what they drop is no loss that counts
        self.retried: Counter[str] = Counter()  # by name: failed attempts of this master's life that are followed by another
        self.settled = tree.records  # records below this number are on disk when the step that made them is
        self.loss = ""  # what a worker knows and the journal does not
        self._cancels: dict[int, list[list[int]]] = {}  # by worker: attempts that it is to end
        self.exceptions: dict[int, Fetch | list[Any]] = {}  # in a session, by id: what has ended a target that failed
        self.begun: list[int] = []  # in a session: n of submitted targets that run
        self.touched: dict[int, Worker] = {}  # workers whose messages this turn has taken in: to be acknowledged

    def begin(self, now: float) -> None:
        """A new turn."""
        self.now = now
        self.step = Step()
        self.touched.clear()

    def emit(self, record: r.Record) -> None:
        """Decide: apply a record and have it journaled."""
        self.tree.apply(record)
        self.ledger.apply(record)
        self.step.records.append(record)
        if self.tree.revoked:
            self._revoke()
        if not isinstance(record, _LAZY):
            self.step.lazy = False
            self.settled = self.tree.records

    def _revoke(self) -> None:
        """Attempts are not wanted any more: their workers are to end them."""
        for node in self.tree.revoked:
            worker = self.roster.workers.get(node.worker)
            if worker is not None and worker.held.get(node.attempt) is node:
                self.drop(worker, node)
                self._cancels.setdefault(worker.number, []).append(list(node.attempt))
        self.tree.revoked.clear()

    def drop(self, worker: Worker, node: Node) -> None:
        """``worker`` is not to hold the attempt of ``node`` any more."""
        attempt = node.attempt
        del worker.held[attempt]
        worker.begun.pop(attempt, None)
        worker.recalled.discard(attempt)
        self.scheduler.release(worker, node.form)

    def send_cancels(self) -> None:
        """Tell workers which of their attempts are not wanted any more."""
        for number, attempts in self._cancels.items():
            worker = self.roster.workers.get(number)
            if worker is not None and worker.peer is not None:
                self.send(worker.peer, Type.CANCEL, [attempts])
        self._cancels.clear()

    def do(self, effect: Effect) -> None:
        """Ask for something, once the records so far are durable."""
        self.step.effects.append(effect)

    def send(
        self, peer: int, kind: Type, body: list[Any], fetches: list[Fetch] | None = None, spills: list[Spill] | None = None
    ) -> None:
        """Ask for a message."""
        self.step.effects.append(Send(peer, kind, body, fetches or [], spills or []))

    def tell(self, level: str, text: str) -> None:
        """Say something to the people who watch."""
        self.step.effects.append(Tell(level, text))

    def tell_of_code(self) -> None:
        """Say once that some code will not be read anew."""
        if not self.tree.codes:
            self.tell(
                "INFO", "lambdas, closures and code without a file are kept in the journal: a restart runs them as they were"
            )

    def largest_memory(self) -> int:
        """Bytes that one target may have at the most: on a worker that is there, or that may be asked for."""
        return max((worker.memory for worker in self.roster), default=self.pools.largest.memory)

    def absorb(self) -> None:
        """Queue what the records so far have made ready."""
        for form, count in self.tree.unqueued:
            self.scheduler.shape(form).size -= count
        self.tree.unqueued.clear()
        fresh = self.tree.fresh
        if fresh:
            for what in fresh:
                self.scheduler.ready(what, self.now)
            fresh.clear()

    def queue_all(self) -> None:
        """Queue all that a replayed tree has ready."""
        self.tree.forget_news()
        for run in self.tree.runs:
            if not run.withdrawn:
                self.scheduler.ready(run, self.now)
        for node in self.tree.nodes.values():
            if node.phase is Phase.READY:
                self.scheduler.ready(node, self.now)
