"""From the journal's bytes of the root's result to the object: the user's own process unpickles it, and nobody else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._promise import Cancelled, Failure
from .ids import PromiseKey
from .master.nodes import Slot
from .master.tree import Tree
from .protocol import blobs, payload
from .protocol.messages import VALUE_BLOB, VALUE_CANCELLED, VALUE_FAILURE, VALUE_INLINE

Fetch = Callable[[int, int, int], tuple[list[int], bytes]]

_ROOT = PromiseKey(0, 0, 1)


def load_result(tree: Tree, fetch: Fetch, path: Path) -> Any:
    """The root's result, with the values of all promises inside it."""
    values: dict[PromiseKey, object] = {}
    todo: list[tuple[tuple[int, int, int], Slot]] = [(_ROOT, tree.result)]
    while todo:
        key, slot = todo.pop()
        if PromiseKey(*key) not in values:
            values[PromiseKey(*key)] = _value(slot, fetch, path)
            todo += slot.embeds

    def code(sha: str) -> bytes:
        source = tree.codes.get(sha)
        return fetch(source.record, source.place, 1)[1] if source is not None else blobs.read_code(path, sha)

    root = values.pop(_ROOT)
    return payload.loads(root.read(), values, code) if isinstance(root, payload.Stored) else root


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
