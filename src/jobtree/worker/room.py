"""Payloads that are written to TREE/blobs from a runner: where there is no room for one, it waits a while, as its master does."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from jobtree.errors import StorageFailed
from jobtree.files import NO_ROOM

#: How long a target waits for room (seconds) before it fails for want of it, and how often it tries.
PATIENCE, RETRY_EVERY = 600.0, 1.0

T = TypeVar("T")


def patiently(write: Callable[[], T]) -> T:
    """What ``write`` gives, tried again while the disk or the quota is full. Raises StorageFailed for all else, or in the end."""
    deadline = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            return write()
        except StorageFailed as error:
            if getattr(error.__cause__, "errno", None) not in NO_ROOM or time.monotonic() > deadline:
                raise
            if not told:
                told = True
                print(f"jobtree: no room for a payload, trying again for {PATIENCE / 60:.0f} minutes: {error}", file=sys.stderr)
        time.sleep(RETRY_EVERY)
