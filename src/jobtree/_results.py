"""From the journal's bytes to objects, the root's result and what has failed: only the user's own process unpickles them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ._promise import Cancelled, Failure
from .errors import Cause, RemoteError, StorageFailed, TargetFailure
from .ids import PromiseKey
from .master.nodes import Slot
from .master.tree import Tree
from .protocol import blobs, payload
from .protocol.messages import VALUE_BLOB, VALUE_CANCELLED, VALUE_FAILURE, VALUE_INLINE

if TYPE_CHECKING:
    from .views.history import History, Remains

Fetch = Callable[[int, int, int], tuple[list[int], bytes]]

_ROOT = PromiseKey(0, 0, 1)


def load_result(tree: Tree, fetch: Fetch, path: Path) -> Any:
    """The root's result, with the values of all promises inside it."""
    values = values_of([(_ROOT, tree.result)], fetch, path)

    def code(sha: str) -> bytes:
        source = tree.codes.get(sha)
        return fetch(source.record, source.place, 1)[1] if source is not None else blobs.read_code(path, sha)

    root = values.pop(_ROOT)
    return payload.loads(root.read(), values, code) if isinstance(root, payload.Stored) else root


def values_of(taken: Iterable[tuple[tuple[int, int, int], Slot]], fetch: Fetch, path: Path) -> dict[PromiseKey, object]:
    """What takes the places of promises, and of those inside their values."""
    values: dict[PromiseKey, object] = {}
    todo = list(taken)
    while todo:
        key, slot = todo.pop()
        if PromiseKey(*key) not in values:
            values[PromiseKey(*key)] = _value(slot, fetch, path)
            todo += slot.embeds
    return values


def _value(slot: Slot, fetch: Fetch, path: Path) -> object:
    if slot.kind == VALUE_INLINE:
        assert slot.source is not None
        record, place = slot.source
        return payload.Stored(lambda: fetch(record, place, 1)[1])
    if slot.kind == VALUE_BLOB:
        size, sha, epoch, number = slot.argument
        where = blobs.blob_path(path, epoch, number, blobs.RESULT)
        return payload.Stored(lambda: blobs.read_blob(where, blobs.BlobName(size, sha)))
    if slot.kind == VALUE_FAILURE:
        return Failure(slot.argument["name"], slot.argument["cause"], slot.argument["message"])
    return Cancelled(slot.argument["name"]) if slot.kind == VALUE_CANCELLED else None


class Failures(Sequence[TargetFailure]):
    """What has failed in a tree, in the order in which it did: read from the journal at once, each made when it is looked at.

    With ``unpickle`` the exceptions can be had; the command line, which opens nothing, goes without them.
    """

    def __init__(self, path: Path, *, unpickle: bool) -> None:
        from .views.history import History

        self._path = path
        self._unpickle = unpickle
        self._history: History = History(str(path))
        self._history.poll()
        self._ids = list(self._history.failures)

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> TargetFailure: ...
    @overload
    def __getitem__(self, index: slice) -> list[TargetFailure]: ...
    def __getitem__(self, index: int | slice) -> TargetFailure | list[TargetFailure]:
        if isinstance(index, slice):
            return [self._made(target) for target in self._ids[index]]
        return self._made(self._ids[index])

    def report(self) -> str:
        """All of it in words: grouped, with an example of the commonest kinds, and what to do next."""
        from .views.failures import report

        totals = {name: sum(tally) for name, tally in self._history.tree.tallies.items()}
        return "\n".join(report(list(self._history.failures.values()), totals, tree=str(self._path)))

    def _made(self, target: int) -> TargetFailure:
        known = self._history.failures[target]
        remains = self._history.remains.get(target) if self._unpickle else None
        exception = None if remains is None else lambda: _exception(remains, self._path)
        return TargetFailure(
            known.name, known.id, known.attempts, Cause(known.cause), known.message, known.host, known.output, exception
        )


def _exception(remains: Remains, path: Path) -> BaseException:
    if remains.blob is None:
        return payload.load_exception(remains.data)
    size, sha, epoch, number = remains.blob
    where = blobs.blob_path(path, epoch, number, blobs.RESULT)
    try:
        return payload.load_exception(blobs.read_blob(where, blobs.BlobName(size, sha)))
    except StorageFailed as error:
        return RemoteError(str(error))  # the report has its words all the same
