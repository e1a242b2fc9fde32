"""Whether this master is still the one that may act: a higher epoch in the tree means that it is not."""

from __future__ import annotations

from .journal.directory import Directory

LOOK_EVERY = 5.0


class Fence:
    """Looks for a higher epoch from time to time, and after every pause; finding one raises TreeLocked."""

    def __init__(self, directory: Directory, epoch: int) -> None:
        self._directory = directory
        self._epoch = epoch
        self._looked = 0.0

    def look(self, now: float) -> None:
        """Look, if it is time to."""
        if now - self._looked >= LOOK_EVERY:
            self._looked = now
            self.check()

    def check(self) -> None:
        """Look now."""
        if self._directory.highest_epoch() > self._epoch:
            raise self._directory.locked()
