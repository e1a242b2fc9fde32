"""Ends a runner and all that belongs to it: SIGTERM, after a grace SIGKILL, until nothing of it is left."""

from __future__ import annotations

import os
import signal

from . import reaper
from .keeper import Dying, Order

#: Between two looks at what is still alive.
PAUSE_SECONDS = 0.05
#: What SIGKILL has not ended by then hangs in the kernel, and is no longer waited for.
UNKILLABLE_SECONDS = 30.0


class Hunt:
    """The end of one runner. Times are those of the supervisor's clock."""

    def __init__(self, pid: int, order: Order | None, kill_at: float) -> None:
        self.order = order
        self.kill_at = kill_at
        #: When to look again.
        self.look_at = 0.0
        #: How the runner itself died, once it has.
        self.dead: Dying | None = None
        self._prey = reaper.Prey(pid)
        self._told: set[int] = set()
        self._left = True

    def hurry(self, kill_at: float) -> None:
        """Send SIGKILL then at the latest."""
        self.kill_at = min(self.kill_at, kill_at)
        self.look_at = 0.0

    def runner_died(self, dead: Dying) -> None:
        """The runner itself is gone; `dead` says how."""
        if self.order is not None:
            dead.cause, dead.message, dead.doomed = self.order.cause, self.order.message, self.order.doomed
        self.dead = dead
        self.look_at = 0.0

    def look(self, now: float, snapshot: dict[int, reaper.Process]) -> None:
        """Signal what is left."""
        left = self._prey.look(snapshot, self.dead is None)
        self._left = bool(left)
        if now >= self.kill_at:
            reaper.send(signal.SIGKILL, left)
        else:
            fresh = [pid for pid in left if pid not in self._told]
            self._told.update(fresh)
            reaper.send(signal.SIGTERM, fresh)
        self.look_at = now + PAUSE_SECONDS

    def is_over(self, now: float) -> bool:
        """Whether nothing is left, as far as anybody can do anything about it."""
        if self.dead is None:
            return False
        return not self._left or now > self.kill_at + UNKILLABLE_SECONDS


def collect(pid: int) -> Dying | None:
    """How a child of ours died, once it has; for runners that have lost their nursery."""
    try:
        found, status, usage = os.wait4(pid, os.WNOHANG)
    except ChildProcessError:
        return Dying(signal.SIGKILL)  # somebody else has waited for it; it was killed, for we did that
    return Dying(status, usage.ru_utime, usage.ru_stime) if found else None
