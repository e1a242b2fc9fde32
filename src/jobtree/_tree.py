"""A run's directory in Python: the same as the verbs of the command line show, as frozen dataclasses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobtree.errors import UsageError

if TYPE_CHECKING:
    from jobtree.views.history import History
    from jobtree.views.schema import Failure, LogLine, Stats, Status


class Tree:
    """The tree of a run that goes on, has ended, or was copied here; each method looks anew, and only `stop` changes anything.

    Raises UsageError where `path` is no tree, JournalDamaged where its journal cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str] = "./jobTree") -> None:
        from jobtree.views.history import History

        self.path = os.fspath(path)
        self._history = History(self.path)

    def __repr__(self) -> str:
        return f"Tree({self.path!r})"

    def status(self) -> Status:
        """State, counts by state and name, failures, workers and blocks; times in unix seconds, sizes in bytes."""
        from jobtree.views.status import status_of

        return status_of(self._read())

    def stats(self) -> Stats:
        """What targets and workers took, over all restarts: seconds and bytes."""
        from jobtree.views.stats import stats_of

        return stats_of(self._read())

    def failures(self) -> list[Failure]:
        """The targets that have failed and were not tried again since, in the order in which they failed."""
        return list(self._read().failures.values())

    def logs(
        self,
        follow: bool = False,
        *,
        target: str | int | None = None,
        worker: str | int | None = None,
        failed: bool = False,
        level: str | None = None,
        since: str | float | None = None,
        until: str | float | None = None,
    ) -> Iterator[LogLine]:
        """What targets have printed and logged, line by line; with `follow` until the run has ended.

        `target` (NAME, ID or NAME:ID), `worker` (its number), `failed`, `level` (messages of `Target.log` from there on), `since`
        and `until` (unix seconds, or words such as "10m", "17:05") choose. Raises UsageError for a target that was never there.
        """
        from jobtree.views.logs import Logs, Wanted

        wanted = Wanted.parse(
            None if target is None else str(target),
            failed=failed,
            level=level,
            worker=None if worker is None else str(worker),
            since=since,
            until=until,
        )
        return iter(Logs(self.path, wanted, follow=follow))

    def report(self) -> str:
        """All of it as one HTML page that needs no network."""
        from jobtree.views.history import History
        from jobtree.views.report import report_of

        history = History(self.path, detail=True)
        history.poll()
        return "".join(report_of(history))

    def stop(self, now: bool = False) -> None:
        """Let the run stop when what runs has ended, or at once; without a living master its workers are ended.

        Raises NoMaster if there is one, but it does not answer.
        """
        from jobtree._control import ask, end_workers, has_master

        if has_master(self.path):
            ask(self.path, "stop", now=now)
        else:
            end_workers(self.path)

    def result(self) -> Any:
        """The result of the root; raises UsageError while there is none.

        This unpickles, so it may run code of the run's own modules; classes of its script must be known here.
        """
        from jobtree._results import load_result

        history = self._read()
        if history.tree.outcome != "complete":
            raise UsageError(f"{self.path} has no result: the run is not complete; see `jobtree status {self.path}`")
        return load_result(history.tree, history.payloads, Path(self.path))

    def _read(self) -> History:
        self._history.poll()
        return self._history
