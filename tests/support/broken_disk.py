"""A disk that breaks in a real process: copied beside a test's script, which imports it and calls `arm()`.

It changes the methods of the one door to the disk. What breaks is said in a file `break` in the current directory, which is read
anew at each operation: `KINDS ERRNO AT TIMES WHERE`, as in `write,create ENOSPC 12 3 journal`: the operations of these kinds on
paths that hold WHERE are counted, and those from number 12 on, three of them (-1: all), fail; a write has then written half.
Each operation that failed is a line in the file `broken`. Without the file `break`, or when it is empty, nothing fails, and
nothing is counted.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobtree.files import Files

KINDS = (
    "create", "open", "write", "sync", "sync_data", "close", "sync_directory", "rename", "link", "unlink", "make_directory",
)  # fmt: skip


class Breaker:
    """Counts operations, and says which of them fail."""

    def __init__(self, directory: Path) -> None:
        self.orders = directory / "break"
        self.broken = directory / "broken"
        self.count = 0
        self.paths: dict[int, str] = {}

    def verdict(self, kind: str, path: str) -> int:
        """The errno with which this operation fails; 0: it does not."""
        try:
            words = self.orders.read_text().split()
        except FileNotFoundError:
            return 0
        if not words or kind not in words[0].split(",") or words[4] not in path:
            return 0
        number, self.count = self.count, self.count + 1
        at, times = int(words[2]), int(words[3])
        if number < at or (times >= 0 and number >= at + times):
            return 0
        with self.broken.open("a") as file:
            file.write(f"{kind} {path} {os.getpid()}\n")
        return int(getattr(errno, words[1]))

    def wrap(self, kind: str) -> None:
        """Let one kind of operation ask first."""
        action: Callable[..., Any] = getattr(Files, kind)

        def act(files: Files, subject: Any, *rest: Any) -> Any:
            path = self.paths.get(subject, "") if isinstance(subject, int) else subject
            number = self.verdict(kind, path)
            if number:
                if kind == "write":
                    action(files, subject, rest[0][: len(rest[0]) // 2], rest[1])
                elif kind == "close":
                    action(files, subject)
                raise OSError(number, os.strerror(number))
            done = action(files, subject, *rest)
            if kind in ("create", "open"):
                self.paths[done] = subject
            return done

        setattr(Files, kind, act)


def arm() -> None:
    """From now on this process's disk breaks when it is told to."""
    breaker = Breaker(Path.cwd())
    for kind in KINDS:
        breaker.wrap(kind)
