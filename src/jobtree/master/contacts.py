"""Workers come, fall silent, come back, and go: sessions, reconciling, and who is lost."""

from __future__ import annotations

from typing import Any

from ..errors import Cause
from ..protocol.messages import Type
from . import records as r
from .core import Core
from .effects import EndSession, Send
from .roster import Worker, about_worker, reconcile
from .work import Work

#: Seconds after which a worker that was put off may ask again.
ASK_AGAIN = 5.0
#: Seconds that a worker that has lost its patience may take to be gone.
LIMBO_SLACK = 60.0
#: A worker that was heard of within this share of the time after which it is lost is alive: it beats more often.
TWIN_SILENT_SHARE = 0.4
#: Seconds between two looks at all workers, though none should have to be given up sooner.
LOOK_EVERY = 1.0


class Contacts:
    """Opens and ends the master's dealings with workers."""

    def __init__(self, core: Core, work: Work) -> None:
        self.core = core
        self.work = work
        self._look_at = self._due = 0.0  # nobody has to be given up before

    def take_up(self) -> None:
        """After a replay: the workers that the journal knows may still be there; give them time to be heard.

        Those whose process or job is said to live get all the time that they may look for us: afterwards they will have ended.
        The launcher will say so at once if they have not lived to see this.
        """
        core, settings = self.core, self.core.settings
        grace = settings.adopt_grace
        longer = max(grace, settings.worker_patience + LIMBO_SLACK)
        alive = {(block.name, block.ids.index(ident)) for block in core.ledger.blocks.values() for ident in block.alive}
        for joined in core.ledger.joined.values():
            lives = (joined.block, joined.index) in alive
            known = core.roster.join(joined)
            known.lost_at = core.now + (longer if lives else grace)
            known.pool = self._pool_of(joined.block)
        for node in core.tree.current.values():
            worker = core.roster.workers.get(node.worker)
            assert worker is not None, f"{node} runs on a worker that the journal does not know"
            worker.held[node.attempt] = node
            core.scheduler.reserve(worker, node.form)

    def hello(self, peer: int, session: int, about: dict[str, Any]) -> bool:
        """A worker wants a session: compare what it holds with what it should, and say so; False if it is refused."""
        core = self.core
        refusal = self._refusal(about)
        if refusal:
            core.send(peer, Type.REJECT, [refusal])
            core.do(EndSession(peer))
            return False
        if core.roster.is_stale(about["uid"], session):
            core.do(EndSession(peer))  # what it says it holds is what it held then
            return False
        worker = core.roster.by_uid.get(about["uid"])
        if not core.tree.knows(*about["seen"]):
            self._knows_more(peer, about, worker)
            return False
        if worker is None:
            self._replace_twin(about)
            joined = about_worker(about, core.roster.next_number, core.now)
            core.emit(joined)
            worker = core.roster.join(joined)
            worker.pool = self._pool_of(joined.block)
            core.tell("INFO", f"worker {worker.name} has joined, {worker.cpus:g} cpus")
        left = about.get("left", 0.0)
        worker.until = core.now + left if left else None
        old = core.roster.open_session(worker, peer, core.now)
        if old is not None and old != peer:
            core.do(EndSession(old))
        verdicts = self._reconcile(worker, about["held"])
        core.send(peer, Type.WELCOME, [{**core.settings.welcome, "worker": worker.number}, verdicts])
        return True

    def _pool_of(self, block: str) -> str | None:
        known = self.core.ledger.blocks.get(block)
        return known.pool if known is not None and known.pool in self.core.pools.by_name else None

    def put_off(self, peer: int, about: dict[str, Any], reason: str) -> None:
        """Nothing can be decided now: a worker that wants a session is told that its master lives, and to ask again.

        It may have been known, and its old session be open on our side only: it is not to be taken for lost meanwhile.
        """
        core = self.core
        worker = core.roster.by_uid.get(about["uid"])
        if worker is not None:
            if worker.peer is not None:
                core.step.at_once.append(EndSession(worker.peer))
                core.roster.close_session(worker.peer, core.now, core.settings.lost_after)
            worker.lost_at = core.now + core.settings.lost_after
        core.step.at_once += [Send(peer, Type.BUSY, [ASK_AGAIN, reason]), EndSession(peer)]

    def _refusal(self, about: dict[str, Any]) -> str:
        settings = self.core.settings
        if about["run"] != settings.run:
            return "this worker belongs to another run"
        if about["version"] != settings.version:
            return f"this worker has jobtree {about['version']}, the master {settings.version}; install the same on all nodes"
        if about["python"] != settings.python:
            return f"this worker runs Python {about['python']}, the master {settings.python}; pickled code needs the same"
        twin = self._twin_of(about)
        if twin is not None and twin.peer is not None and self.core.now - twin.heard < TWIN_SILENT_SHARE * settings.lost_after:
            return f"the batch system has started this worker twice: {twin.name} (pid {twin.pid}) is here already, and at work"
        return ""

    def _twin_of(self, about: dict[str, Any]) -> Worker | None:
        """Another worker with the same place in the same block: a job that was started a second time."""
        if not about["block"] or about["uid"] in self.core.roster.by_uid:
            return None
        place = (about["block"], about["index"])
        return next((worker for worker in self.core.roster if (worker.block, worker.index) == place), None)

    def _replace_twin(self, about: dict[str, Any]) -> None:
        """The batch system has started a lost worker's job again: that is the surest sign that the old one is gone."""
        twin = self._twin_of(about)
        if twin is not None:
            self.bury(twin, "its job was started again by the batch system")

    def _knows_more(self, peer: int, about: dict[str, Any], worker: Worker | None) -> None:
        """A worker was told that something is on disk, and it is not: nobody goes on with that unless it was accepted."""
        core = self.core
        epoch, records = about["seen"]
        name = worker.name if worker is not None else about["host"]
        if core.tree.forgiven not in (0, epoch) and (epoch < core.tree.forgiven or core.tree.forgiven == core.tree.epoch):
            reason = "the journal has lost what this worker was told, and that was accepted: what it holds runs again"
            core.send(peer, Type.REJECT, [reason])
            core.tell("WARNING", f"worker {name} is sent away: {reason}")
            if worker is not None:
                self.bury(worker, reason)
        else:
            core.loss = (
                f"the journal has lost what was acknowledged: worker {name} was told that {records:,} records were on disk in "
                f"epoch {epoch}, and they are not. Bring the files back from a copy; or `jobtree restart --accept-loss` goes on "
                "from what is there, and runs again what is not known to be done"
            )
        core.do(EndSession(peer))

    def _reconcile(self, worker: Worker, held: list[list[int]]) -> list[list[int]]:
        core = self.core
        found = reconcile(core.tree, worker, held)
        if found.adopted:
            for epoch, number, _ in found.adopted:
                self._leave_former(epoch, number)
            for some in r.batched(found.adopted, r.MOST_LISTED):
                core.emit(r.AttemptsAdopted(core.now, worker.number, list(some)))
            for epoch, number, _ in found.adopted:
                node = core.tree.current[epoch, number]
                worker.held[epoch, number] = node
                core.scheduler.reserve(worker, node.form)
        if found.missing:
            self.work.given_back(worker, found.missing)
        return found.verdicts

    def _leave_former(self, epoch: int, number: int) -> None:
        """An attempt is adopted from a worker that goes under another number now."""
        node = self.core.tree.current.get((epoch, number))
        former = self.core.roster.workers.get(node.worker) if node is not None else None
        if node is not None and former is not None and node.attempt in former.held:
            self.work.drop(former, node)

    def peer_lost(self, peer: int) -> None:
        """A session is over; its worker may come back."""
        self.core.roster.close_session(peer, self.core.now, self.core.settings.lost_after)

    def bye(self, worker: Worker, reason: str) -> None:
        """A worker takes its leave; what it held and did not finish is lost with it."""
        self.bury(worker, reason)

    def watch(self) -> list[tuple[Worker, str]]:
        """Bury workers that have been silent, or out of contact, for too long; gives them, and why.

        All of them are looked at only when one may be lost, and now and then.
        """
        now, silence = self.core.now, self.core.settings.lost_after
        lost: list[tuple[Worker, str]] = []
        if now < self._look_at:
            return lost
        for worker in list(self.core.roster):
            if worker.peer is not None and now - worker.heard > silence:
                self.core.do(EndSession(worker.peer))
                lost.append((worker, f"it has not been heard of for {silence:g} s"))
            elif worker.lost_at is not None and now >= worker.lost_at:
                lost.append((worker, "it has lost contact and has not come back"))
        for worker, reason in lost:
            self.bury(worker, reason, Cause.NODE_LOST)
        times = [worker.lost_at for worker in self.core.roster if worker.lost_at is not None]
        times += [worker.heard + silence for worker in self.core.roster if worker.peer is not None]
        self._due = min(times, default=now)
        self._look_at = min(self._due, now + LOOK_EVERY)
        return lost

    def bury(self, worker: Worker, reason: str, cause: Cause = Cause.WORKER_LOST) -> None:
        """A worker is gone for good; what it held goes back to be run again."""
        core = self.core
        if worker.held:
            self.work.lose(worker, list(worker.held.values()), reason, cause)
            core.tell("WARNING", f"worker {worker.name} is lost: {reason}")
        core.emit(r.WorkerLeft(core.now, worker.number, reason))
        core.roster.leave(worker.number)

    @property
    def deadline(self) -> float | None:
        """When somebody may have to be given up."""
        return self._due if len(self.core.roster) else None
