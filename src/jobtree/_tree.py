"""A run's directory in Python: the same as the verbs of the command line show, as frozen dataclasses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from jobtree.errors import Cause, RemoteError, TargetFailure, UsageError
from jobtree.ids import PromiseKey

if TYPE_CHECKING:
    from jobtree.master.nodes import Slot
    from jobtree.views.history import History, Remains
    from jobtree.views.schema import Failure, LogLine, Stats, Status


class Tree:
    """The tree of a run that goes on, has ended, or was copied here; every method looks anew, and none changes anything.

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
        self, follow: bool = False, *, target: str | None = None, failed: bool = False, level: str | None = None
    ) -> Iterator[LogLine]:
        """What targets have printed and logged, line by line; with `follow` until the run has ended.

        `target` (NAME, ID or NAME:ID), `failed` and `level` (messages of `Target.log` from there on) choose.
        """
        from jobtree.views.logs import Logs, Wanted

        return iter(Logs(self.path, Wanted.parse(target, failed=failed, level=level), follow=follow))

    def exception(self, failure: Failure) -> BaseException | None:
        """The exception that ended a target's last attempt, with its remote traceback; None where there was none.

        This unpickles, so it may run code of the run's own modules.
        """
        return _exception_of(self._read().remains.get(failure.id), Path(self.path))

    def result(self) -> Any:
        """The result of the root; raises UsageError while there is none. This unpickles, as `exception` does."""
        history = self._read()
        if history.tree.outcome != "complete":
            raise UsageError(f"{self.path} has no result: the run is not complete; see `jobtree status {self.path}`")
        return _Results(history).value(history.tree.result)

    def _read(self) -> History:
        self._history.poll()
        return self._history


class TargetFailures(Sequence[TargetFailure]):
    """The failures of a tree, each made when it is asked for; for `TargetsFailed.failures`."""

    def __init__(self, failures: Sequence[Failure], remains: dict[int, Remains], tree: Path) -> None:
        self._failures = failures
        self._remains = remains
        self._tree = tree

    @classmethod
    def of(cls, history: History) -> TargetFailures:
        """Those of a history that has been read."""
        return cls(list(history.failures.values()), history.remains, Path(history.path))

    def __len__(self) -> int:
        return len(self._failures)

    @overload
    def __getitem__(self, index: int) -> TargetFailure: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TargetFailure]: ...
    def __getitem__(self, index: int | slice) -> TargetFailure | Sequence[TargetFailure]:
        if isinstance(index, slice):
            return [self._made(failure) for failure in self._failures[index]]
        return self._made(self._failures[index])

    def _made(self, failure: Failure) -> TargetFailure:
        remains = self._remains.get(failure.id)
        load: Callable[[], BaseException] | None = None
        if remains is not None:
            load = lambda: _exception_of(remains, self._tree) or RemoteError(failure.message)  # noqa: E731
        return TargetFailure(
            failure.name, failure.id, failure.attempts, Cause(failure.cause), failure.message, failure.host, failure.output, load
        )


def _exception_of(remains: Remains | None, tree: Path) -> BaseException | None:
    from jobtree.protocol import blobs, payload

    if remains is None:
        return None
    data = remains.data
    if remains.blob is not None:
        size, sha, epoch, number = remains.blob
        data = blobs.read_blob(blobs.blob_path(tree, epoch, number, blobs.RESULT), blobs.BlobName(size, sha))
    return payload.load_exception(data)


class _Results:
    """Values of promises, read from where the journal says that they lie."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._tree = Path(history.path)

    def value(self, slot: Slot) -> Any:
        """What a slot holds, with what the promises in it have become."""
        from jobtree.protocol import payload

        found: dict[PromiseKey, object] = {}
        waiting = list(slot.embeds)
        while waiting:
            key, embedded = waiting.pop()
            if PromiseKey(*key) not in found:
                found[PromiseKey(*key)] = self._stored(embedded)
                waiting += embedded.embeds
        stored = self._stored(slot)
        return payload.loads(stored.read(), found, self._code) if isinstance(stored, payload.Stored) else stored

    def _stored(self, slot: Slot) -> object:
        from jobtree._promise import Cancelled, Failure
        from jobtree.protocol import blobs, payload
        from jobtree.protocol.messages import VALUE_BLOB, VALUE_CANCELLED, VALUE_FAILURE, VALUE_INLINE

        if slot.kind == VALUE_BLOB:
            size, sha, epoch, number = slot.argument
            path = blobs.blob_path(self._tree, epoch, number, blobs.RESULT)
            return payload.Stored(lambda: blobs.read_blob(path, blobs.BlobName(size, sha)))
        if slot.kind == VALUE_INLINE:
            source = slot.source
            assert source is not None, "an inline value came with a record"
            return payload.Stored(lambda: self._payload(source.record, source.place))
        if slot.kind == VALUE_FAILURE:
            why = slot.argument
            return Failure(why["name"], why["cause"], why["message"])
        return Cancelled(slot.argument["name"]) if slot.kind == VALUE_CANCELLED else None

    def _code(self, sha: str) -> bytes:
        from jobtree.protocol import blobs

        source = self._history.tree.codes.get(sha)
        return self._payload(*source) if source is not None else blobs.read_code(self._tree, sha)

    def _payload(self, record: int, place: int) -> bytes:
        return self._history.payload(record, place)
