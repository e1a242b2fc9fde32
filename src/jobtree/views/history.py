"""Replays a journal and keeps what the views need of it: what every attempt took, failures, workers, blocks, epochs.

The tree of targets is the master's own, changed by the same ``apply``; beside it stands what a master need not remember. A torn
end is none of a view's business; damage is refused as it is in a restart (JournalDamaged).
"""

from __future__ import annotations

import gc
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import JournalDamaged, UsageError
from ..master import records as r
from ..master.journal.directory import Directory
from ..master.journal.files import Files
from ..master.journal.reader import Frame, Reader, Rewound
from ..master.journal.segments import DamageFound
from ..master.journal.snapshots import Part, read_part
from ..master.ledger import Ledger
from ..master.nodes import Form, Node
from ..master.snapshot import restore
from ..protocol.messages import (
    ROW_CAUSE,
    ROW_EPOCH,
    ROW_FAILURE,
    ROW_MEMORY,
    ROW_MESSAGES,
    ROW_NUMBER,
    ROW_RESULT,
    ROW_STARTED,
    ROW_SYSTEM,
    ROW_USER,
    ROW_WALL,
)
from . import parts
from .attempts import Attempts
from .kept import BlockHistory, EpochHistory, Taken, WorkerHistory
from .schema import Failure
from .swift import Row, SwiftTree

#: Told of the end of an attempt: its target's id and name, its ordinal, epoch and number, and what it said by ``Target.log``.
OnMessages = Callable[[int, str, int, int, int, list[list[Any]]], None]


@dataclass(frozen=True, slots=True)
class Remains:
    """A failed target's exception, which nobody here unpickles: the bytes, or the blob ``[size, sha256, epoch, number]``."""

    data: bytes
    blob: list[Any] | None


