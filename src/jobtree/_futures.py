"""The futures of a session: what was submitted and is not done, and how results become values and exceptions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent import futures
from pathlib import Path
from typing import Any, Generic, TypeVar

from ._promise import Cancelled, Failure
from .errors import Cause, RemoteError, TargetFailure, TargetsFailed
from .ids import PromiseKey
from .protocol import blobs, payload
from .protocol.messages import VALUE_BLOB, VALUE_CANCELLED, VALUE_FAILURE, VALUE_INLINE

R = TypeVar("R")


class Future(futures.Future[R], Generic[R]):
    """A future of `concurrent.futures`; it can be awaited as well.

    ``cancel`` takes back what has not been seen to run, at once; should it have begun in this very moment it is ended.
    """

    def __init__(self, n: int, dropped: Callable[[Future[Any]], None]) -> None:
        super().__init__()
        self._jobtree_n_ = n
        self._jobtree_dropped_ = dropped

    def cancel(self) -> bool:
        """Take it back; False if it runs or is done."""
        if not super().cancel():
            return False
        self._jobtree_dropped_(self)
        return True

    def __await__(self) -> Generator[Any, None, R]:
        import asyncio

        return asyncio.wrap_future(self).__await__()


class OpenFutures:
    """All futures that are not done, by the numbers of their targets.

    A future leaves in one place only, under the lock: it has ended, or was cancelled, and never both.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._open: dict[int, Future[Any]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, future: Future[Any]) -> None:
        """One more; the caller has the lock."""
        self._open[future._jobtree_n_] = future

    def all(self) -> list[Future[Any]]:
        """Those that are not done now."""
        with self.lock:
            return list(self._open.values())

    def begun(self, n: int) -> None:
        """A target runs."""
        with self.lock:
            future = self._open.get(n)
            if future is not None and not future.running() and not future.set_running_or_notify_cancel():
                del self._open[n]

    def take(self, n: int) -> Future[Any] | None:
        """A target has ended: its future, to be given its result, unless it was cancelled."""
        with self.lock:
            future = self._open.pop(n, None)
            if future is None or (not future.running() and not future.set_running_or_notify_cancel()):
                return None
            return future

    def cancelled(self, future: Future[Any]) -> bool:
        """Those who wait for a cancelled future are to know; False if that was done before."""
        with self.lock:
            if self._open.pop(future._jobtree_n_, None) is None:
                return False
            future.set_running_or_notify_cancel()
            return True


class Answer:
    """One result as the master sends it; ``settle`` opens it for a future."""

    def __init__(self, result: list[Any], parts: list[bytes]) -> None:
        self.n, self.target, self._values, exception = result
        self._stored = [parts.pop(0) if value[3] == VALUE_INLINE else b"" for value in self._values]
        self._exception = parts.pop(0) if exception is True else exception

    @property
    def is_lent(self) -> bool:
        """Whether the master keeps something of it until it is told that nobody needs that any more."""
        return len(self._values) > 1 or self._values[0][3] == VALUE_BLOB

    def settle(self, future: Future[Any], tree: Path) -> BaseException | None:
        """Give a future its value, or the exception that there is instead; which one."""
        try:
            kind, argument = self._values[0][3:]
            if kind == VALUE_FAILURE:
                error = self._error(argument, tree)
            elif kind == VALUE_CANCELLED:
                error = futures.CancelledError(f"{argument['name']}:{argument['id']} was cancelled")
            else:
                future.set_result(self._opened(tree))
                return None
        except BaseException as trouble:  # noqa: BLE001  # unpickling runs the user's code
            error = trouble
        future.set_exception(error)
        return error

    def _opened(self, tree: Path) -> Any:
        values = {
            PromiseKey(*value[:3]): _stored(value, data, tree) for value, data in zip(self._values, self._stored, strict=True)
        }
        mine = values.pop(PromiseKey(*self._values[0][:3]))
        return (
            payload.loads(mine.read(), values, lambda sha: blobs.read_code(tree, sha))
            if isinstance(mine, payload.Stored)
            else mine
        )

    def _error(self, why: dict[str, Any], tree: Path) -> BaseException:
        exception: BaseException | None = None
        if isinstance(self._exception, bytes):
            exception = payload.load_exception(self._exception)
        elif self._exception is not None:
            size, sha, epoch, number = self._exception
            path = blobs.blob_path(tree, epoch, number, blobs.RESULT)
            exception = payload.load_exception(blobs.read_blob(path, blobs.BlobName(size, sha)))
        if exception is None and why["cause"] == Cause.EXCEPTION:
            exception = RemoteError(why["message"])
        if exception is not None:
            return exception
        failure = TargetFailure(why["name"], why["id"], 1, Cause(why["cause"]), why["message"])
        return TargetsFailed([failure], str(tree))


def _stored(value: list[Any], data: bytes, tree: Path) -> object:
    kind, argument = value[3:]
    if kind == VALUE_INLINE:
        return payload.Stored(lambda: data)
    if kind == VALUE_BLOB:
        size, sha, epoch, number = argument
        where = blobs.blob_path(tree, epoch, number, blobs.RESULT)
        return payload.Stored(lambda: blobs.read_blob(where, blobs.BlobName(size, sha)))
    if kind == VALUE_FAILURE:
        return Failure(argument["name"], argument["cause"], argument["message"])
    return Cancelled(argument["name"]) if kind == VALUE_CANCELLED else None
