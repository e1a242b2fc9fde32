"""Making a damaged journal sound again: a new segment builds on the last good place, and holds what still makes sense behind it.

Nothing is written over and nothing removed: the valid part of the damaged segment stays where it is, a whole copy of it and all
the segments behind it are kept aside under other names.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

from ..errors import JournalDamaged
from . import records as r
from .journal.directory import Directory
from .journal.files import Files, write_all
from .journal.reader import Frame, Reader, Tail
from .journal.segments import DamageFound, SegmentName
from .journal.wreck import Hole, Without, salvageable
from .journal.writer import Journal
from .ledger import Ledger
from .nodes import Phase
from .sieve import Sieve
from .tree import Tree

_BATCH = 500
SHOWN = 20


@dataclass(slots=True)
class Salvage:
    """What came of it."""

    damage: str = ""  # the first bad spot; "": the journal was sound, and nothing was done
    holes: list[Hole] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)  # files that are kept under other names
    kept: int = 0  # records up to the first bad spot
    regained: int = 0  # records behind it
    dropped: dict[str, int] = field(default_factory=dict)
    ends: int = 0
    unknown: int = 0
    again: list[str] = field(default_factory=list)  # targets that ran, and run again
    counts: dict[str, int] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """The report in words, a line each."""
        if not self.damage:
            yield "the journal is sound; nothing was changed"
            return
        yield self.damage
        yield f"{self.kept:,} records before it are as they were; {self.regained:,} behind it still make sense and are kept"
        yield from (f"lost: {hole}" for hole in self.holes)
        if self.dropped:
            what = ", ".join(f"{count:,} {name}" for name, count in sorted(self.dropped.items()))
            yield f"dropped, because what they stand on is lost: {what}"
        if self.ends or self.unknown:
            yield f"{self.ends:,} ends of attempts and {self.unknown:,} targets are lost; who made them runs again"
        if self.again:
            more = f" and {len(self.again) - SHOWN:,} more" if len(self.again) > SHOWN else ""
            yield f"run again, though they had begun: {', '.join(self.again[:SHOWN])}{more}"
        yield "now: " + ", ".join(f"{count:,} {name}" for name, count in self.counts.items())
        yield from (f"kept aside: {name}" for name in self.aside)


def _nothing(directory: Directory, why: str) -> str:
    return f"nothing of {directory.path} can be read: {why}; bring it back from a copy, or run anew with --fresh"


Replay = Callable[[Reader, Tree, Ledger], tuple[Tree, Ledger]]


def salvage(files: Files, directory: Directory, claim: Callable[[], int], replay: Replay) -> Salvage:
    """Make a journal sound, in an epoch that `claim` gives; `replay` makes a tree and a ledger of what a reader finds.

    Raises JournalDamaged where nothing of it can be read, StorageFailed where the disk does not take what is left.
    """
    hidden: list[SegmentName] = []
    wreck: tuple[SegmentName, int, int] | None = None  # where the first bad spot is, and the number of the frame there
    done = Salvage()
    while True:
        view = cast(Files, Without(files, frozenset(map(str, hidden))))
        reader = Reader(view, Directory(view, directory.tree, directory.run_id))
        tree, ledger = Tree(), Ledger()
        try:
            tree, ledger = replay(reader, tree, ledger)
        except DamageFound as found:
            damage = f"{found.path}, offset {found.offset}, frame {found.sequence}: {found.reason}"
            name = _segment_of(directory, found, done.damage or damage)
            done.damage = damage
            if reader.chain and reader.chain[-1] == name and found.offset:
                wreck = (name, found.offset, found.sequence)
                hidden += [other for other in _segments(files, directory) if other > name and other not in hidden]
                break
            behind = [other for other in _segments(files, directory) if other >= name and other not in hidden]
            if not behind:
                raise JournalDamaged(_nothing(directory, done.damage)) from found
            hidden += behind
            continue
        break
    if not done.damage:
        return done
    if tree.root is None:
        raise JournalDamaged(_nothing(directory, done.damage))
    done.kept = tree.records
    sieve = Sieve(tree, ledger)
    frames = _behind(files, directory, wreck, sorted(hidden), done.holes, reader.tail.next_sequence)
    epoch = claim()
    _write(files, directory, epoch, reader.tail, sieve, frames, done)
    _set_aside(files, directory, epoch, wreck, hidden, done)
    again, _ = replay(Reader(files, directory), Tree(), Ledger())
    assert again.counts() == tree.counts(), "the salvaged journal tells another story than was salvaged"
    return done


def _segment_of(directory: Directory, found: DamageFound, first: str) -> SegmentName:
    name = SegmentName.parse(found.path.rpartition("/")[2])
    if name is None:
        raise JournalDamaged(_nothing(directory, first)) from found
    return name


def _segments(files: Files, directory: Directory) -> list[SegmentName]:
    return [name for name in map(SegmentName.parse, files.names(directory.path)) if name is not None]


def _behind(
    files: Files,
    directory: Directory,
    wreck: tuple[SegmentName, int, int] | None,
    rest: list[SegmentName],
    holes: list[Hole],
    sequence: int,
) -> Iterator[Frame]:
    """The sound frames behind the first bad spot, in the order of their numbers."""
    places = [(name, 0) for name in rest]
    if wreck is not None:
        places.insert(0, (wreck[0], wreck[1]))
    for name, offset in places:
        for found in salvageable(files, directory, name, offset, sequence):
            if isinstance(found, Hole):
                holes.append(found)
            else:
                sequence = found.sequence + 1
                yield found


def _write(
    files: Files, directory: Directory, epoch: int, tail: Tail, sieve: Sieve, frames: Iterator[Frame], done: Salvage
) -> None:
    """A segment of our own after the last good place, with what the sieve lets through."""
    tree = sieve.tree
    found = list(frames)  # what is behind the first bad spot; payloads and all
    last = max((frame.sequence for frame in found), default=tail.next_sequence)
    journal = Journal.open(files, directory, epoch, tail._replace(next_sequence=max(last + 1, tail.next_sequence), torn_bytes=0))
    try:
        journal.append([r.encode(r.LossAccepted(time.time(), epoch, done.kept, done.damage))])
        tree.apply(r.LossAccepted(0.0, epoch, done.kept, ""))
        batch: list[r.Record] = []
        for frame in found:
            for record in _records(frame):
                batch += sieve.take(record, frame.segment.epoch)
            if len(batch) >= _BATCH:
                done.regained += len(batch)
                journal.append([r.encode(record) for record in batch])
                batch = []
        done.regained += len(batch)
        done.again = sorted(f"{node.form.name}:{node.id}" for node in tree.current.values())
        journal.append([r.encode(record) for record in [*batch, *sieve.settle(time.time())]])
    finally:
        journal.close()
    done.dropped, done.ends, done.unknown = sieve.dropped, sieve.ends, sieve.unknown
    done.counts = {
        phase.name.lower(): count for phase, count in tree.counts().items() if count and phase is not Phase.PROVISIONAL
    }


def _records(frame: Frame) -> Iterator[r.Record]:
    data, offset = frame.data, 0
    for head in frame.heads:
        size = sum(head[1] or ())
        yield r.decode(head, data[offset : offset + size])
        offset += size


def _set_aside(
    files: Files,
    directory: Directory,
    epoch: int,
    wreck: tuple[SegmentName, int, int] | None,
    hidden: list[SegmentName],
    done: Salvage,
) -> None:
    """Give what does not count any more other names, and copy the segment of which a part still counts."""
    for name in hidden:
        files.rename(f"{directory.path}/{name}", f"{directory.path}/{name}.damaged-{epoch}")
        done.aside.append(f"{name}.damaged-{epoch}")
    if wreck is not None:
        copy = f"{wreck[0]}.damaged-{epoch}"
        try:
            _copy(files, f"{directory.path}/{wreck[0]}", f"{directory.path}/{copy}")
            done.aside.append(copy)
        except OSError as error:
            done.aside.append(f"{copy}, as far as it could be read ({error.strerror})")
    files.sync_directory(directory.path)


def _copy(files: Files, path: str, name: str) -> None:
    source = files.open(path)
    try:
        copy = files.create(name)
        try:
            write_all(files, copy, files.read(source, files.size(source), 0), 0)
            files.sync(copy)
        finally:
            files.close(copy)
    finally:
        files.close(source)
