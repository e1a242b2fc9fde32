"""A disk on which the n-th operation fails, and every one after it if that is wanted."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tests.support.memory_files import MemoryFiles

WRITING = ("create", "write", "sync", "sync_data", "close", "rename", "link", "unlink", "sync_directory")


class FaultyFiles(MemoryFiles):
    """A disk in memory that counts some kinds of operations and lets one of them fail.

    `fail(kinds, at, number)`: from now on, operation `at` (from 0) of these kinds fails with errno `number`,
    and with `times` so do those after it. A failing write leaves half of its bytes in the file, as a full
    disk does; a failing sync loses what was not synced, as Linux does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.failed: list[str] = []
        self._kinds: tuple[str, ...] = ()
        self._at = 0
        self._times = 0
        self._errno = 0
        for kind in WRITING:
            setattr(self, kind, self._wrapped(kind, getattr(self, kind)))

    def fail(self, kinds: tuple[str, ...], at: int, number: int, times: int = 1) -> None:
        """Let operations fail from now on; the count starts again."""
        self._kinds, self._at, self._errno, self._times, self.count = kinds, at, number, times, 0

    def recover(self) -> None:
        """Let nothing fail from now on."""
        self._kinds = ()

    def _wrapped(self, kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any) -> Any:
            if kind in self._kinds:
                number, self.count = self.count, self.count + 1
                if self._at <= number < self._at + self._times:
                    self.failed.append(kind)
                    self._half_done(kind, action, args)
                    raise OSError(self._errno, os.strerror(self._errno))
            return action(*args)

        return act

    def _half_done(self, kind: str, action: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if kind == "write":
            descriptor, data, offset = args
            action(descriptor, data[: len(data) // 2], offset)
        elif kind in ("sync", "sync_data"):
            self.lose_unsynced(*args)
        elif kind == "close":
            action(*args)
