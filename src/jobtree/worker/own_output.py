"""Keeps the file that a worker itself prints to small: TREE/blocks is shared, and a worker may live for weeks."""

from __future__ import annotations

import os
import stat

#: A file of more than so many bytes is cut to its end.
LIMIT = 1 << 20
KEPT = 128 << 10
LOOK_EVERY = 10.0


class OwnOutput:
    """The regular file behind standard error, if it is one that everybody appends to."""

    def __init__(self, descriptor: int = 2) -> None:
        self._descriptor = descriptor
        self._looked = 0.0
        self._name = _appended_file(descriptor)

    def look(self, now: float) -> None:
        """Cut the file when it has grown too large; looks seldom."""
        if not self._name or now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            if os.fstat(self._descriptor).st_size > LIMIT:
                self._cut()
        except OSError:
            self._name = ""  # it is gone, or out of reach: nothing to keep small

    def _cut(self) -> None:
        with open(self._name, "rb") as file:
            file.seek(-KEPT, os.SEEK_END)
            end = file.read()
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, b"... (what was before is dropped)\n" + end[end.find(b"\n") + 1 :])


def _appended_file(descriptor: int) -> str:
    """Its path; empty if it is none, or one that would get holes if it were cut."""
    import fcntl

    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode) or not fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
            return ""
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""
