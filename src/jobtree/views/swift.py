"""The tree of targets for readers: plain leaves are counted where they begin and end, and become nodes only if more happens.

Most targets of a large tree are leaves that are taken from the front of a run, return what nobody waits for, and end well.
A master needs a node for each while it runs; a replay of a million of them need not make one. What is not that plain goes
the way of ``master.tree.Tree``, and both ways lead to the same state: a test replays all stories and simulated runs on both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..ids import Attempt
from ..master import records as r
from ..master.nodes import Form, Node, Phase, Run, Source
from ..master.tree import Tree
from ..protocol.messages import (
    FLAG_FOLLOW_ON,
    FLAG_TEMP,
    ROW_CREATED,
    ROW_EMBEDS,
    ROW_EPOCH,
    ROW_FIELDS,
    ROW_FLAGS,
    ROW_MESSAGES,
    ROW_NUMBER,
    ROW_RESULT,
)

Row = list[Any]


class Lot:
    """Targets of one run that were assigned together: attempt ``number + i`` is one of target ``first + i``."""

    __slots__ = ("creator", "first", "first_n", "form", "index", "mean", "number", "parent", "ready_at", "record", "worker")

    parent: Node
    form: Form
    creator: Attempt
    first: int
    first_n: int
    record: int
    index: int
    mean: int
    ready_at: float
    number: int
    worker: int


class Plain(NamedTuple):
    """Rows of one record that end attempts of one lot, each of them a plain leaf's."""

    lot: Lot
    rows: list[Row]
    places: list[int]


class Sorted(NamedTuple):
    """The rows of a record by how they are to be taken in: plain ones by their lots, the others by their places."""

    plain: list[Plain]
    others: list[int]


