"""Trouble with a disk: from one operation on it fails, once or until it is mended."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.memory_files import MemoryFiles

#: What changes something, and the opening of files.
KINDS = (
    "create", "open", "open_lock", "write", "sync", "close", "rename", "link", "unlink", "sync_directory", "make_directory",
)  # fmt: skip
#: In the place of an errno: a write takes a part of its bytes, and is content.
SHORT = 0


class Trouble:
    """Counts operations over all lives of a run; number ``at`` fails with an errno, and with ``lasting`` so do all after it.

    A failing write leaves half of its bytes in the file, as a full disk does; a failing sync loses what was not synced, as
    Linux does. An errno of SHORT concerns writes only.
    """

    def __init__(self, at: int, errno: int, *, lasting: bool) -> None:
        self.at = at
        self.errno = errno
        self.lasting = lasting
        self.count = 0
        self.failed: list[str] = []
        self._away = False
        self._mended = False

    def visit(self, disk: MemoryFiles) -> None:
        """Be with a disk from now on."""
        disk.trouble = self  # type: ignore[attr-defined]
        for kind in KINDS:
            setattr(disk, kind, self._wrapped(disk, kind, getattr(disk, kind)))

    def mend(self) -> None:
        """Nothing fails any more."""
        self._mended = True

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing is counted and nothing fails for a while."""
        before, self._away = self._away, True
        yield
        self._away = before

    def _wrapped(self, disk: MemoryFiles, kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def act(*words: Any) -> Any:
            if self._away or not self._strikes():
                return action(*words)
            if self.errno == SHORT and kind != "write":
                return action(*words)
            self.failed.append(kind)
            if kind == "write":
                descriptor, data, offset = words
                half = data[: (len(data) + 1) // 2]
                if self.errno == SHORT:
                    return action(descriptor, half, offset)
                MemoryFiles.write(disk, descriptor, half, offset)  # nobody relies on these bytes
            elif kind == "sync":
                disk.lose_unsynced(*words)
            elif kind == "close":
                action(*words)
            raise OSError(self.errno, os.strerror(self.errno))

        return act

    def _strikes(self) -> bool:
        number, self.count = self.count, self.count + 1
        return not self._mended and (number == self.at or (self.lasting and number > self.at))
