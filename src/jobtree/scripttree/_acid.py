"""The batch system acidTest: every second attempt is killed within a second, even if it had finished."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

#: An attempt that is to die does so within this time (seconds).
LONGEST_LIFE = 1.0


@contextmanager
def maybe_dying(half_die: bool) -> Iterator[None]:
    """With an even chance this process is killed before the block ends."""
    if not half_die or random.random() < 0.5:
        yield
        return
    timer = threading.Timer(random.random() * LONGEST_LIFE, _die)
    timer.daemon = True
    timer.start()
    yield
    _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
