"""The workers that the master has heard of, what each of them holds, and how what it says compares with what the tree says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..ids import Attempt
from ..protocol.messages import VERDICT_ADOPT, VERDICT_CANCEL
from .nodes import Node, Phase
from .records import WorkerJoined
from .tree import Tree

#: Seconds without a word after which a worker is lost, unless --lost-after says otherwise.
LOST_AFTER = 60.0


@dataclass(slots=True, eq=False)
class Worker:
    """One worker: who it is, what it has, what it holds."""

    number: int
    uid: str
    host: str
    pid: int
    block: str
    index: int  # its place in the block
    cpus: float
    memory: int
    gpus: float = 0.0
    peer: int | None = None  # the open session, if there is one
    heard: float = 0.0
    lost_at: float | None = None  # when it is given up, while it is out of contact
    until: float | None = None  # when the batch system ends it
    draining: bool = False
    pool: str | None = None  # what it was asked for; None: it takes what fits
    free_cpus: float = 0.0  # below zero when it holds more than it can run at once
    free_memory: int = 0
    free_gpus: float = 0.0
    backlog: float = 0.0  # expected seconds of all that it holds
    held: dict[tuple[int, int], Node] = field(default_factory=dict)  # in the order of assignment
    begun: dict[tuple[int, int], float] = field(default_factory=dict)  # what has run for a while, and since when
    recalled: set[tuple[int, int]] = field(default_factory=set)
    acked: int = 0  # highest number of its messages that it has been told is on disk
    to_ack: int = 0

    def __post_init__(self) -> None:
        self.idle()

    def idle(self) -> None:
        """It holds nothing: all that it has is free."""
        self.backlog = 0.0
        self.free_cpus, self.free_memory, self.free_gpus = self.cpus, self.memory, self.gpus

    @property
    def name(self) -> str:
        """What users see."""
        return f"w{self.number}@{self.host}"


class Roster:
    """All workers that have not left, by number, session and name."""

    def __init__(self) -> None:
        self.workers: dict[int, Worker] = {}
        self.by_peer: dict[int, Worker] = {}
        self.by_uid: dict[str, Worker] = {}
        self.sessions: dict[str, int] = {}  # by uid, of those that have left too: the last one that each has opened
        self.next_number = 1
        self._in_contact: list[Worker] | None = None
        self._takers: list[Worker] | None = None

    @property
    def in_contact(self) -> list[Worker]:
        """The workers with an open session; another list whenever it holds others."""
        if self._in_contact is None:
            self._in_contact = [worker for worker in self if worker.peer is not None]
        return self._in_contact

    @property
    def takers(self) -> list[Worker]:
        """Those of them that may be given targets; another list whenever it holds others."""
        if self._takers is None:
            self._takers = [worker for worker in self.in_contact if not worker.draining]
        return self._takers

    def drain(self, worker: Worker) -> None:
        """``worker`` begins nothing new."""
        worker.draining = True
        self._takers = None

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers.values())

    def __len__(self) -> int:
        return len(self.workers)

    def join(self, joined: WorkerJoined) -> Worker:
        """Take in a worker that the journal knows, or will know."""
        worker = Worker(
            joined.worker, joined.uid, joined.host, joined.pid, joined.block, joined.index,
            joined.cpus, joined.memory, joined.gpus,
        )  # fmt: skip
        self.workers[worker.number] = worker
        self.by_uid[worker.uid] = worker
        self.next_number = max(self.next_number, worker.number + 1)
        return worker

    def is_stale(self, uid: str, session: int) -> bool:
        """Whether a HELLO was overtaken by a later one of the same worker, on another connection; else it is the latest now."""
        if session <= self.sessions.get(uid, 0):
            return True
        self.sessions[uid] = session
        return False

    def leave(self, number: int) -> None:
        """Forget a worker."""
        self._in_contact = self._takers = None
        worker = self.workers.pop(number)
        self.by_uid.pop(worker.uid, None)
        if worker.peer is not None:
            self.by_peer.pop(worker.peer, None)

    def open_session(self, worker: Worker, peer: int, now: float) -> int | None:
        """``worker`` talks on ``peer`` from now on; the session that this one replaces, if any."""
        self._in_contact = self._takers = None
        old = worker.peer
        if old is not None:
            self.by_peer.pop(old, None)
        worker.peer, worker.heard, worker.lost_at = peer, now, None
        worker.acked = worker.to_ack = 0
        worker.recalled.clear()
        self.by_peer[peer] = worker
        return old

    def close_session(self, peer: int, now: float, patience: float) -> Worker | None:
        """The session is over; its worker has some time to come back."""
        worker = self.by_peer.pop(peer, None)
        if worker is not None:
            self._in_contact = self._takers = None
            worker.peer = None
            worker.lost_at = now + patience
        return worker


@dataclass(slots=True)
class Reconciliation:
    """What follows from a worker's list of attempts."""

    verdicts: list[list[int]] = field(default_factory=list)  # [epoch, number, VERDICT_*, creations on disk]
    adopted: list[list[int]] = field(default_factory=list)  # [epoch, number, target]: not known as its own so far
    kept: dict[tuple[int, int], Node] = field(default_factory=dict)
    missing: list[Attempt] = field(default_factory=list)  # assigned to it, and it has never had them or has them no more