class SwiftTree(Tree):
    """A ``Tree`` that only readers may use: ``current`` and ``nodes`` leave out the running leaves that are plain so far."""

    def __init__(self) -> None:
        super().__init__()
        self.current: _Current = _Current(self)
        self._lots: dict[int, dict[int, Lot]] = {}  # by epoch and number of the attempt
        self._sorted: tuple[list[Row], Sorted] | None = None  # the last record's, since a watcher asks first

    def holding(self) -> Counter[int]:
        """How many targets each worker holds."""
        held = Counter(node.worker for node in self.current.values())
        for lots in self._lots.values():
            held.update(lot.worker for lot in lots.values())
        return held

    def running(self) -> Iterator[tuple[int, int, str, int]]:
        """What runs: epoch and number of the attempt, name, and the worker."""
        for (epoch, number), node in self.current.items():
            yield epoch, number, node.form.name, node.worker
        for epoch, lots in self._lots.items():
            for number, lot in lots.items():
                yield epoch, number, lot.form.name, lot.worker

    def sort(self, rows: list[Row]) -> Sorted:
        """How the rows of a record of good ends are to be taken in; lots are not changed."""
        if self._sorted is not None and self._sorted[0] is rows:
            return self._sorted[1]
        plain: list[Plain] = []
        others: list[int] = []
        epoch, lots, last = 0, _NONE, None
        for place, row in enumerate(rows):
            if row[ROW_EPOCH] != epoch:
                epoch = row[ROW_EPOCH]
                lots = self._lots.get(epoch, _NONE)
            lot = lots.get(row[ROW_NUMBER])
            if lot is None or not _is_plain(row):
                others.append(place)
                continue
            if lot is not last:
                last = lot
                plain.append(Plain(lot, [], []))
            plain[-1].rows.append(row)
            plain[-1].places.append(place)
        found = Sorted(plain, others)
        self._sorted = (rows, found)
        return found

    def node_of(self, epoch: int, number: int) -> Node | None:
        """The node of a running attempt, made now if there was none."""
        lot = self._lots.get(epoch, _NONE).pop(number, None)
        if lot is None:
            return None
        offset = number - lot.number
        source = Source(lot.record, lot.index + offset)
        node = Node(lot.first + offset, lot.parent, lot.form, source, lot.creator, lot.first_n + offset, lot.parent.depth + 1)
        node.ready_at, node.mean = lot.ready_at, lot.mean
        node.phase = Phase.RUNNING
        node.attempt = Attempt(epoch, number)
        node.worker = lot.worker
        self.nodes[node.id] = node
        self.current[epoch, number] = node
        return node

    def settle(self) -> None:
        """Make nodes of all that runs."""
        for epoch, lots in self._lots.items():
            for number in list(lots):
                self.node_of(epoch, number)

    def _attempts_assigned(self, record: r.AttemptsAssigned) -> None:
        number, targets = record.first, record.targets
        lots = self._lots.setdefault(self.epoch, {})
        for at in range(0, len(targets), 2):
            first, count = targets[at], targets[at + 1]
            run = None if count == 1 and first in self.nodes else self.runs.find(first)
            if run is None or run.parent.promises is not None:
                super()._attempts_assigned(r.AttemptsAssigned(record.at, record.worker, number, [first, count]))
                number += count
                continue
            assert run.first == first, "targets leave a run from its front"
            assert count <= run.count, "a run gives no more than it has"
            lot = Lot()
            lot.parent, lot.form, lot.creator, lot.ready_at = run.parent, run.form, run.creator, run.ready_at
            lot.first, lot.first_n, lot.record, lot.index, lot.mean = first, run.first_n, run.record, run.index, run.mean
            lot.number, lot.worker = number, record.worker
            run.form.tally[Phase.READY] -= count
            run.form.tally[Phase.RUNNING] += count
            self.runs.shrink(run, count)
            lots.update(dict.fromkeys(range(number, number + count), lot))
            number += count
        self.next_number = number

    def _attempts_committed(self, record: r.AttemptsCommitted) -> None:
        found = self.sort(record.rows)
        self._sorted = None
        others = found.others
        for lot, rows, places in found.plain:
            parent = lot.parent
            bulk = len(rows)
            if parent.phase is Phase.WAITING:  # the one that ends it, or leaves nothing but what is stuck, has more to do
                bulk = max(0, min(bulk, parent.open - parent.stuck - 1))
            lots = self._lots[rows[0][ROW_EPOCH]]
            for row in rows[:bulk]:
                del lots[row[ROW_NUMBER]]
            parent.open -= bulk
            lot.form.tally[Phase.RUNNING] -= bulk
            lot.form.tally[Phase.DONE] += bulk
            others += places[bulk:]
        if others:
            self._commit(record, sorted(others))

    def _attempts_adopted(self, record: r.AttemptsAdopted) -> None:
        for epoch, number, _ in record.attempts:
            self.node_of(epoch, number)
        super()._attempts_adopted(record)

    def _single(self, target: int) -> Node | None:
        if target not in self.nodes and self.runs.find(target) is None:
            self.settle()  # it may be one of those that run
        return super()._single(target)

    def _below(self, top: Node) -> tuple[list[Node], list[Run]]:
        self.settle()
        return super()._below(top)

    def _end_run(self, outcome: str) -> None:
        self.settle()
        super()._end_run(outcome)


def _is_plain(row: Row) -> bool:
    return len(row) == ROW_FIELDS and not (
        row[ROW_CREATED] or row[ROW_FLAGS] & _TELLING or row[ROW_MESSAGES] or row[ROW_EMBEDS] or row[ROW_RESULT].__class__ is list
    )


_TELLING = FLAG_FOLLOW_ON | FLAG_TEMP
_NONE: dict[int, Lot] = {}


class _Current(dict[tuple[int, int], Node]):
    """The nodes of running attempts; asked for one that has none yet, it has it made."""

    def __init__(self, tree: SwiftTree) -> None:
        super().__init__()
        self._tree = tree

    def __missing__(self, attempt: tuple[int, int]) -> Node:
        node = self._tree.node_of(*attempt)
        if node is None:
            raise KeyError(attempt)
        return node

    def pop(self, attempt: tuple[int, int], *default: Any) -> Any:
        """Take it out."""
        if attempt not in self:
            self._tree.node_of(*attempt)
        return super().pop(attempt, *default)
