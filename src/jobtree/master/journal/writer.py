"""Writing the journal: records in, and the effects that they cause out again when they are on disk.

What can go wrong has two kinds. No room is a pause: nothing is acknowledged, all is kept in order, and a new
segment is tried when there is room. Everything else ends this object: after a failed sync the kernel calls
pages clean that are not on disk, so the file is never synced again and nothing more is promised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from jobtree.errors import JobtreeError, StorageFailed, TreeLocked
from jobtree.master.journal import frames
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import NO_ROOM, Files, write_all
from jobtree.master.journal.frames import Encoded, Kind, Record, SegmentHeader
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Frame, Tail
from jobtree.master.journal.segments import SegmentName

SEGMENT_BYTES = 64 << 20
SYNC_BYTES = 4 << 20

T = TypeVar("T")


class Journal:
    """The journal of one epoch, open for writing.

    `append` takes a turn's records and the effects that wait for them, `released` gives the effects that may
    leave now, in their order. Except where said, every method raises StorageFailed for a disk that fails, and
    goes on raising it; TreeLocked where a later epoch was found when a segment was begun.
    """

    def __init__(
        self,
        files: Files,
        directory: Directory,
        epoch: int,
        tail: Tail,
        payloads: Payloads,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.epoch = epoch
        self.payloads = payloads
        self._files = files
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._seed = frames.seed_of(directory.run_id, epoch)
        self._segment: SegmentName | None = None
        self._descriptor = -1
        self._offset = 0  # where the next frame goes
        self._sequence = tail.next_sequence
        self._record = tail.next_record  # the next one to be written
        self._crc = 0
        self._synced = tail.next_sequence  # frames below this number are synced
        self.written = 0  # bytes of all frames of this epoch
        self._unsynced_bytes = 0
        self._unproven = False  # whether there are records that no watermark on disk covers
        self._waiting: deque[_Batch] = deque()
        self._waiting_records = 0
        self._ready: list[Any] = []
        self._paused: str | None = None
        self._failure: JobtreeError | None = None

    @classmethod
    def open(
        cls,
        files: Files,
        directory: Directory,
        epoch: int,
        tail: Tail,
        payloads: Payloads | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        cache_bytes: int = 32 << 20,
    ) -> Journal:
        """Begin this epoch's first segment after a tail that a reader has found.

        `payloads` may know the frames that the reader has read; a segment grows to about `segment_bytes`, and
        `cache_bytes` bound the payloads kept in memory. A copy of what is torn is kept for people. Raises
        StorageFailed also where there is no room: a master does not begin with a pause.
        """
        payloads = payloads or Payloads(files, directory, cache_bytes)
        journal = cls(files, directory, epoch, tail, payloads, segment_bytes)
        try:
            journal._guarded(lambda: journal._succeed(tail))
        except _NoRoom as problem:
            raise StorageFailed(f"{directory.path}: {problem}; make room and start again") from problem
        return journal

    @property
    def next_record(self) -> int:
        """The number that the next record given to `append` will get."""
        return self._record + self._waiting_records

    @property
    def next_sequence(self) -> int:
        """The number of the next frame; with the epoch it dates an acknowledgement."""
        return self._sequence

    @property
    def durable(self) -> int:
        """Frames below this number are known to be synced."""
        return self._synced

    @property
    def segment(self) -> str:
        """The file that is being written."""
        return str(self._segment)

    @property
    def paused(self) -> str | None:
        """Why nothing can be written at the moment, in words for the user; None: all is well."""
        return self._paused

    @property
    def pending(self) -> bool:
        """Whether something was appended that has not been released yet."""
        return bool(self._waiting or self._ready)

    def append(self, records: Sequence[Record], effects: Sequence[object] = (), *, sync: bool = True) -> None:
        """Write one batch and, with `sync`, bring it and all before it to the disk.

        The effects are released when that is done, without `sync` when the records have been written; without
        records at once, but never before those of an earlier batch. When paused, all waits for `retry`.
        Raises ValueError for a record that fits into no frame; then nothing of the batch was taken.
        """
        self._check()
        if not records and not self._waiting:
            self._ready += effects
            return
        encoded = self._encode(records)
        self._waiting.append(_Batch(records, effects, sync))
        self._waiting_records += len(records)
        if self._paused is None:
            self._work(encoded)

    def released(self) -> list[Any]:
        """The effects that may leave now, in order, each of them once. Never raises."""
        ready, self._ready = self._ready, []
        return ready

    def retry(self) -> bool:
        """When paused, try to write what waits, in a new segment; return whether all is well again."""
        self._check()
        if self._paused is not None:
            self._paused = None
            self._pausing(self._rotate)
            if self._paused is None:
                self._work()
        return self._paused is None

    def seal(self) -> bool:
        """End the segment, so that it can be compacted, and begin another; False in a pause."""
        self._check()
        if self._paused is None:
            self._pausing(self._rotate)
        return self._paused is None

    def mark(self) -> None:
        """When idle: sync, and write a mark so that the last records lie below a watermark too."""
        self._check()
        if self._paused is None:
            self._pausing(self._write_mark)

    def fetch(self, record: int, first: int = 0, count: int = 1) -> tuple[list[int], bytes]:
        """The lengths and the bytes of `count` payloads of a record, from number `first` on."""
        return self.payloads.fetch(record, first, count)

    def abandon(self, reason: JobtreeError) -> None:
        """Write nothing more, whatever is asked for; `reason` is raised instead."""
        self._failure = reason

    def close(self) -> None:
        """Mark the end and close the files. What waits in a pause was never acknowledged and is dropped."""
        try:
            if self._failure is None:
                self.mark()
                self._guarded(lambda: self._syncing(lambda: self._files.close(self._descriptor)))
                self._failure = StorageFailed("the journal is closed")
        finally:
            self.payloads.close()

    def _work(self, encoded: list[Encoded] | None = None) -> None:
        """Write what waits, batch by batch, until it is done or there is no room.

        `encoded` are the frames of the first batch, where they are made already.
        """
        while self._waiting and self._paused is None:
            batch = self._waiting[0]
            ready, encoded = encoded, None
            self._pausing(partial(self._commit, batch, ready))
            if self._paused is None:
                self._waiting.popleft()
                self._ready += batch.effects
                if self._offset >= self._segment_bytes:
                    self._pausing(self._rotate)

    def _commit(self, batch: _Batch, encoded: list[Encoded] | None) -> None:
        """Write a batch, or what is left of it, with a sync for every 4 MiB."""
        for group in _groups(encoded or self._encode(batch.records)):
            self._write(group)
            self._remember(group, batch.records)
            done = sum(frame.records for frame in group)
            batch.records = batch.records[done:]
            self._waiting_records -= done
            if batch.sync or self._unsynced_bytes >= SYNC_BYTES:
                self._sync()

    def _encode(self, records: Sequence[Record]) -> list[Encoded]:
        return frames.encode(
            records,
            self._record,
            sequence=self._sequence,
            durable=self._synced,
            previous=self._crc,
            seed=self._seed,
        )

    def _write(self, group: Sequence[Encoded]) -> None:
        data = b"".join([frame.frame for frame in group])
        write_all(self._files, self._descriptor, data, self._offset)
        self._unsynced_bytes += len(data)
        self._unproven = True

    def _remember(self, group: Sequence[Encoded], records: Sequence[Record]) -> None:
        """Step over frames that are written, and know where their payloads are."""
        start = 0
        for frame in group:
            heads = [head for head, _ in records[start : start + frame.records]]
            if any(head[1] for head in heads):  # lengths of 0, too: they are asked for like others
                self._know(frame.frame[frames.HEADER_BYTES :], frame.head_bytes, heads)
            self._record += frame.records
            start += frame.records
            self._step(frame.frame, frame.crc)

    def _know(self, payload: bytes, data_offset: int, heads: Sequence[frames.Head]) -> None:
        assert self._segment is not None
        self.payloads.know(self._segment, self._offset, self._record, heads, payload, data_offset)

    def _step(self, frame: bytes, crc: int) -> None:
        self._offset += len(frame)
        self.written += len(frame)
        self._sequence += 1
        self._crc = crc

    def _sync(self) -> None:
        if self._unsynced_bytes:
            self._syncing(lambda: self._files.sync_data(self._descriptor))
            self._synced = self._sequence
            self._unsynced_bytes = 0

    def _write_mark(self) -> None:
        self._sync()
        if self._unproven:
            mark, crc = self._seal(Kind.MARK, b"", self._sequence, self._crc)
            write_all(self._files, self._descriptor, mark, self._offset)
            self._unsynced_bytes += len(mark)
            self._step(mark, crc)
            self._sync()
            self._unproven = False

    def _succeed(self, tail: Tail) -> None:
        """Begin the epoch: a segment that builds on what is proven, and holds again what is not."""
        if tail.torn_bytes and tail.proven:
            self._keep_torn(tail.proven.segment, tail.torn_offset, tail.torn_bytes)
        first_record = tail.carried[0].first_record if tail.carried else tail.next_record
        proven = tail.proven
        self._begin(
            SegmentHeader(
                self._directory.run_id,
                self.epoch,
                tail.next_sequence,
                first_record,
                str(proven.segment) if proven else None,
                proven.bytes if proven else 0,
                proven.frames if proven else 0,
                proven.crc if proven else 0,
            ),
            tail.carried,
        )

    def _rotate(self) -> None:
        """Go on in a new segment; this one is good as far as it was written whole."""
        self._sync()
        before = self._descriptor
        self._begin(
            SegmentHeader(
                self._directory.run_id,
                self.epoch,
                self._sequence,
                self._record,
                str(self._segment),
                self._offset,
                self._sequence,
                self._crc,
            )
        )
        self._syncing(lambda: self._files.close(before))

    def _begin(self, header: SegmentHeader, carried: Sequence[Frame] = ()) -> None:
        """Make a segment whole and durable under another name, then give it its own, then use it."""
        if self._directory.highest_epoch() > self.epoch:
            raise self._directory.superseded(self.epoch)
        name = SegmentName(self.epoch, header.first_sequence)
        data, crc = frames.encode_segment(header, self._seed)
        sealed = [(data, crc), *self._sealed(carried, header.first_sequence + 1, crc)]
        descriptor = self._create(f"{self._directory.path}/{name}", b"".join([frame for frame, _ in sealed]))
        self._segment, self._descriptor, self._offset = name, descriptor, 0
        self._sequence, self._record = header.first_sequence, header.first_record
        self.payloads.forget(header.first_record)
        self._step(*sealed[0])
        for frame, (data, crc) in zip(carried, sealed[1:], strict=True):
            if any(head[1] for head in frame.heads):
                self._know(frame.payload, frame.data_offset, frame.heads)
            self._record += len(frame.heads)
            self._step(data, crc)
        self._synced = self._sequence
        self._unsynced_bytes = 0
        self._unproven = bool(carried)

    def _sealed(self, carried: Sequence[Frame], sequence: int, previous: int) -> Iterator[tuple[bytes, int]]:
        """Carried frames with new headers. The file is synced before it gets its name, so each may say that
        all before it is synced."""
        for frame in carried:
            data, previous = self._seal(Kind.RECORDS, frame.payload, sequence, previous)
            yield data, previous
            sequence += 1

    def _seal(self, kind: Kind, payload: bytes, sequence: int, previous: int) -> tuple[bytes, int]:
        """A frame that says that all before it is synced."""
        return frames.seal(kind, payload, sequence=sequence, durable=sequence, previous=previous, seed=self._seed)

    def _create(self, path: str, data: bytes) -> int:
        """A file that has its name only when its bytes are durable; returns its descriptor."""
        temporary = f"{path}.tmp-{self.epoch}"
        descriptor = self._files.create(temporary)
        try:
            write_all(self._files, descriptor, data, 0)
            self._syncing(lambda: self._files.sync(descriptor))
            self._files.rename(temporary, path)
        except OSError:
            self._syncing(lambda: self._files.close(descriptor))
            self._files.unlink(temporary)
            raise
        self._syncing(lambda: self._files.sync_directory(self._directory.path))
        return descriptor

    def _keep_torn(self, segment: SegmentName, offset: int, size: int) -> None:
        path = f"{self._directory.path}/{segment}"
        source = self._files.open(path)
        try:
            torn = self._files.read(source, size, offset)
        finally:
            self._files.close(source)
        copy = self._create(f"{path}.torn-{self.epoch}", torn)
        self._files.close(copy)

    def _syncing(self, action: Callable[[], T]) -> T:
        """Whatever goes wrong with a sync or a close is the end, a full disk too."""
        try:
            return action()
        except OSError as error:
            raise StorageFailed(
                f"{self._directory.path} could not be synced: {error.strerror}; when the disk is well, "
                f"`jobtree restart {self._directory.tree}` goes on from the last thing that was"
            ) from error

    def _pausing(self, action: Callable[[], None]) -> None:
        """Do something; where there is no room for it, pause."""
        try:
            self._guarded(action)
        except _NoRoom as problem:
            self._paused = str(problem)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something with the disk; a failure is remembered, so that nothing is tried after it."""
        try:
            action()
        except OSError as error:
            if error.errno in NO_ROOM:
                raise _NoRoom(f"no room to write the journal ({error.strerror})") from error
            self._failure = StorageFailed(f"{self._directory.path} cannot be written: {error.strerror}")
            raise self._failure from error
        except (StorageFailed, TreeLocked) as error:
            self._failure = error
            raise

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure


class _NoRoom(Exception):
    """The disk or the quota is full."""


class _Batch:
    """One `append`: the records still to be written, and what waits for them."""

    __slots__ = ("effects", "records", "sync")

    def __init__(self, records: Sequence[Record], effects: Sequence[object], sync: bool) -> None:
        self.records = records
        self.effects = effects
        self.sync = sync


def _groups(encoded: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """As many frames together as one sync may cover."""
    group: list[Encoded] = []
    size = 0
    for frame in encoded:
        if group and size + len(frame.frame) > SYNC_BYTES:
            yield group
            group, size = [], 0
        group.append(frame)
        size += len(frame.frame)
    if group:
        yield group
