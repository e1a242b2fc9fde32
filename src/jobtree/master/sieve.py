"""Which records behind a gap in the journal still make sense: a tree takes in those, or the parts of them, and no others.

What a record says happened. But it may stand on something that the gap has swallowed: the creation of a target, the beginning of
an attempt. Such a record is dropped, and so is all that stands on it in turn; the targets in question run again. What is taken in
leaves a tree that could have come about without any gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..ids import NOBODY
from ..protocol.messages import (
    FLAG_FOLLOW_ON,
    FOLLOW_ON_N,
    ROW_CREATED,
    ROW_EPOCH,
    ROW_FLAGS,
    ROW_NUMBER,
)
from . import records as r
from .ledger import Ledger
from .nodes import Phase
from .tree import Tree


class Sieve:
    """Takes records in the order of the journal; `dropped` counts by type those of which nothing made sense any more.

    `ends` counts the ends of attempts that were dropped: their targets run again.
    """

    def __init__(self, tree: Tree, ledger: Ledger) -> None:
        self.tree = tree
        self.ledger = ledger
        self.dropped: dict[str, int] = {}
        self.ends = 0
        self.unknown = 0  # targets whose creation is lost, as far as their numbers tell

    def take(self, record: r.Record, epoch: int) -> list[r.Record]:
        """What of a record can be applied, and has been; `epoch` is that of the segment where it stands."""
        kept = [] if isinstance(record, r.AttemptsAssigned) and epoch != self.tree.epoch else list(self._kept(record))
        if not kept:
            name = type(record).__name__
            self.dropped[name] = self.dropped.get(name, 0) + 1
        return kept

    def settle(self, at: float) -> list[r.Record]:
        """At the end: what still runs may have ended in the gap, or with its worker: it runs again."""
        running = [[*attempt, 0] for attempt in self.tree.current]
        settled: list[r.Record] = [
            r.AttemptsLost(at, 0, "the journal was damaged", list(some)) for some in r.batched(running, r.MOST_LISTED)
        ]
        settled += [r.WorkerLeft(at, worker, "the journal was damaged") for worker in self.ledger.joined]
        for record in settled:
            self._apply(record)
        return settled

    def _apply(self, record: r.Record) -> r.Record:
        self.tree.apply(record)
        self.ledger.apply(record)
        return record

    def _kept(self, record: r.Record) -> Iterator[r.Record]:
        tree = self.tree
        match record:
            case r.EpochBegan() if record.epoch > tree.epoch:
                yield self._apply(record)
            case r.TargetsCreated() if self._follows(record):
                self.unknown += record.first - tree.next_id
                yield self._apply(record)
            case r.AttemptsAssigned() if record.worker in self.ledger.joined:
                yield from self._assigned(record)
            case r.AttemptsAdopted(at, worker, attempts) if worker in self.ledger.joined:
                ready = [item for item in attempts if self._is_ready(item[2]) and (item[0], item[1]) not in tree.current]
                if ready:
                    yield self._apply(r.AttemptsAdopted(at, worker, ready))
            case r.AttemptsReturned(at, attempts):
                known = [item for item in attempts if tuple(item) in tree.current]
                if known:
                    yield self._apply(r.AttemptsReturned(at, known))
            case r.AttemptsLost(at, worker, reason, attempts):
                known = [item for item in attempts if (item[0], item[1]) in tree.current]
                if known:
                    yield self._apply(r.AttemptsLost(at, worker, reason, known))
            case r.AttemptsCommitted():
                yield from self._ended(record, [place for place, row in enumerate(record.rows) if self._is_whole(row)])
            case r.AttemptsFailed():
                yield from self._ended(record, [place for place, row in enumerate(record.rows) if _attempt(row) in tree.current])
            case r.CodeAdded() | r.BlockPlanned() | r.BlockEnded() | r.WorkerJoined() | r.LossAccepted():
                yield self._apply(record)
            case r.BlockKnown() if record.name in self.ledger.blocks:
                yield self._apply(record)

    def _follows(self, record: r.TargetsCreated) -> bool:
        """Whether a piece is the next one of an attempt that is known."""
        if record.first < self.tree.next_id:
            return False
        if (record.epoch, record.number) == NOBODY:
            return self.tree.root is None or bool(self.tree.door)
        creator = self.tree.current.get((record.epoch, record.number))
        if creator is None:
            return False
        pieces = creator.pieces or []
        if record.first_n == FOLLOW_ON_N:
            return all(piece.first_n != FOLLOW_ON_N for piece in pieces)
        return record.first_n == 1 + sum(piece.size for piece in pieces if piece.first_n != FOLLOW_ON_N)

    def _assigned(self, record: r.AttemptsAssigned) -> Iterator[r.Record]:
        """One by one, for only some may be ready, and of a run not the first ones."""
        number = record.first
        for at in range(0, len(record.targets), 2):
            first, count = record.targets[at], record.targets[at + 1]
            items = [[self.tree.epoch, number + place, first + place] for place in range(count)]
            number += count
            ready = [item for item in items if self._is_ready(item[2]) and (item[0], item[1]) not in self.tree.current]
            if ready:
                yield self._apply(r.AttemptsAdopted(record.at, record.worker, ready))

    def _is_ready(self, target: int) -> bool:
        node = self.tree.nodes.get(target)
        return self.tree.runs.find(target) is not None if node is None else node.phase is Phase.READY

    def _is_whole(self, row: list[Any]) -> bool:
        """Whether all is there that an attempt has created."""
        node = self.tree.current.get(_attempt(row))
        return node is not None and node.created == row[ROW_CREATED] + (row[ROW_FLAGS] & FLAG_FOLLOW_ON)

    def _ended(self, record: r.AttemptsCommitted | r.AttemptsFailed, places: list[int]) -> Iterator[r.Record]:
        """The rows at these places, each as a record of its own."""
        self.ends += len(record.rows) - len(places)
        starts = [0]
        for length in record.lengths:
            starts.append(starts[-1] + length)
        for place in places:
            data, row = record.data[starts[place] : starts[place + 1]], record.rows[place]
            if isinstance(record, r.AttemptsCommitted):
                yield self._apply(r.AttemptsCommitted([record.lengths[place]], data, record.at, record.worker, [row]))
            else:
                verdict = record.verdicts[place]
                yield self._apply(r.AttemptsFailed([record.lengths[place]], data, record.at, record.worker, [row], [verdict]))


def _attempt(row: list[Any]) -> tuple[int, int]:
    return row[ROW_EPOCH], row[ROW_NUMBER]
