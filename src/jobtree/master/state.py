"""The master as a pure function with a memory: ``MasterState.step(events, now)`` gives the records and effects of one turn.

It owns the order of things within a turn: take in events, look at the clock, give out work, see whether the end has come. What
each event means stands in the rooms beside: ``work`` (attempts), ``contacts`` (workers), ``scaling`` (blocks), ``dispatch``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.messages import Type
from . import events as e
from . import records as r
from .contacts import Contacts
from .control import Control
from .core import Core, Settings
from .desk import Desk
from .dispatch import Dispatch
from .effects import EndSession, Prune, RemoveBlob, RemoveTemp, Send, Step
from .ledger import Ledger
from .nodes import Phase, Run
from .roster import Worker
from .scaling import Scaling
from .scheduler import Shape
from .starving import Starving
from .tree import Tree
from .work import Work

#: Records between two summaries.
SUMMARY_EVERY = 50_000
SUMMARY_NAMES = 1_000
#: Seconds that a batch system has to answer when workers are taken back at the end.
BATCH_GRACE = 30.0
_ABOUT_ATTEMPTS = frozenset({Type.DONE, Type.CHILDREN, Type.STARTED, Type.RETURNED, Type.LOG, Type.NEED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a master's life has ended: state is complete, failed or stopped; ``status`` the exit status due; and why, in words."""

    state: str
    status: int
    reason: str


