"""What a history keeps of finished targets, as plain items, so that it outlives the segments that told it.

There are two kinds. The *standing* is small or changes: epochs, workers, blocks, failures, counts by name; each snapshot holds
all of it. The *columns*, an entry for each attempt that ended well, and what attempts have said only grow: each snapshot
adds one part with those of its own range of frames, so none is ever counted twice.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from ..master import records as r
from .attempts import Attempts, Words
from .kept import BlockHistory, EpochHistory, Taken, WorkerHistory
from .schema import Failure

if TYPE_CHECKING:
    from .history import History

T = TypeVar("T")

_EMPTY = Taken()
_COLUMNS = tuple(name for name in Taken.__slots__ if isinstance(getattr(_EMPTY, name), array))
_COUNTS = tuple(name for name in Taken.__slots__ if name not in _COLUMNS)
_AT_ONCE = 8192  # entries of a column in one item


def standing(history: History) -> Iterator[list[Any]]:
    """All but the columns."""
    yield ["run", history.started_at, history.last_at]
    for epoch in history.epochs:
        yield ["epoch", _values(epoch.began), _values(epoch.ended) if epoch.ended is not None else None, epoch.last_at]
    for worker in history.workers.values():
        yield ["worker", _values(worker.joined), _values(worker, "joined")]
    for block in history.blocks.values():
        yield ["block", _values(block.planned), _values(block, "planned")]
    for name, taken in history.taken.items():
        yield ["name", name, {count: getattr(taken, count) for count in _COUNTS}]
    for failure in history.failures.values():
        yield ["failure", _values(failure)]
    for target, remains in history.remains.items():
        yield ["remains", target, remains.data, remains.blob]


def stand(history: History, items: Iterable[list[Any]]) -> None:
    """Put what a snapshot holds into a history that is empty."""
    from .history import Remains

    for kind, *values in items:
        match kind:
            case "run":
                history.started_at, history.last_at = values
            case "epoch":
                began, ended, last_at = values
                end = _made(r.RunEnded, ended) if ended is not None else None
                history.epochs.append(EpochHistory(_made(r.EpochBegan, began), end, last_at))
            case "worker":
                joined = _made(r.WorkerJoined, values[0])
                history.workers[joined.worker] = _made(WorkerHistory, {"joined": joined, **values[1]})
            case "block":
                planned = _made(r.BlockPlanned, values[0])
                history.blocks[planned.name] = _made(BlockHistory, {"planned": planned, **values[1]})
            case "name":
                taken = history.taken[values[0]] = Taken()
                for count in _COUNTS:
                    setattr(taken, count, values[1].get(count, 0))
            case "failure":
                failure = _made(Failure, values[0])
                history.failures[failure.id] = failure
            case "remains":
                target, data, blob = values
                history.remains[target] = Remains(data, blob)


def columns(history: History) -> Iterator[list[Any]]:
    """The entries of all columns, some at a time, and who was given what."""
    for name, taken in history.taken.items():
        found = {column: getattr(taken, column) for column in _COLUMNS}
        for start in range(0, len(taken.time), _AT_ONCE):
            yield ["taken", name, {key: _bytes_of(column[start : start + _AT_ONCE]) for key, column in found.items()}]

    if history.attempts is not None:
        yield from _attempts(history.attempts)
    for start in range(0, len(history.assigned), _AT_ONCE):
        told = [number for assigned in history.assigned[start : start + _AT_ONCE] for number in assigned]
        yield ["assigned", _pressed(array("q", told))]
    yield from (["adopted", attempt, worker] for attempt, worker in history.adopted.items())


def _attempts(attempts: Attempts) -> Iterator[list[Any]]:
    yield ["words", attempts.names, attempts.causes, [list(path) for path in attempts.paths]]
    found = {name: column for name, column in vars(attempts).items() if isinstance(column, array)}
    for start in range(0, len(attempts), _AT_ONCE):
        yield ["attempts", {name: _pressed(column[start : start + _AT_ONCE]) for name, column in found.items()}]


def said(messages: Iterable[tuple[Any, ...]]) -> Iterator[list[Any]]:
    """What attempts have said."""
    return (["said", *message] for message in messages)


def add(history: History, items: Iterable[list[Any]]) -> None:
    """Put one part into a history; what was said goes to whoever listens."""
    words = Words([], [], [])
    for kind, *values in items:
        match kind:
            case "taken":
                name, parts = values
                taken = history.taken.setdefault(name, Taken())
                count = len(parts["time"]) // taken.time.itemsize
                for key in _COLUMNS:
                    column = getattr(taken, key)
                    column.extend(_array(column.typecode, parts.get(key, bytes(count * column.itemsize))))
            case "words" if history.attempts is not None:
                words = history.attempts.learn(*values)
            case "attempts" if history.attempts is not None:
                history.attempts.extend(words, {name: zlib.decompress(data) for name, data in values[0].items()})
            case "assigned":
                told = iter(_array("q", zlib.decompress(values[0])))
                history.assigned += zip(told, told, told, strict=True)
            case "adopted":
                (epoch, number), worker = values
                history.adopted[epoch, number] = worker
            case "said" if history.on_messages is not None:
                history.on_messages(*values)


def _values(thing: Any, *but: str) -> dict[str, Any]:
    return {field.name: getattr(thing, field.name) for field in fields(thing) if field.name not in but}


def _made(kind: type[T], values: dict[str, Any]) -> T:
    """A thing of its fields, as far as this version knows them."""
    return kind(**{field.name: values[field.name] for field in fields(kind) if field.name in values})  # type: ignore[arg-type]


def _bytes_of(column: array[Any]) -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()


def _pressed(column: array[Any]) -> bytes:
    return zlib.compress(_bytes_of(column), 1)


def _array(typecode: str, data: bytes) -> array[Any]:
    column = array(typecode, data)
    if sys.byteorder == "big":
        column.byteswap()
    return column
