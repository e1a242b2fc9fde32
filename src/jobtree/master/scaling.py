"""How many workers are wanted, which submissions that takes, and what becomes of them."""

from __future__ import annotations

from . import records as r
from .contacts import Contacts
from .core import Core
from .effects import CancelBlocks, Find, Submit

#: Workers that die before they say HELLO, one after the other, before no more are asked for.
STILLBIRTHS = 3


class Scaling:
    """Keeps the number of workers at what was asked for."""

    def __init__(self, core: Core, contacts: Contacts) -> None:
        self.core = core
        self.contacts = contacts
        self.stillbirths = 0
        self.inherited: set[str] = set()  # blocks of earlier masters: what became of them shows nothing about ours
        self.hopeless = ""  # why no more workers are asked for

    def take_up(self) -> None:
        """After a replay: ask after submissions that were planned, but of which nothing more is known."""
        self.inherited.update(self.core.ledger.blocks)
        for block in self.core.ledger.blocks.values():
            if not block.known:
                self.core.do(Find(block.name))

    def adjust(self) -> None:
        """Ask for as many workers as are missing."""
        core = self.core
        missing = core.settings.workers - core.ledger.expected
        if missing <= 0 or self.hopeless:
            return
        name = f"jt-{core.settings.script}-{core.settings.run[:6]}-{core.ledger.planned + 1}"
        core.emit(r.BlockPlanned(core.now, name, "", missing))
        core.do(Submit(name, missing))

    def submitted(self, name: str, ids: list[str]) -> None:
        """The launcher has taken a submission."""
        if name in self.core.ledger.blocks:
            self.core.emit(r.BlockKnown(self.core.now, name, ids))

    def failed(self, name: str, reason: str) -> None:
        """The launcher has refused a submission, or does not know of it."""
        if name in self.core.ledger.blocks:
            self.core.emit(r.BlockEnded(self.core.now, name, "", reason))
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
            self.contacts.bury(worker, f"its process has ended: {reason}")
        elif index not in block.came and name not in self.inherited:
            self._stillborn(f"a worker ended before it reached the master: {reason}" + (f"\n{tail}" if tail else ""))

    def joined(self) -> None:
        """A worker has come: the road is open."""
        self.stillbirths = 0

    def _stillborn(self, reason: str) -> None:
        self.stillbirths += 1
        self.core.tell("WARNING", reason)
        if self.stillbirths >= STILLBIRTHS:
            self.hopeless = f"{self.stillbirths} workers in a row could not be started; the last one: {reason}"

    def cancel_all(self, force: bool) -> None:
        """End all workers by the launcher's own means."""
        ids = [ident for block in self.core.ledger.blocks.values() for ident in sorted(block.alive)]
        if ids:
            self.core.do(CancelBlocks(ids, force))