class MasterState:
    """All that a master knows, and what it does about events."""

    def __init__(self, tree: Tree, ledger: Ledger, settings: Settings, now: float) -> None:
        self.core = Core(tree, ledger, settings)
        self.core.begin(now)
        self.work = Work(self.core)
        self.contacts = Contacts(self.core, self.work)
        self.scaling = Scaling(self.core, self.contacts)
        self.dispatch = Dispatch(self.core)
        self.starving = Starving(self.core)
        self.desk = Desk(self.core)
        self.control = Control(self.core, self._stop, self.desk)
        self.outcome: Outcome | None = None
        self._ending: Outcome | None = None
        self._leave_at = 0.0  # when workers that have not gone by themselves are ended
        self._forced = False
        self._draining: Outcome | None = None
        self._paused: str | None = None
        self._summarised = 0

    def begin(self, opening: list[r.Record], now: float) -> Step:
        """The first turn: journal what this master's life begins with, and take up what an earlier one has left."""
        core = self.core
        core.begin(now)
        for record in opening:
            if isinstance(record, r.CodeAdded):
                core.tell_of_code()
            core.emit(record)
        if core.tree.door and not isinstance(opening[0], r.RunDescribed):
            core.emit(r.DoorClosed(now))  # the client went with the master that it had started; what it left is finished
        core.queue_all()
        self.contacts.take_up()
        self._retry_failed()
        self.scaling.take_up()
        return self._finish_turn()

    def step(self, events: list[e.Event], now: float) -> Step:
        """One turn: what ``events`` and the time lead to."""
        self.core.begin(now)
        for event in events:
            self._take_in(event)
        return self._finish_turn()

    @property
    def deadline(self) -> float | None:
        """When the next turn is due though nothing may have happened."""
        times = [self.contacts.deadline, self.core.scheduler.next_wake, self.control.deadline]
        if self._gives_out:
            times.append(self.dispatch.deadline)
        if self._ending is not None and self.outcome is None:
            if not self._forced:
                times.append(self._leave_at)
            elif self.core.settings.on_cluster:
                times.append(self._leave_at + BATCH_GRACE)
        return min((time for time in times if time is not None), default=None)

    @property
    def _gives_out(self) -> bool:
        """Whether targets are given to workers, and recalled for others."""
        return self._ending is None and self._paused is None and self._draining is None

    # -- one turn -------------------------------------------------------------------------------------------------

    def _take_in(self, event: e.Event) -> None:
        core = self.core
        match event:
            case e.Received():
                self._received(event)
            case e.Hello() if self._paused is not None:
                self.contacts.put_off(event.peer, event.about, self._paused)
            case e.Hello():
                if self.contacts.hello(event.peer, event.session, event.about):
                    self.scaling.joined(core.roster.by_uid[event.about["uid"]])
                    if self._ending is not None:  # it comes when the others have been sent home
                        core.send(event.peer, Type.STOP, [self._ending.reason])
            case e.Asked():
                self.control.asked(event)
            case e.Submitted():
                self.desk.submitted(event)
            case e.PeerLost():
                self.contacts.peer_lost(event.peer)
            case e.BlockSubmitted():
                self.scaling.submitted(event.name, event.ids)
                if self._ending is not None:
                    self.scaling.withdraw()
            case e.SubmitFailed():
                self.scaling.failed(event.name, event.reason, event.verdict)
            case e.BlockSeen():
                self.scaling.seen(event.name, event.state, event.count, event.reason)
            case e.BlocksCancelled():
                self.scaling.cancelled(event.ids, event.trouble)
            case e.BlockGone():
                self.scaling.gone(event.name, event.id, event.reason, event.tail)
            case e.Signalled():
                self._signalled(event.level, event.status)
            case e.Stalled():
                for worker in core.roster:
                    worker.heard += event.seconds
                    if worker.lost_at is not None:
                        worker.lost_at += event.seconds
            case e.Paused():
                self._paused = event.reason
            case e.Compacted():
                core.emit(r.SnapshotTaken(core.now, event.first, event.last, event.bytes, event.sha))
                core.do(Prune(event.name, event.record, event.index_offset, event.remove))

    def _received(self, event: e.Received) -> None:
        worker = self.core.roster.by_peer.get(event.peer)
        if worker is None:
            self.core.do(EndSession(event.peer))
            return
        worker.heard = self.core.now
        worker.to_ack = event.number
        if event.type in _ABOUT_ATTEMPTS:
            self.core.touched[worker.number] = worker
            self.work.received(worker, event.type, event.body, event.data)
        elif event.type is Type.BEAT:
            # It tells of nothing that would have to be on disk, and must not wait for a journal that can't be written.
            self.core.step.at_once.append(Send(event.peer, Type.BEAT, [event.number]))
        elif event.type is Type.STACKED:
            self.control.stack_came((event.body[0], event.body[1]), event.body[2])
        elif event.type is Type.BYE:
            self.contacts.bye(worker, event.body[0])
            self.scaling.left(worker, f"its worker has left: {event.body[0]}")
            self.core.do(EndSession(event.peer))

    def _finish_turn(self) -> Step:
        core = self.core
        core.absorb()
        core.scheduler.wake(core.now)
        for worker, reason in self.contacts.watch():
            self.scaling.lost(worker, f"its worker is lost: {reason}")
            core.absorb()  # what it held waits again; the end that this leads to would be seen a turn late otherwise
        self.control.look()
        self.desk.answer()
        self._clean_up()
        if self._ending is None:
            self._see_the_end()
        if self._ending is None and self._paused is None:
            self.scaling.adjust()
            core.absorb()
        core.send_cancels()
        if self._gives_out:
            self.starving.look()
            self._refuse()
            self.dispatch.assign()
            self.dispatch.look()
        self._acknowledge()
        if core.tree.records - self._summarised >= SUMMARY_EVERY:
            self._summarise()
        if self._ending is not None:
            self._see_them_off()
        return core.step

    def _acknowledge(self) -> None:
        core = self.core
        for worker in core.touched.values():
            if worker.peer is not None and worker.to_ack > worker.acked:
                worker.acked = worker.to_ack
                core.send(worker.peer, Type.ACK, [worker.to_ack, core.tree.epoch, core.settled])

    def _clean_up(self) -> None:
        tree = self.core.tree
        for chain in tree.ended_chains:
            self.core.do(RemoveTemp(chain))
        for epoch, number, name in tree.unneeded:
            self.core.do(RemoveBlob(epoch, number, name))
        tree.ended_chains.clear()
        tree.unneeded.clear()

    def _summarise(self) -> None:
        tree = self.core.tree
        self.core.emit(r.Summary(self.core.now, summary_of(tree.tallies)))
        self._summarised = tree.records

    # -- what no worker can run -----------------------------------------------------------------------------------

    def _refuse(self) -> None:
        """Fail the targets that ask for more than any worker has."""
        core = self.core
        workers = core.roster.in_contact
        if not workers and not core.settings.on_cluster:
            return
        found = True
        while found:  # what fails may have been waited for by others that ask for as much
            found = False
            for shape, why in self.scaling.refusals():
                self._refuse_shape(shape, workers, why)
                found = True
            for shape in core.scheduler.unproven(core.roster.takers):
                fits_the_next = not shape.missing and core.pools.may_hold(shape.cpus, shape.memory, shape.gpus, shape.pool)
                if not fits_the_next and not any(shape.fits_at_all(worker) for worker in workers):
                    self._refuse_shape(shape, workers)
                    found = True
            core.absorb()

    def _refuse_shape(self, shape: Shape, workers: list[Worker], why: str = "") -> None:
        core = self.core
        some = [worker for worker in workers if shape.may_go_to(worker)]
        largest = core.pools.of(shape.pool).largest_size if shape.pool else core.pools.largest
        cpus = max((worker.cpus for worker in some), default=largest.cpus)
        memory = max((worker.memory for worker in some), default=largest.memory)
        text = why or (
            f"it asks for {shape.missing}"
            if shape.missing
            else (
                f"it asks for {shape.cpus:g} cpus, {(shape.memory or 0) / 2**30:.3g} GiB and {shape.gpus:g} gpus; "
                f"the largest worker has {cpus:g} cpus and {memory / 2**30:.3g} GiB"
            )
        )
        while (what := shape.best()) is not None:
            first, count = (what.first, min(what.count, 1000)) if isinstance(what, Run) else (what.id, 1)
            core.emit(r.TargetsRefused(core.now, list(range(first, first + count)), "no-fit", text))
            shape.size -= count

    # -- the end --------------------------------------------------------------------------------------------------

    def _see_the_end(self) -> None:
        core, tree = self.core, self.core.tree
        if tree.outcome is not None:
            status = 0 if tree.outcome == "complete" else 1
            self._end(Outcome(tree.outcome, status, "all targets are done" if not status else "targets have failed"))
        elif core.loss:
            self._end(Outcome("stopped", 3, core.loss), dismiss=False)
        elif self.core.settings.fail_fast and any(why["cause"] != "cancelled" for why in tree.failed.values()):
            self._end(Outcome("failed", 1, "a target has failed, and --fail-fast was given"))
        elif why := self.scaling.hopeless:
            self._end(Outcome("stopped", 1, why))
        elif self._draining is not None and not any(worker.held for worker in self.core.roster):
            self._end(self._draining)

    def _end(self, outcome: Outcome, *, dismiss: bool = True) -> None:
        """Journal that this life is over, and send the workers home (or leave them to their patience)."""
        core = self.core
        self._ending = outcome
        core.ending = True
        self._summarise()
        core.emit(r.RunEnded(core.now, outcome.state, outcome.reason))
        self._leave_at = core.now + core.settings.stop_grace
        if not dismiss:
            self.outcome = outcome
            return
        for worker in core.roster:
            if worker.peer is not None:
                core.send(worker.peer, Type.STOP, [outcome.reason])
        self.scaling.withdraw()

    def _see_them_off(self) -> None:
        core = self.core
        if not core.ledger.blocks:
            self.outcome = self._ending
        elif core.now >= self._leave_at and not self._forced:
            self._forced = True
            self.scaling.cancel_all(force=True)
        elif core.settings.on_cluster and core.now >= self._leave_at + BATCH_GRACE:
            left = self.scaling.left_over()
            core.tell("WARNING", f"these may still be in the batch system's queue, and will find nothing to do: {left}")
            self.outcome = self._ending

    def _signalled(self, level: int, status: int) -> None:
        core = self.core
        outcome = Outcome("stopped", status, "interrupted" if status == 130 else "ended by a signal")
        if status != 130:
            if self._ending is None:
                self._end(outcome, dismiss=False)
            return
        if level == 1 and self._ending is None:
            self._draining = outcome
            core.tell("WARNING", "interrupted: what runs is finished, nothing new is begun; ^C again stops now (restartable)")
            self._recall_all()
        elif level == 2:
            core.tell("WARNING", "stopping now; jobtree restart goes on from here; ^C again kills")
            if self._ending is None:
                self._end(outcome)
        elif level >= 3:
            if self._ending is None:
                self._end(outcome)
            self._forced = True
            self.scaling.cancel_all(force=True)

    def _stop(self, now: bool) -> None:
        """A client wants an end: when what runs is done, or at once; restartable in both cases."""
        if self._ending is not None:
            return
        outcome = Outcome("stopped", 130, "jobtree stop was asked for")
        if now:
            self._end(outcome)
        elif self._draining is None:
            self._draining = outcome
            self.core.tell("WARNING", "asked to stop: what runs is finished, nothing new is begun")
            self._recall_all()

    def _recall_all(self) -> None:
        for worker in self.core.roster:
            waiting = [list(attempt) for attempt in worker.held if attempt not in worker.begun]
            if worker.peer is not None and waiting:
                self.core.send(worker.peer, Type.RECALL, [waiting])

    # -- restart --------------------------------------------------------------------------------------------------

    def _retry_failed(self) -> None:
        """A restart gives the targets that have failed all their attempts again."""
        tree = self.core.tree
        failed = [
            target
            for target in tree.failed
            if (node := tree.nodes.get(target)) is not None and node.phase is Phase.FAILED and tree.alive(node)
        ]
        for some in r.batched(failed, r.MOST_LISTED):
            self.core.emit(r.TargetsRetried(self.core.now, list(some)))
        self.core.absorb()


def summary_of(tallies: dict[str, list[int]]) -> dict[str, list[int]]:
    """The counts of the most frequent names, and the sum of all others under "": a record has to fit into a frame."""
    names = sorted(tallies, key=lambda name: -sum(tallies[name]))
    counts = {name: list(tallies[name]) for name in names[:SUMMARY_NAMES]}
    rest = names[SUMMARY_NAMES:]
    if rest:
        counts[""] = [sum(column) for column in zip(*(tallies[name] for name in rest), strict=True)]
    return counts
