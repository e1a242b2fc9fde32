"""How many workers are wanted, which submissions that takes, and what becomes of them."""

from __future__ import annotations

from ..protocol.messages import Type
from . import records as r
from .contacts import Contacts
from .core import Core
from .demand import Demand
from .effects import CancelBlocks, Find, Submit
from .roster import Worker

#: Workers that die before they say HELLO, one after the other, before no more are asked for.
STILLBIRTHS = 3
#: Workers in one submission at the most: batch systems limit the size of arrays.
MOST_IN_BLOCK = 500
#: Seconds between two looks at how many workers a cluster's run needs.
LOOK_EVERY = 1.0
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
        self.stillbirths = 0
        self.inherited: set[str] = set()  # blocks of earlier masters: what became of them shows nothing about ours
        self.hopeless = ""  # why no more workers are asked for
        self._looked = 0.0
        self._idle_since: dict[int, float] = {}
        self._surplus_since: float | None = None
        self._pause = 0.0
        self._not_before = 0.0
        self._told: dict[str, str] = {}  # by block: what people were told of it last

    def take_up(self) -> None:
        """After a replay: ask after submissions that were planned, but of which nothing more is known."""
        self.inherited.update(self.core.ledger.blocks)
        for block in self.core.ledger.blocks.values():
            if not block.known:
                self.core.do(Find(block.name))

    def adjust(self) -> None:
        """Ask for as many workers as are missing; on a cluster, send home those that are not needed."""
        core = self.core
        if not core.settings.on_cluster:
            self._ask_for(core.settings.workers - core.ledger.expected)
        elif core.now - self._looked >= LOOK_EVERY:
            self._looked = core.now
            wanted = self.demand.workers()
            there = self.demand.expected()
            self._ask_for(wanted - there)
            self._send_home(there - wanted)

    @property
    def deadline(self) -> float | None:
        """When to look again though nothing may have happened."""
        return self._looked + LOOK_EVERY if self.core.settings.on_cluster else None

    def _ask_for(self, missing: int) -> None:
        core = self.core
        if missing <= 0 or self.hopeless or core.now < self._not_before:
            return
        n = min(missing, MOST_IN_BLOCK)
        name = f"jt-{core.settings.script}-{core.settings.run[:6]}-{core.ledger.planned + 1}"
        core.emit(r.BlockPlanned(core.now, name, "", n))
        core.do(Submit(name, n))

    # -- too many -------------------------------------------------------------------------------------------------

    def _send_home(self, surplus: int) -> None:
        """Workers that have had nothing to do for a while leave; what still waits in the queue is taken back."""
        core = self.core
        idle = {worker.number: self._idle_since.get(worker.number, core.now) for worker in core.roster if self._is_idle(worker)}
        self._idle_since = idle
        if surplus <= 0:
            self._surplus_since = None
            return
        if self._surplus_since is None:
            self._surplus_since = core.now
        patient = core.now - self._surplus_since < core.settings.worker_idle
        strangers = self.demand.strangers()
        for worker in list(core.roster):
            since = idle.get(worker.number)
            if surplus <= 0 or since is None:
                continue
            if core.now - since >= core.settings.worker_idle or worker in strangers:
                self._dismiss(worker)
                surplus -= 1
        if surplus > 0 and not patient:
            self._take_back(surplus)

    def _is_idle(self, worker: Worker) -> bool:
        return worker.peer is not None and not worker.held and not worker.draining

    def _dismiss(self, worker: Worker) -> None:
        assert worker.peer is not None
        self.core.roster.drain(worker)
        self.core.send(worker.peer, Type.STOP, ["there is nothing to do for it"])

    def _take_back(self, surplus: int) -> None:
        missing = [ident for block in self.core.ledger.blocks.values() if block.known for ident in block.missing]
        if missing:
            self.core.do(CancelBlocks(missing[-surplus:]))

    # -- what the launcher says -----------------------------------------------------------------------------------

    def submitted(self, name: str, ids: list[str]) -> None:
        """The launcher has taken a submission."""
        self._pause = 0.0
        if name in self.core.ledger.blocks:
            self.core.emit(r.BlockKnown(self.core.now, name, ids))

    def failed(self, name: str, reason: str, verdict: str = "") -> None:
        """The launcher has refused a submission, or does not know of it."""
        core = self.core
        if name not in core.ledger.blocks:
            return
        core.emit(r.BlockEnded(core.now, name, "", reason))
        if core.settings.on_cluster:
            self._pause = min(max(FIRST_PAUSE, 2 * self._pause), LONGEST_PAUSE)
            self._not_before = core.now + self._pause
        if verdict == "refused":
            core.tell("ERROR", f"workers can't be had: {reason}")
            self.hopeless = f"the batch system refuses workers: {reason}"
        elif verdict == "busy":
            core.tell("WARNING", f"workers can't be had now, the next try is in {self._pause:.0f} s: {reason}")
        else:
            self._stillborn(f"workers could not be started: {reason}")

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
            if worker.peer is not None and core.settings.on_cluster:
                # What a batch system calls ended may have left an orphan.
                core.send(worker.peer, Type.STOP, [f"the batch system says that this job has ended: {reason}"])
            self.contacts.bury(worker, f"its process has ended: {reason}")
        elif index not in block.came and name not in self.inherited:
            self._stillborn(f"a worker ended before it reached the master: {reason}" + (f"\n{tail}" if tail else ""))

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
        if not core.settings.on_cluster:
            return
        gone = set(ids)
        for block in list(core.ledger.blocks.values()):
            for ident in sorted(gone & block.alive):
                core.emit(r.BlockEnded(core.now, block.name, ident, "cancelled"))

    # -- what workers do ------------------------------------------------------------------------------------------

    def joined(self) -> None:
        """A worker has come: the road is open."""
        self.stillbirths = 0

    def left(self, worker: Worker, reason: str) -> None:
        """A worker has said that it leaves. The batch system will say so too, but much later."""
        self._end_of(worker, reason)

    def lost(self, worker: Worker, reason: str) -> None:
        """A worker is given up. Should it still live, behind a cut link, the batch system is to end it when it can."""
        ident = self._end_of(worker, reason)
        if ident:
            self.core.do(CancelBlocks([ident]))

    def _end_of(self, worker: Worker, reason: str) -> str:
        core = self.core
        block = core.ledger.blocks.get(worker.block)
        ident = block.ident_of(worker.index) if block is not None and core.settings.on_cluster else ""
        if ident:
            core.emit(r.BlockEnded(core.now, worker.block, ident, reason))
        return ident

    def _stillborn(self, reason: str) -> None:
        self.stillbirths += 1
        self.core.tell("WARNING", reason)
        if self.stillbirths >= STILLBIRTHS:
            self.hopeless = f"{self.stillbirths} workers in a row could not be started; the last one: {reason}"

    # -- the end --------------------------------------------------------------------------------------------------

    def withdraw(self) -> None:
        """The run is over: nobody needs the workers that have not come yet."""
        core = self.core
        if core.settings.on_cluster:
            waiting = [ident for block in core.ledger.blocks.values() for ident in self._without_worker(block.name)]
            if waiting:
                core.do(CancelBlocks(waiting))

    def _without_worker(self, name: str) -> list[str]:
        block = self.core.ledger.blocks[name]
        here = {worker.index for worker in self.core.roster if worker.block == name and worker.peer is not None}
        return [ident for index, ident in enumerate(block.ids) if ident in block.alive and index not in here]

    def cancel_all(self, force: bool) -> None:
        """End all workers by the launcher's own means."""
        ids = [ident for block in self.core.ledger.blocks.values() for ident in sorted(block.alive)]
        if ids:
            self.core.do(CancelBlocks(ids, force))

    def left_over(self) -> str:
        """The names of what may still be there, for people."""
        return ", ".join(block.name for block in self.core.ledger.blocks.values())
