"""Results that are promised: who takes them, who keeps them, and when nobody needs them any more.

Promises hang on the node whose attempt created both the promised target and its takers (``Node.promises``, by ``n``), as only
such targets may hold them. ``n`` 0 stands for the follow-on, whose result only the creator itself may pass on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..ids import Attempt
from ..protocol.messages import (
    ROW_EMBEDS,
    ROW_EPOCH,
    ROW_NUMBER,
    ROW_RESULT,
    VALUE_BLOB,
    VALUE_CANCELLED,
    VALUE_FAILURE,
    VALUE_INLINE,
    VALUE_NONE,
)
from .nodes import Node, Slot, Source, Watch, spread

#: The blob of an attempt's own result, among those that it wrote.
RESULT = "r"
#: A blob that nobody will read any more: the attempt that wrote it, and its name there.
Blob = tuple[int, int, str]
Takes = list[tuple[tuple[int, int, int], Slot]]


def watch_of(creator: Node, n: int) -> Watch:
    """What hangs on the target that ``creator`` has created as ``n``."""
    if creator.promises is None:
        creator.promises = {}
    watch = creator.promises.get(n)
    if watch is None:
        watch = creator.promises[n] = Watch()
    return watch


def takes_of(creator: Node, ns: Iterable[int]) -> Takes:
    """The slots of what ``creator`` has created as ``ns``, for one more taker; made now if nobody has asked before."""
    epoch, number = creator.attempt
    takes = []
    for n in ns:
        watch = watch_of(creator, n)
        if watch.slot is None:
            watch.slot = Slot()
        watch.slot.uses += 1
        takes.append(((epoch, number, n), watch.slot))
    return takes


def keep(node: Node, row: list[Any], source: Source, size: int) -> list[Blob]:
    """Keep the promise of ``node``'s result with what its attempt returned (inline in ``size`` bytes, or in a blob).

    Gives back the blob that nobody wants.

    This comes before the children are realised, so that they find the slots that are theirs. If the result is the promise of
    something that the attempt created, both share one slot from now on.
    """
    result, slot = row[ROW_RESULT], node.slot
    is_list = result.__class__ is list
    if slot is None or not slot.uses:  # nobody takes it, or nobody any more
        return [(row[ROW_EPOCH], row[ROW_NUMBER], RESULT)] if is_list and len(result) == 2 else []
    if is_list and len(result) == 1:
        watch_of(node, result[0]).slot = slot
        return []
    slot.source, slot.size = source, size
    slot.attempt = Attempt(row[ROW_EPOCH], row[ROW_NUMBER])
    if result is None:
        slot.kind = VALUE_NONE
    elif result is True:
        slot.kind = VALUE_INLINE
    else:
        slot.kind = VALUE_BLOB
        slot.argument = [*result, row[ROW_EPOCH], row[ROW_NUMBER]]
    if row[ROW_EMBEDS]:
        slot.embeds = takes_of(node, spread(row[ROW_EMBEDS]))
    return []


def break_(slot: Slot, why: dict[str, Any]) -> list[Blob]:
    """The promised target has failed, or was cancelled, and was allowed to; gives back a blob that nobody will read."""
    unneeded = _blob(slot)
    slot.kind = VALUE_CANCELLED if why["cause"] == "cancelled" else VALUE_FAILURE
    slot.argument = why
    slot.embeds = []
    return unneeded


def release(takes: Takes) -> list[Blob]:
    """A taker has committed; gives back the blobs of results that have no taker left."""
    unneeded: list[Blob] = []
    todo = [slot for _, slot in takes]
    while todo:
        slot = todo.pop()
        slot.uses -= 1
        if slot.uses:
            continue
        unneeded += _blob(slot)
        todo += [embedded for _, embedded in slot.embeds]
        slot.embeds = []
    return unneeded


def _blob(slot: Slot) -> list[Blob]:
    return [(*slot.attempt, RESULT)] if slot.kind == VALUE_BLOB or slot.spilled else []
