"""Whether this master is still the one that may act: a higher epoch in the tree means that it is not.

Nothing else decides, no lock and no clock of another machine. A master that has stood still looks before it does anything that
others would see; it also looks every few seconds, and says in the tree that it is alive.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from ..errors import StorageFailed, TreeLocked
from .journal.directory import Directory, Lock
from .journal.witness import Witness
from .journal.writer import Journal

LOOK_EVERY = 5.0
#: After a pause of so many seconds another master may have taken over.
PAUSE = 5.0


class Fence:
    """Finds a higher epoch, and raises TreeLocked then; StorageFailed where the tree cannot be looked at."""

    def __init__(self, directory: Directory, lock: Lock, journal: Journal, mend: Callable[[], None]) -> None:
        self._directory = directory
        self._lock = lock
        self._journal = journal
        self._mend = mend  # repairs what tells workers the way, should a master that was superseded have written over it
        self._looked = self._passed = _now()
        self._fallen = False

    def look(self) -> None:
        """If it is time to: look, say that we are alive, and mend what others may have broken."""
        if _now() - self._looked >= LOOK_EVERY:
            self.attest()
            self._mend()

    def attest(self) -> None:
        """Look now, say how far the journal has come, and have the lock if it can be had."""
        self.check()
        self._looked = _now()
        self._testify(ended=False)
        with contextlib.suppress(OSError):
            self._lock.claim()

    def guard(self) -> None:
        """Called before anything that others would see: look, if there was a pause since the last call."""
        now = _now()
        if now - self._passed >= PAUSE:
            self.check()
        self._passed = now

    def check(self) -> None:
        """Look now."""
        if not self._stands():
            fallen = self._directory.superseded(self._journal.epoch)
            self._journal.abandon(fallen)
            raise fallen

    def may_act(self) -> bool:
        """Whether a thread may do what the loop has asked it for, perhaps a while ago."""
        return not self._fallen if _now() - self._passed < PAUSE else self._stands()

    def _stands(self) -> bool:
        try:
            self._fallen = self._fallen or self._directory.highest_epoch() > self._journal.epoch
        except OSError as error:
            raise StorageFailed(f"{self._directory.path} cannot be read: {error.strerror}") from error
        return not self._fallen

    def close(self) -> None:
        """Say that we have let the tree go, if we have not lost it."""
        with contextlib.suppress(TreeLocked, StorageFailed):
            self.check()
            self._testify(ended=True)

    def _testify(self, *, ended: bool) -> None:
        """A courtesy: where it cannot be written, the journal does not suffer."""
        journal = self._journal
        with contextlib.suppress(OSError, StorageFailed):
            Witness(journal.epoch, journal.durable, journal.segment, time.time(), ended).write(
                self._directory.files, self._directory.path
            )


def _now() -> float:
    """Seconds that count on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
