"""What must hold, seen from outside: each broken promise is a ``Broken``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jobtree.ids import NOBODY, Attempt
from jobtree.master import records as r
from jobtree.master.audit import audit, dump
from jobtree.master.ledger import Ledger
from jobtree.master.tree import Tree
from jobtree.views.swift import SwiftTree
from jobtree.worker.effects import Task

from .recipe import Expected, Spec, unpack

if TYPE_CHECKING:
    from .cluster import Cluster, Life
    from .runners import SimRunner

#: Records that nothing has to wait for, as the design says; all others must be on disk before anybody is told.
MAY_WAIT = (r.AttemptsAssigned, r.AttemptsStarted, r.Summary)


class Broken(AssertionError):
    """Something that must hold does not."""


@dataclass
class Chronicle:
    """What the journal says has happened, read by somebody who knows nothing of trees."""

    path: dict[int, str] = field(default_factory=dict)  # by target id
    creator: dict[int, tuple[int, int]] = field(default_factory=dict)
    target: dict[tuple[int, int], int] = field(default_factory=dict)  # by attempt
    committed: dict[str, tuple[int, int]] = field(default_factory=dict)  # by path
    good: set[tuple[int, int]] = field(default_factory=set)  # attempts that have committed
    given_up: set[tuple[int, int]] = field(default_factory=set)
    named: set[tuple[str, ...]] = field(default_factory=set)  # blobs that the journal has heard of
    assigned: int = 0
    failures: int = 0
    adopted: int = 0
    returned: int = 0
    lost: int = 0
    cancelled: int = 0
    epoch: int = 0

    def read(self, record: r.Record, blobs: dict[tuple[str, ...], bytes]) -> None:
        """Take in one record."""
        match record:
            case r.EpochBegan():
                self.epoch = record.epoch
            case r.TargetsCreated():
                self._created(record, blobs)
            case r.AttemptsAssigned():
                number = record.first
                for first, count in zip(record.targets[::2], record.targets[1::2], strict=True):
                    for target in range(first, first + count):
                        self.target[self.epoch, number] = target
                        number += 1
                        self.assigned += 1
            case r.AttemptsAdopted():
                for epoch, number, target in record.attempts:
                    self.target[epoch, number] = target
                    self.given_up.discard((epoch, number))
                    self.adopted += 1
            case r.AttemptsReturned() | r.AttemptsLost():
                if isinstance(record, r.AttemptsLost):
                    self.lost += len(record.attempts)
                else:
                    self.returned += len(record.attempts)
                self.given_up |= {(attempt[0], attempt[1]) for attempt in record.attempts}
            case r.SubtreesCancelled():
                self.cancelled += len(record.targets)
            case r.AttemptsFailed():
                self.given_up |= {(row[0], row[1]) for row in record.rows}
                self.failures += len(record.rows)
            case r.AttemptsCommitted():
                for row in record.rows:
                    self._committed((row[0], row[1]))
                    if isinstance(row[5], list) and len(row[5]) == 2:
                        self.named.add((str(row[0]), str(row[1]), "r"))

    def _created(self, record: r.TargetsCreated, blobs: dict[tuple[str, ...], bytes]) -> None:
        place = 0
        for index, length in enumerate(record.lengths):
            data = record.data[place : place + length]
            place += length
            extra = record.extras.get(index)
            if extra is not None and extra[2] is not None:
                name = (str(record.epoch), str(record.number), str(record.first_n + index))
                self.named.add(name)
                if name not in blobs:
                    continue  # it was removed long ago: this is a replay
                data = blobs[name]
            self.path[record.first + index] = unpack(data)[0].path
            self.creator[record.first + index] = (record.epoch, record.number)

    def _committed(self, attempt: tuple[int, int]) -> None:
        target = self.target[attempt]
        path = self.path.get(target, f"?{target}")
        if path in self.committed:
            raise Broken(f"{path} was committed twice, by {self.committed[path]} and {attempt}")
        if attempt in self.given_up:
            raise Broken(f"{attempt} of {path} was committed after it had been given up")
        creator = self.creator.get(target, NOBODY)
        if creator != NOBODY and creator not in self.good:
            raise Broken(f"{path} was committed, but {creator}, which created it, was not")
        self.committed[path] = attempt
        self.good.add(attempt)


class Checks:
    """Looks over everybody's shoulder."""

    def __init__(self, cluster: Cluster, expected: Expected) -> None:
        self.cluster = cluster
        self.expected = expected
        self.chronicle = Chronicle()
        self.told = 0  # records that somebody outside knows the consequences of
        self.temp_of: dict[str, tuple[str, bool]] = {}
        self.ran: dict[Attempt, int] = {}

    def require(self, fact: bool, otherwise: str) -> None:
        """Raise Broken unless ``fact``."""
        if not fact:
            raise Broken(otherwise)

    # -- the master's side ----------------------------------------------------------------------------------------

    def replayed(self, records: list[r.Record]) -> None:
        """A new master has read the journal."""
        self.require(
            len(records) >= self.told, f"{self.told - len(records)} records are lost, whose consequences had left the master"
        )
        old = self.chronicle
        self.chronicle = Chronicle()
        for record in records:
            self.chronicle.read(record, self.cluster.ever_blobs)
        lost = [path for path in old.committed if path not in self.chronicle.committed]
        self.require(len(self.chronicle.committed) + len(lost) >= len(old.committed), "commits vanished")
        self.told = len(records)

    def turned(self, records: list[r.Record]) -> None:
        """A turn's records, before anybody is told."""
        weather = self.cluster.world.faults.weather
        for record in records:
            self.chronicle.read(record, self.cluster.ever_blobs)
            # (A HELLO that comes twice, or late, tells of an old state; then an attempt may run in vain.)
            if isinstance(record, r.AttemptsReturned) and not (weather.double or weather.late):
                begun = [attempt for attempt in record.attempts if Attempt(*attempt) in self.ran]
                self.require(not begun, f"{begun} were taken back, and had begun")

    def state(self, life: Life) -> None:
        """The insides of a living master, between two turns."""
        core = life.state.core
        problem = audit(core.tree)
        self.require(not problem, problem)
        for worker in core.roster:
            cpus = worker.cpus
            for attempt, node in worker.held.items():
                self.require(
                    core.tree.current.get(attempt) is node, f"{worker.name} is said to hold {attempt}, which is not current"
                )
                self.require(node.worker == worker.number, f"{node} is held by {worker.name}, and the tree says w{node.worker}")
                cpus -= core.scheduler.shape(node.form).cpus
            self.require(abs(cpus - worker.free_cpus) < 1e-6, f"{worker.name} has {cpus} cpus free, and {worker.free_cpus} noted")
        held = sum(len(worker.held) for worker in core.roster)
        self.require(held == len(core.tree.current), f"{len(core.tree.current)} attempts are current, {held} are held by workers")

    def same(self, living: Tree, books: Ledger, records: list[r.Record]) -> None:
        """What a replay makes of all records is what a living master has, and what one has that began with a snapshot."""
        tree, swift, ledger = Tree(), SwiftTree(), Ledger()
        for record in records:
            bare = r.decode(r.encode(record)[0])  # as recovery does it: payloads stay where they are
            tree.apply(bare)
            swift.apply(bare)
            ledger.apply(bare)
            self.require(tree.tallies == swift.tallies, f"a reader counts {swift.tallies} and not {tree.tallies}")
        swift.settle()
        ours = dump(living, books)
        for name, theirs in (("replay", dump(tree, ledger)), ("reader", dump(swift, ledger))):
            for mine, other in zip(ours, theirs, strict=False):
                self.require(mine == other, f"live and {name} differ:\n  live   {mine}\n  {name} {other}")
            self.require(len(ours) == len(theirs), f"live and {name} differ in length")

    # -- the workers' side ----------------------------------------------------------------------------------------

    def begins(self, runner: SimRunner, task: Task, spec: Spec, taken: list[Any]) -> None:
        """A runner begins an attempt."""
        done = self.chronicle.committed
        expected = self.expected
        self.cluster.task_temp[task.attempt] = task.temp
        self.ran[task.attempt] = self.ran.get(task.attempt, 0) + 1
        self.require(self.ran[task.attempt] == 1, f"{task.attempt} of {spec.path} was begun twice")
        self.require(spec.path in expected.taken, f"{spec.path} was begun, which should never run")
        for prefix in expected.waits.get(spec.path, ()):
            missing = [path for path in expected.committed if path.startswith(prefix) and path not in done]
            self.require(not missing, f"{spec.path} was begun before {missing[:5]} were committed")
        # (A stale attempt may find that a value, which its target's commit has made needless, is gone.)
        if spec.path in expected.committed and self.cluster.is_current(task.attempt):
            self.require(taken == expected.taken[spec.path], f"{spec.path} was given {taken} and not {expected.taken[spec.path]}")
        worker = runner.worker
        busy = [other.task for other in worker.runners.values() if other.task is not None]
        cpus = sum(other.form[1] for other in busy)
        memory = sum(other.form[2] for other in busy)
        self.require(cpus <= worker.cpus + 1e-6, f"worker {worker.uid} runs targets of {cpus} cpus and has {worker.cpus}")
        self.require(memory <= worker.memory, f"worker {worker.uid} runs targets of {memory} bytes")
        chain = spec.path.rstrip("f")
        if chain in self.temp_of and spec.path != chain and self.cluster.is_current(task.attempt):
            temp, sure = self.temp_of[chain]
            if sure:
                self.require(task.temp == temp, f"{spec.path} is to use {task.temp}, and its chain has used {temp}")
                self.require(temp in self.cluster.temps, f"{spec.path}: the temp dir of its chain is gone")

    def temp_is_there(self, task: Task) -> None:
        """An attempt ends that has used the global temp dir."""
        if self.cluster.is_current(task.attempt):
            self.require(task.temp in self.cluster.temps, f"{task.attempt}: its temp dir {task.temp} was removed under it")

    def missing_blob(self, task: Task, name: tuple[str, ...]) -> None:
        """A payload or value is not in TREE/blobs."""
        self.require(not self.cluster.is_current(task.attempt), f"{task.attempt} needs blob {name}, which was removed")

    def rows(self, records: list[r.Record]) -> None:
        """Note which chains have a temp dir for certain."""
        for record in records:
            if isinstance(record, r.AttemptsCommitted):
                for row in record.rows:
                    path = self.chronicle.path.get(self.chronicle.target[row[0], row[1]], "?")
                    chain = path.rstrip("f")
                    if row[4] & 2 and chain not in self.temp_of:
                        temp = self.cluster.task_temp.get((row[0], row[1]))
                        if temp is not None:
                            self.temp_of[chain] = (temp, True)

    # -- what leaves, and what is left --------------------------------------------------------------------------------

    def leaves(self, life: Life) -> None:
        """An effect is about to leave the master."""
        if life.wait:
            self.require(not life.disk.dirty, "an effect leaves before its cause is on disk")
            life.wait = False
        if not life.disk.dirty:
            self.told = life.journal._record  # what waits for room is not told

    def temp_removed(self, chain: int) -> None:
        """A chain's temp dirs are removed: it must have ended."""
        path = self.chronicle.path.get(chain, "?").rstrip("f")
        left = [
            other for other in self.expected.committed
            if (other.startswith(f"{path}/") or other.rstrip("f") == path) and other not in self.chronicle.committed
        ]  # fmt: skip
        self.require(not left or path in self.expected.failed, f"the temp dir of {path} goes before {left[:5]} were done")

    def nobody_stale(self) -> None:
        """Long after the calm: whoever runs something, runs what the master waits for."""
        life = self.cluster.life
        if life is None:
            return
        for worker in self.cluster.workers.values():
            for runner in worker.runners.values():
                if runner.task is not None:
                    self.require(
                        self.cluster.is_current(runner.task.attempt),
                        f"{worker.uid} still runs {runner.task.attempt}, which is stale",
                    )

    def at_the_end(self) -> None:
        """The run is over, and all workers have left."""
        cluster, expected = self.cluster, self.expected
        self.require(cluster.failed == expected.failed, f"failed: {cluster.failed}, and should have: {expected.failed}")
        if expected.outcome == "complete" and not expected.failed and cluster.restarts == 1:
            left = cluster.temps - cluster.stale_temps
            self.require(not left, f"the chains of {sorted(left)} have ended, and their temp dirs are still there")
            named = (cluster.blobs.keys() & self.chronicle.named) - cluster.kept_blobs
            self.require(not named, f"nobody needs the blobs {sorted(named)[:5]} any more, and they are still there")
        if cluster.world.faults == type(cluster.world.faults)():
            begun, useful = len(self.ran), len(self.chronicle.committed) + self.chronicle.failures
            self.require(begun == useful, f"{begun - useful} of {begun} attempts were wasted, though nothing has gone wrong")
            self.require(cluster.dials == cluster.born, "a session has ended, though nothing has gone wrong")
            self.require(not self.chronicle.lost, f"{self.chronicle.lost} attempts were lost, though nothing has gone wrong")
