"""The file of --log-file: what the master says and what "jobtree" logs, a line each with time and level, appended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UsageError
from .views.progress import Console, Progress, snapshot_of
from .views.snapshot import ending
from .views.words import escape

if TYPE_CHECKING:
    from .master.state import MasterState


class _File(logging.FileHandler):
    """A file that can't be written any more (a full disk) is left alone: the run goes on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's word
        """Nothing, where logging would print a traceback for each line."""


class LoggedConsole(Console):
    """A console that writes what it says to a log as well."""

    def __init__(self, progress: Progress, handler: logging.Handler) -> None:
        super().__init__(progress)
        self._handler = handler

    def say(self, level: str, text: str) -> None:
        """Say it, and write it down if its level is high enough."""
        super().say(level, text)
        number = logging.getLevelNamesMapping().get(level, logging.INFO)
        if number >= self._handler.level:
            for line in text.splitlines() or [""]:
                self._handler.handle(logging.LogRecord("jobtree", number, __file__, 0, escape(line), None, None))

    def close(self, state: MasterState) -> None:
        """Show and write how it ended."""
        super().close(state)
        outcome = state.outcome
        how = outcome.state if outcome is not None else "stopped"
        line = ending(snapshot_of(state, self.clock() - self._began, how))
        if self._handler.level <= logging.INFO:
            self._handler.handle(logging.LogRecord("jobtree", logging.INFO, __file__, 0, line, None, None))


@contextmanager
def console(progress: Progress, path: Path | None, level: str) -> Iterator[Console]:
    """What a run shows itself on, with the file at ``path`` if there is to be one. Raises UsageError if it can't be opened."""
    if path is None:
        yield Console(progress)
        return
    try:
        handler = _File(path, "a", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--log-file {path} can't be opened: {error.strerror}") from error
    handler.setLevel(logging.getLevelNamesMapping().get(level, logging.CRITICAL + 1))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("jobtree")
    # Without any handler logging shows warnings on stderr; with ours it would not any more.
    added = [handler] if log.hasHandlers() or logging.lastResort is None else [handler, logging.lastResort]
    before = log.level
    log.setLevel(min(log.getEffectiveLevel(), handler.level))
    for each in added:
        log.addHandler(each)
    try:
        yield LoggedConsole(progress, handler)
    finally:
        for each in added:
            log.removeHandler(each)
        log.setLevel(before)
        handler.close()