class History:
    """All that the journal of a tree says. ``poll`` takes in what has been written since.

    Raises UsageError for what is no tree, JournalDamaged for what cannot be read.
    """

    def __init__(
        self, path: str, *, files: Files | None = None, on_messages: OnMessages | None = None, detail: bool = False,
        sealed: bool = False,
    ) -> None:  # fmt: skip
        """With ``sealed`` only segments that have a successor are read, and of finished targets only what those tell."""
        self.path = path
        self.files = files or Files()
        self.directory = Directory.open(self.files, path)
        self.on_messages = on_messages
        self._sealed = sealed
        self._detail = detail
        self._clear()

    def _clear(self) -> None:
        self.tree, self.ledger = SwiftTree(), Ledger()  # the ledger is kept for those who make a snapshot
        self.taken: dict[str, Taken] = {}
        self.failures: dict[int, Failure] = {}
        self.losses: dict[int, str] = {}  # by target: how its last worker was lost
        self.remains: dict[int, Remains] = {}
        self.workers: dict[int, WorkerHistory] = {}
        self.blocks: dict[str, BlockHistory] = {}
        self.epochs: list[EpochHistory] = []
        self.attempts = Attempts() if self._detail else None
        self.assigned: list[tuple[int, int, int]] = []  # epoch, first number, worker
        self.adopted: dict[tuple[int, int], int] = {}
        self._default_cpus = 1.0
        self.started_at = 0.0
        self.last_at = 0.0
        self.reader = Reader(self.files, self.directory, sealed=self._sealed)
        self._stands = False
        self.gaps: list[str] = []  # parts of the history that can't be read
        self._watchers: dict[type[r.Record], Callable[[Any], None]] = {
            r.RunDescribed: self._described,
            r.EpochBegan: self._epoch_began,
            r.AttemptsAssigned: self._was_assigned,
            r.AttemptsAdopted: self._was_adopted,
            r.AttemptsCommitted: self._committed,
            r.AttemptsFailed: self._failed,
            r.AttemptsLost: self._lost,
            r.TargetsRefused: self._refused,
            r.TargetsRetried: self._retried,
            r.SubtreesCancelled: self._cancelled,
            r.BlockPlanned: self._planned,
            r.BlockKnown: self._known,
            r.BlockEnded: self._block_ended,
            r.BlockNoted: self._block_noted,
            r.WorkerJoined: self._joined,
            r.WorkerLeft: self._left,
            r.RunEnded: self._run_ended,
        }
        self._forgetful = (self._retried, self._cancelled)

    def poll(self) -> bool:
        """Take in what is new; whether there was anything."""
        before = self.tree.records
        with _no_gc():
            while True:
                try:
                    self._stand_on_base()
                    for frame in self.reader:
                        self._take(frame)
                except Rewound:
                    self._clear()  # what was read last does not count any more
                    continue
                except (JournalDamaged, OSError):
                    self._refuse_if_gone()
                    raise
                break
        return self.tree.records != before

    def _stand_on_base(self) -> None:
        """Begin with what the snapshot holds from which the journal goes on."""
        base = self.reader.base
        if base is None or self._stands:
            return
        self._stands = True
        self.tree = SwiftTree()
        self.ledger = restore(base.state(), self.tree)
        self._default_cpus = float(self.tree.options.get("default_cpus") or 1.0)
        parts.stand(self, base.views())
        for part in base.head.parts if not self._sealed else ():
            self._add(part)

    def _add(self, part: Part) -> None:
        """A part that is damaged or gone takes with it what it told of finished targets; no view stops for that."""
        try:
            items = list(read_part(self.files, self.directory, part))
        except DamageFound as damage:
            self.gaps.append(f"{damage.path}: {damage.reason}")
            return
        parts.add(self, items)

    def _refuse_if_gone(self) -> None:
        try:
            self.files.status(self.directory.path)
        except FileNotFoundError:
            raise UsageError(f"{self.path} is gone: it was moved or removed") from None

    @property
    def elapsed(self) -> float:
        """Seconds that masters have spent on it, as far as the journal tells."""
        return sum(max(0.0, epoch.last_at - epoch.began.at) for epoch in self.epochs)

    def worker_of(self, epoch: int, number: int) -> int:
        """The worker that an attempt was given to last; 0 for one that the journal does not know."""
        adopted = self.adopted.get((epoch, number))
        if adopted is not None:
            return adopted
        place = bisect_right(self.assigned, (epoch, number, sys.maxsize)) - 1
        return self.assigned[place][2] if place >= 0 and self.assigned[place][0] == epoch else 0

    def payloads(self, record: int, first: int, count: int) -> tuple[list[int], bytes]:
        """The lengths and the bytes of payloads of a record, looked up in the journal; LookupError where there are none."""
        reader = Reader(self.files, self.directory)
        if reader.base is not None and record < reader.base.position.record:
            return reader.base.payloads.fetch(record, first, count)
        for frame in reader:
            position = record - frame.first_record
            if 0 <= position < len(frame.heads):
                lengths = frame.heads[position][1] or []
                start = _place_of(frame, position) + sum(lengths[:first])
                lengths = lengths[first : first + count]
                return lengths, frame.payload[start : start + sum(lengths)]
        raise LookupError(f"the journal has no record {record}")

    def _take(self, frame: Frame) -> None:
        apply, watch = self.tree.apply, self._watchers.get
        for record in records_of(frame):
            watcher = watch(type(record))
            if watcher is not None:
                watcher(record)
            apply(record)
            if watcher in self._forgetful:
                self._forget_what_came_back()
            at = getattr(record, "at", 0.0)
            if at > self.last_at:
                self.last_at = at
        if self.epochs:
            self.epochs[-1].last_at = self.last_at
        self._forget_news()

    def _forget_what_came_back(self) -> None:
        """A record about a target may bring back others below it."""
        for target in [target for target in self.failures if target not in self.tree.failed]:
            del self.failures[target]
            self.remains.pop(target, None)

    def _forget_news(self) -> None:
        """What the records have led to is for a master to act on."""
        self.tree.forget_news()

    # -- attempts; each is called before the record becomes part of the tree ----------------------------------------

    def _was_assigned(self, record: r.AttemptsAssigned) -> None:
        self.assigned.append((self.tree.epoch, record.first, record.worker))

    def _was_adopted(self, record: r.AttemptsAdopted) -> None:
        for epoch, number, _ in record.attempts:
            self.adopted[epoch, number] = record.worker

    def _committed(self, record: r.AttemptsCommitted) -> None:
        worker, rows = self._worker(record.worker), record.rows
        found = self.tree.sort(rows)
        for plain in found.plain:
            lot = plain.lot
            self._well(lot.form, lot.ready_at, plain.rows, worker)
            if self.attempts is not None:
                ids = [lot.first + row[ROW_NUMBER] - lot.number for row in plain.rows]
                path = self.attempts.path_of_child(lot.parent, lot.form.name)
                self.attempts.ended(lot.form, path, lot.ready_at, ids, plain.rows, record.worker)
        for place in found.others:
            row = rows[place]
            node = self.tree.current[row[ROW_EPOCH], row[ROW_NUMBER]]
            self._one_well(node, row, worker)
            if self.attempts is not None:
                self._note_attempt(node, row, record.worker)
        if self.on_messages is not None:
            for row in rows:
                if row[ROW_MESSAGES]:
                    self._messages(self.tree.current[row[ROW_EPOCH], row[ROW_NUMBER]], row)

    def _well(self, form: Form, ready_at: float, rows: list[Row], worker: WorkerHistory) -> None:
        """Attempts of targets of one form, ready at the same time, have ended well."""
        taken = self._taken_by(form.name)
        walls = [row[ROW_WALL] for row in rows]
        cpus = [row[ROW_USER] + row[ROW_SYSTEM] for row in rows]
        peaks = [row[ROW_MEMORY] for row in rows]
        taken.time.extend(walls)
        taken.cpu.extend(cpus)
        taken.wait.extend([max(0.0, row[ROW_STARTED] - ready_at) for row in rows])
        taken.memory.extend(peaks)
        seconds = sum(walls)
        paid = seconds * form.requests.get("cpus", self._default_cpus)
        taken.paid += paid
        taken.asked_memory = max(taken.asked_memory, form.requests.get("memory", 0))
        worker.targets += len(rows)
        worker.busy += seconds
        worker.paid += paid
        worker.cpu += sum(cpus)
        worker.memory = max(worker.memory, *peaks)

    def _one_well(self, node: Node, row: Row, worker: WorkerHistory) -> None:
        """The same for one attempt; half of the attempts of a recursion come this way."""
        form = node.form
        taken = self.taken.get(form.name)
        if taken is None:
            taken = self._taken_by(form.name)
        wall, cpu, memory = row[ROW_WALL], row[ROW_USER] + row[ROW_SYSTEM], row[ROW_MEMORY]
        wait = row[ROW_STARTED] - node.ready_at
        taken.time.append(wall)
        taken.cpu.append(cpu)
        taken.wait.append(wait if wait > 0.0 else 0.0)
        taken.memory.append(memory)
        paid = wall * form.requests.get("cpus", self._default_cpus)
        taken.paid += paid
        worker.paid += paid
        asked = form.requests.get("memory", 0)
        if asked > taken.asked_memory:
            taken.asked_memory = asked
        worker.targets += 1
        worker.busy += wall
        worker.cpu += cpu
        if memory > worker.memory:
            worker.memory = memory

    def _note_attempt(self, node: Node, row: Row, worker: int) -> None:
        if self.attempts is not None:
            path = self.attempts.path_of(node)
            self.attempts.ended(node.form, path, node.ready_at, [node.id], [row], worker)

    def _failed(self, record: r.AttemptsFailed) -> None:
        worker = self._worker(record.worker)
        place = 0
        for row, verdict, length in zip(record.rows, record.verdicts, record.lengths, strict=True):
            node = self.tree.current[row[ROW_EPOCH], row[ROW_NUMBER]]
            taken = self._taken(node)
            taken.failed += 1
            taken.wasted += row[ROW_WALL]
            worker.targets += 1
            worker.busy += row[ROW_WALL]
            worker.paid += row[ROW_WALL] * node.form.requests.get("cpus", self._default_cpus)
            worker.cpu += row[ROW_USER] + row[ROW_SYSTEM]
            worker.memory = max(worker.memory, row[ROW_MEMORY])
            self._note_attempt(node, row, record.worker)
            if verdict is None:
                self._note_failure(node, row, record)
                self._note_remains(node, row, record.data[place : place + length])
            else:
                taken.retries += 1
            place += length
            if row[ROW_MESSAGES] and self.on_messages is not None:
                self._messages(node, row)

    def _note_failure(self, node: Node, row: list[Any], record: r.AttemptsFailed) -> None:
        said = row[ROW_FAILURE] or {}
        known = self.workers.get(record.worker)
        self.failures[node.id] = Failure(
            id=node.id,
            name=node.form.name,
            attempts=node.begun + 1,
            cause=row[ROW_CAUSE],
            message=str(said.get("message") or ""),
            type=str(said.get("type") or ""),
            where=str(said.get("where") or ""),
            host=str(said.get("host") or (known.joined.host if known else "")),
            worker=record.worker,
            exit=said.get("exit"),
            output=str(said.get("output") or ""),
            failed_at=record.at,
            wall=row[ROW_WALL],
            memory=row[ROW_MEMORY],
            memory_limit=int(said.get("memory_limit") or 0),
            time_limit=said.get("time_limit"),
            block=known.joined.block if known else "",
        )

    def _note_remains(self, node: Node, row: list[Any], data: bytes) -> None:
        result = row[ROW_RESULT]
        if result is True:
            self.remains[node.id] = Remains(data, None)
        elif isinstance(result, list):
            self.remains[node.id] = Remains(b"", [*result, row[ROW_EPOCH], row[ROW_NUMBER]])

    def _lost(self, record: r.AttemptsLost) -> None:
        for epoch, number, _ in record.attempts:
            node = self.tree.current[epoch, number]
            self._taken(node).lost += 1
            self.losses[node.id] = f"{record.cause}: {record.reason}"
            if self.attempts is not None:
                self.attempts.lost(node, record.at)

    def _refused(self, record: r.TargetsRefused) -> None:
        for target in record.targets:
            node = self.tree.nodes.get(target)
            run = self.tree.runs.find(target) if node is None else None
            what = node or run
            if what is not None:
                begun = node.begun if node is not None else 0
                self.failures[target] = Failure(
                    target, what.form.name, begun, record.cause, record.message, "", "", "", 0, None, "", record.at, 0.0, 0
                )

    def _retried(self, record: r.TargetsRetried) -> None:
        for target in record.targets:
            failure = self.failures.pop(target, None)
            self.remains.pop(target, None)
            if failure is not None:
                self._taken_by(failure.name).retries += 1

    def _cancelled(self, record: r.SubtreesCancelled) -> None:
        self.tree.settle()  # one that runs may be meant
        for target in record.targets:
            self.remains.pop(target, None)
            node = self.tree.nodes.get(target)
            what = node or self.tree.runs.find(target)
            if what is not None:
                begun = node.begun if node is not None else 0
                cause, words = "cancelled", "it was cancelled by hand"
                self.failures[target] = Failure(
                    target, what.form.name, begun, cause, words, "", "", "", 0, None, "", record.at, 0.0, 0
                )

    def _messages(self, node: Node, row: list[Any]) -> None:
        assert self.on_messages is not None
        self.on_messages(node.id, node.form.name, node.begun + 1, row[ROW_EPOCH], row[ROW_NUMBER], row[ROW_MESSAGES])

    def _taken(self, node: Node) -> Taken:
        name = node.form.name
        taken = self.taken.get(name)
        return taken if taken is not None else self._taken_by(name)

    def _taken_by(self, name: str) -> Taken:
        taken = self.taken.get(name)
        if taken is None:
            taken = self.taken[name] = Taken()
        return taken

    def _worker(self, number: int) -> WorkerHistory:
        known = self.workers.get(number)
        return known if known is not None else _NOBODY

    # -- the run, its workers and blocks ----------------------------------------------------------------------------

    def _described(self, record: r.RunDescribed) -> None:
        self.started_at = record.at

    def _epoch_began(self, record: r.EpochBegan) -> None:
        self.epochs.append(EpochHistory(record))
        self._default_cpus = float(record.options.get("default_cpus") or 1.0)
        self.last_at = record.at

    def _run_ended(self, record: r.RunEnded) -> None:
        if self.epochs:
            self.epochs[-1].ended = record

    def _planned(self, record: r.BlockPlanned) -> None:
        self.blocks[record.name] = BlockHistory(record)

    def _known(self, record: r.BlockKnown) -> None:
        block = self.blocks[record.name]
        block.ids, block.known = list(record.ids), True

    def _block_ended(self, record: r.BlockEnded) -> None:
        block = self.blocks.get(record.name)
        if block is None:
            return
        if record.id:
            block.gone[record.id] = record.reason
        else:
            block.refused = record.reason

    def _block_noted(self, record: r.BlockNoted) -> None:
        block = self.blocks.get(record.name)
        if block is not None:
            fine = record.state == "running"
            block.note = "" if fine else f"{record.count:,} {record.state}" + (f": {record.reason}" if record.reason else "")

    def _joined(self, record: r.WorkerJoined) -> None:
        self.workers[record.worker] = WorkerHistory(record)

    def _left(self, record: r.WorkerLeft) -> None:
        worker = self.workers.get(record.worker)
        if worker is not None:
            worker.left_at, worker.reason = record.at, record.reason


#: Takes the figures of attempts whose worker the journal does not name.
_NOBODY = WorkerHistory(r.WorkerJoined(0.0, 0, "", "", 0, "", 0, 0.0, 0))

_FAILED = r.AttemptsFailed.code


def records_of(frame: Frame) -> Iterator[r.Record]:
    """The records of a frame. Views look at no payload but a failure's, so the others come without theirs."""
    decode = r.decode
    for position, head in enumerate(frame.heads):
        if head[0] != _FAILED:
            yield decode(head)
            continue
        place = _place_of(frame, position)
        yield decode(head, frame.payload[place : place + sum(head[1] or ())])


def _place_of(frame: Frame, position: int) -> int:
    """Where the data of a frame's record begins in its payload."""
    return frame.data_offset + sum(sum(head[1] or ()) for head in frame.heads[:position])


@contextmanager
def _no_gc() -> Iterator[None]:
    """A replay makes many objects and no cycles; looking for some would cost a third of its time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