def reconcile(tree: Tree, worker: Worker, held: Iterable[list[int]]) -> Reconciliation:
    """Compare what a worker says it holds with what the tree says it should.

    ``held`` is HELLO's list: ``[epoch, number, target, created, HELD_*]``. The same comparison serves a new worker, a cut link
    and a restarted master.
    """
    found = Reconciliation()
    taken: set[int | tuple[int, int]] = set()
    for epoch, number, target, _created, _state in held:
        node = tree.current.get((epoch, number))
        if node is not None and node.id == target:
            if (epoch, number) in found.kept:
                continue
            found.kept[epoch, number] = node
            found.verdicts.append([epoch, number, VERDICT_ADOPT, node.created])
            if node.worker != worker.number:
                found.adopted.append([epoch, number, target])
        elif node is None and not taken & {target, (epoch, number)} and _may_adopt(tree, epoch, number, target):
            taken |= {target, (epoch, number)}
            found.adopted.append([epoch, number, target])
            found.verdicts.append([epoch, number, VERDICT_ADOPT, 0])
        else:
            found.verdicts.append([epoch, number, VERDICT_CANCEL, 0])
    listed = {(epoch, number) for epoch, number, *_ in held}
    found.missing = [Attempt(*attempt) for attempt in worker.held if attempt not in listed]
    return found


def _may_adopt(tree: Tree, epoch: int, number: int, target: int) -> bool:
    """Whether an attempt that the tree does not know (its record was not on disk, or its worker was given up) may go on.

    It may if its target is ready: not if that very attempt has failed already and its target waits to be tried again.
    """
    if epoch < tree.forgiven:
        return False  # before the loss that number may have been another target's
    if epoch > tree.epoch or (epoch == tree.epoch and number >= tree.next_number):
        return False  # nobody has given it that, and somebody may yet get it
    node = tree.nodes.get(target)
    if node is None:
        run = tree.runs.find(target)
        return run is not None and not run.withdrawn and tree.alive(run.parent)
    if node.over is not None and (epoch, number) in node.over:
        return False
    return node.phase is Phase.READY and node.attempt != (epoch, number) and tree.alive(node)


def about_worker(hello: dict[str, Any], number: int, at: float) -> WorkerJoined:
    """The record of a worker that says HELLO for the first time."""
    return WorkerJoined(
        at, number, hello["uid"], hello["host"], hello["pid"], hello["block"], hello["index"],
        float(hello["cpus"]), hello["memory"], float(hello["gpus"]),
    )  # fmt: skip
