"""Looking at a journal without changing it: `jobtree journal verify` and `dump`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jobtree.errors import JournalDamaged
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.master.journal.frames import Head
from jobtree.master.journal.reader import Counts, Reader
from jobtree.master.journal.segments import DamageFound, SegmentName
from jobtree.master.journal.snapshots import Snapshot, heads_of, read_part


class Report(NamedTuple):
    """What a journal holds. `damage` is the first bad spot (None: it is sound), all else is counted up to it.

    `torn_bytes` follow at `torn_offset` in `torn_segment`: the unfinished end of a master that was killed, or
    what a living one is writing just now. `unused` are segments that no newer one builds on. `snapshot` is the one from which the
    journal goes on, and `notes` tell of snapshots, and segments before one, that are damaged and that it can do without.
    """

    counts: Counts
    next_sequence: int
    torn_segment: str | None
    torn_offset: int
    torn_bytes: int
    unused: tuple[str, ...]
    damage: JournalDamaged | None
    snapshot: str | None = None
    notes: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """The report in words, a line each."""
        counts = self.counts
        yield (f"{counts.records:,} records in {counts.frames:,} frames, {counts.segments:,} segments, {counts.bytes:,} bytes")
        if self.snapshot:
            yield self.snapshot
        yield from self.notes
        for name, offset, size in counts.ignored:
            yield f"{name}: {size:,} bytes from offset {offset} on do not count: its successor left them out"
        for name in self.unused:
            yield f"{name} does not count: it was written by a master that had been superseded"
        if self.torn_bytes:
            where = f"from offset {self.torn_offset} on"
            yield f"{self.torn_segment}: {self.torn_bytes:,} bytes {where} are unfinished"
        yield self._verdict()

    def _verdict(self) -> str:
        if self.damage:
            return str(self.damage)
        if not self.notes:
            return "the journal is sound"
        return (
            "the journal is sound, but what it keeps as a spare is damaged: nothing is lost, and a run goes on as ever. Until "
            "newer snapshots take its place there is nothing to fall back on. See to the disk, and copy the tree"
        )


class Row(NamedTuple):
    """One record of a dump; `text` is what the caller's `describe` makes of it."""

    sequence: int
    offset: int
    segment: str
    record: int
    text: str


def verify(files: Files, directory: Directory) -> Report:
    """Read all of a journal, and say what is there and what is the first thing wrong with it."""
    reader = Reader(files, directory)
    damage = base = snapshot = None
    notes: list[str] = []
    try:
        base = reader.base
        if base is not None:
            snapshot, notes = _snapshot(files, directory, base), list(_spare(files, directory, base))
        notes = [_spoilt(problem) for problem in reader.useless] + notes
        for _ in reader:
            pass
        last = reader.tail.proven
        directory.refuse_lost_end(last.segment if last else None, reader.tail.next_sequence)
    except JournalDamaged as found:
        damage = found
    tail = reader.tail
    start = base.position.frames if base is not None else 0
    names = filter(None, map(SegmentName.parse, files.names(directory.path)))
    unused = [str(name) for name in names if name not in reader.chain and name.first_sequence >= start]
    return Report(
        reader.counts,
        tail.next_sequence,
        str(tail.proven.segment) if tail.proven else None,
        tail.torn_offset,
        0 if damage else tail.torn_bytes,
        () if damage else tuple(unused),
        damage,
        snapshot,
        tuple(notes),
    )


def _snapshot(files: Files, directory: Directory, base: Snapshot) -> str:
    """The snapshot in words; raises JournalDamaged where a part of the history that belongs to it is not sound."""
    for part in base.head.parts:
        for _ in read_part(files, directory, part):
            pass
    parts = f"{len(base.head.parts):,} parts of the history" if len(base.head.parts) != 1 else "one part of the history"
    return f"{base.head.name}: the state after {base.position.record:,} records, {base.sum.bytes:,} bytes, and {parts}"


def _spare(files: Files, directory: Directory, base: Snapshot) -> Iterator[str]:
    """What is wrong with the snapshot before the last one and the segments after it, which are there in case of need."""
    older, _ = heads_of(files, directory, files.names(directory.path))
    if not any(head.position.frames < base.position.frames for head in older):
        return
    spare = Reader(files, directory, before=base.position.frames)
    try:
        for _frame in spare:
            pass
    except DamageFound as problem:
        if not spare.useless:  # else it is a consequence: segments before that snapshot are gone with reason
            yield _spoilt(problem)
    yield from map(_spoilt, spare.useless)


def _spoilt(problem: DamageFound) -> str:
    return f"a spare is damaged: {problem.path}, offset {problem.offset}, frame {problem.sequence}: {problem.reason}"


def dump(files: Files, directory: Directory, describe: Callable[[Head], str] = str) -> Iterator[Row]:
    """Every record of a journal in order; raises JournalDamaged at the first bad spot, when it gets there."""
    for frame in Reader(files, directory):
        for number, head in enumerate(frame.heads):
            record = frame.first_record + number
            yield Row(frame.sequence, frame.offset, str(frame.segment), record, describe(head))
