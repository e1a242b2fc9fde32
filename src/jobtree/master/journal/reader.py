"""Reading the journal: recovery and the views get the same frames in order, or a refusal that names the spot.

The segments form a chain: each one's first frame names its predecessor and how much of it is valid. The chain
is followed back from the newest segment and then read forward; a segment that is not on it was written by a
master that had been superseded, and counts for nothing.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from jobtree.errors import JobtreeError, StorageFailed
from jobtree.master.journal import frames, segments, snapshots
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files, close
from jobtree.master.journal.frames import BadFrame, Head, Header, Incomprehensible, Kind, SegmentHeader
from jobtree.master.journal.segments import DamageFound, Segment, SegmentName
from jobtree.master.journal.snapshots import Position, Snapshot

_WINDOW_BYTES = 4 << 20
_FRAME_BYTES = frames.HEADER_BYTES + frames.MAX_PAYLOAD_BYTES
_LOST = frozenset({errno.EIO, errno.ESTALE, errno.ENOENT, errno.EISDIR, errno.ELOOP})
_UNKNOWN = SegmentHeader(b"", 0, 0, 0, None, 0, 0, 0)


class Rewound(JobtreeError):
    """What was read last does not count: the journal went on from a place before it. Read it from its start.

    Only a reader that follows a living journal meets this, when a master takes over or finds its disk full.
    """


class Frame(NamedTuple):
    """The records of one frame, and where it stands. `payload` is what follows the frame's header."""

    sequence: int
    first_record: int
    heads: list[Head]
    payload: bytes
    data_offset: int
    segment: SegmentName
    offset: int

    @property
    def data(self) -> bytes:
        """The payloads of all its records, in order."""
        return self.payload[self.data_offset :]


class Proven(NamedTuple):
    """The place up to which all was synced for certain, because a later frame says so."""

    segment: SegmentName
    bytes: int
    frames: int
    crc: int


class Tail(NamedTuple):
    """How a journal ends, for the master that goes on with it.

    `proven` is what a new segment may build on (None: there is no segment yet), and `carried` are the sound
    frames after it: the new segment holds their records again. `torn_bytes` follow at `torn_offset`, ignored.
    """

    proven: Proven | None
    carried: tuple[Frame, ...]
    next_sequence: int
    next_record: int
    torn_offset: int
    torn_bytes: int


class Counts(NamedTuple):
    """What has been read so far. `ignored`: file, offset and bytes that a successor left out for ever."""

    segments: int
    frames: int
    records: int
    bytes: int
    ignored: tuple[tuple[str, int, int], ...]


class Reader:
    """The frames of a journal in order. Iterating again goes on where it ended, so a view can follow.

    Where there is a ``base``, the frames are those after it: what it holds comes before them. With ``sealed`` it reads only
    segments that have a successor, and it looks for a base of frames below ``before`` only, if that is given. Iterating raises
    JournalDamaged for what was written and cannot be read, and Rewound (see there). It changes nothing on disk. An unfinished
    last frame is the end, this time.
    """

    def __init__(self, files: Files, directory: Directory, *, sealed: bool = False, before: int | None = None) -> None:
        self._files = files
        self._directory = directory
        self._sealed = sealed
        self._before = before
        self._base: Snapshot | None = None
        self._begun = False
        self._newest = 0  # the newest snapshot that was there when reading began, by its name
        self._useless: list[DamageFound] = []
        self._window = _Window(files)
        self._ahead: deque[Segment] = deque()  # the segments after this one, as far as they are known
        self._segment: Segment | None = None
        self._seed = 0
        self._offset = 0
        self._sequence = 0
        self._record = 0
        self._crc = 0
        self._unproven: deque[tuple[int, int, int, Frame | None]] = deque()  # offset, sequence, crc before it
        self._frames = self._bytes = 0
        self._chain: list[SegmentName] = []
        self._ignored: list[tuple[str, int, int]] = []
        self._torn_bytes = 0

    @property
    def base(self) -> Snapshot | None:
        """The newest sound snapshot that the journal goes on from, read from end to end when it is first asked for."""
        if not self._begun:
            self._begin()
        return self._base

    @property
    def useless(self) -> tuple[DamageFound, ...]:
        """Newer snapshots than the base that are damaged: the base and the segments after it tell the same."""
        return tuple(self._useless)

    @property
    def position(self) -> Position | None:
        """Where reading has come to; None: nowhere yet."""
        name = self._segment.name if self._segment is not None else None
        return Position(name, self._offset, self._sequence, self._crc, self._record) if name is not None else None

    def __iter__(self) -> Iterator[Frame]:
        if not self._begun:
            self._begin()
        try:
            while True:
                yield from self._rest_of_segment()
                if not self._go_on():
                    return
        finally:
            self._window.close()

    @property
    def tail(self) -> Tail:
        """How the journal ends, after all of it has been read."""
        proven = None
        if self._segment is not None:
            place = (self._offset, self._sequence, self._crc)
            if self._unproven:
                place = self._unproven[0][:3]
            proven = Proven(self._segment.name, *place)
        carried = tuple(frame for *_, frame in self._unproven if frame is not None)
        return Tail(proven, carried, self._sequence, self._record, self._offset, self._torn_bytes)

    @property
    def counts(self) -> Counts:
        """What has been read so far."""
        return Counts(len(self._chain), self._frames, self._record, self._bytes, tuple(self._ignored))

    @property
    def chain(self) -> tuple[SegmentName, ...]:
        """The segments that have been entered, in order."""
        return tuple(self._chain)

    def _begin(self) -> None:
        """Find the chain, back to the beginning or to the newest sound snapshot that it goes on from."""
        with self._reading():
            names = self._files.names(self._directory.path)
        self._newest = max(filter(None, map(segments.snapshot_of, names)), default=0)
        heads, self._useless = snapshots.heads_of(self._files, self._directory, names)
        if self._before is not None:
            heads = [head for head in heads if head.position.frames < self._before]
        name = max(filter(None, map(SegmentName.parse, names)), default=None)
        if name is None:
            if heads:
                raise self._damage("the segments after the last snapshot are gone")
            return
        chain: list[Segment] = []
        while name is not None:
            segment = self._first_frame(name)
            chain.append(segment)
            name = self._predecessor(segment)
            if any(head.position.carries(segment.header) and self._stands_on(head) for head in heads):
                break
        self._ahead.extend(reversed(chain))
        self._begun = True

    def _stands_on(self, head: snapshots.Head) -> bool:
        """Go on from a snapshot, if it is sound."""
        try:
            self._base = Snapshot(self._files, self._directory, head)
        except DamageFound as problem:
            self._useless.append(problem)
            return False
        name, self._offset, self._sequence, self._crc, self._record = head.position
        self._segment = Segment(name, _UNKNOWN, 0, 0)
        return True

    def _rest_of_segment(self) -> Iterator[Frame]:
        """The frames from here to where the segment ends, or ends for now."""
        while self._segment is not None:
            limit = self._ahead[0].header.valid_bytes if self._ahead else None
            if limit is not None and self._offset >= limit:
                return
            try:
                header, payload = self._sound_frame()
            except BadFrame as problem:
                if limit is not None:
                    raise self._damage(str(problem)) from problem
                return  # torn, unfinished or damaged: what follows it will tell
            frame = self._accept(header, payload)
            if frame is not None:
                yield frame

    def _sound_frame(self) -> tuple[Header, bytes]:
        assert self._segment is not None
        with self._reading():
            window, at = self._window.around(self._offset)
        header = frames.parse(window, at, self._seed)
        if header.sequence != self._sequence:
            raise BadFrame(f"frame {header.sequence} stands there")
        if header.previous_crc != self._crc:
            raise BadFrame("it does not follow the frame before it")
        at += frames.HEADER_BYTES
        return header, window[at : at + header.length]

    def _accept(self, header: Header, payload: bytes) -> Frame | None:
        """Step over a sound frame; return it where it holds records."""
        assert self._segment is not None
        frame = None
        if header.kind == Kind.RECORDS:
            try:
                content = frames.decode_records(payload)
            except Incomprehensible as problem:
                raise self._damage(str(problem)) from problem
            if content.first_record != self._record:
                raise self._damage(f"its first record is {content.first_record} and not {self._record}")
            frame = Frame(header.sequence, content.first_record, content.heads, payload, content.data_offset,
                          self._segment.name, self._offset)  # fmt: skip
            self._record += len(content.heads)
        elif header.kind != Kind.MARK and header.kind & frames.CRITICAL:
            raise self._damage(f"it is of a kind ({header.kind}) that only a newer jobtree can read")
        self._prove(header.durable)
        self._unproven.append((self._offset, self._sequence, self._crc, frame))
        self._offset += frames.HEADER_BYTES + header.length
        self._bytes += frames.HEADER_BYTES + header.length
        self._sequence += 1
        self._frames += 1
        self._crc = header.crc
        return frame

    def _prove(self, watermark: int) -> None:
        while self._unproven and self._unproven[0][1] < watermark:
            self._unproven.popleft()

    def _go_on(self) -> bool:
        """Find what comes after the place where reading stopped; False: nothing yet."""
        if not self._begun:
            return False
        if not self._ahead:
            self._ahead.extend(self._successors())
        if self._sealed and len(self._ahead) == 1 and self._at_end_of_sealed(self._ahead[0]):
            return False
        if self._ahead:
            return self._reach(self._ahead[0])
        return self._segment is not None and self._judge_tail()

    def _at_end_of_sealed(self, last: Segment) -> bool:
        return self._segment is None or self._offset >= last.header.valid_bytes

    def _reach(self, following: Segment) -> bool:
        """Enter the segment that follows, if all that it builds on has been read."""
        valid = following.header.valid_bytes
        if self._segment is not None and self._offset < valid:
            self._window.close()
            return True  # it was written after we looked: read on up to there
        if self._segment is not None and self._offset > valid:
            raise Rewound("the journal went on from a place before the last one that was read")
        self._enter(self._ahead.popleft())
        return True

    def _enter(self, segment: Segment) -> None:
        header = segment.header
        built_on = (header.valid_frames, header.last_crc, header.valid_bytes)
        if built_on != (self._sequence, self._crc, self._offset):
            raise self._damage(f"{segment.name} does not follow what is there", segment)
        if header.first_record != self._record or header.first_sequence < self._sequence:
            raise self._damage("it begins with another record than the next one", segment)
        if self._segment is not None and self._chain:  # of the base's own segment nothing may be left
            self._note_ignored(self._segment)
        self._segment = segment
        self._seed = frames.seed_of(self._directory.run_id, segment.name.epoch)
        self._offset, self._crc, self._sequence = segment.start, segment.crc, header.first_sequence + 1
        self._unproven.clear()
        self._chain.append(segment.name)
        self._frames += 1
        self._bytes += segment.start
        self._window.open(self._path(segment.name))

    def _note_ignored(self, segment: Segment) -> None:
        with self._reading():
            beyond = self._files.status(self._path(segment.name)).bytes - self._offset
        if beyond > 0:
            self._ignored.append((str(segment.name), self._offset, beyond))

    def _successors(self) -> list[Segment]:
        """The chain from the segment after this one to the newest."""
        with self._reading():
            names = self._files.names(self._directory.path)
        newest = max((name for name in map(SegmentName.parse, names) if name is not None), default=None)
        chain: list[Segment] = []
        here = self._segment.name if self._segment else None
        name = newest
        while name is not None and name != here:
            segment = self._first_frame(name)
            chain.append(segment)
            name = self._predecessor(segment)
        if name != here:
            raise Rewound("the segment that was read last does not count any more")
        return chain[::-1]

    def _predecessor(self, segment: Segment) -> SegmentName | None:
        if segment.header.predecessor is None:
            return None
        name = SegmentName.parse(segment.header.predecessor)
        if name is None or name.first_sequence >= segment.name.first_sequence:
            raise self._damage("it names a predecessor that cannot be one", segment)
        return name

    def _first_frame(self, name: SegmentName) -> Segment:
        """The header of a segment. It was synced before the file got its name, so it can't be torn."""
        seed = frames.seed_of(self._directory.run_id, name.epoch)
        window = _Window(self._files)
        unread = Segment(name, _UNKNOWN._replace(first_sequence=name.first_sequence), 0, 0)
        try:
            with self._reading(unread):
                window.open(self._path(name))
                start, _ = window.around(0)
            found = frames.parse(start, 0, seed)
            end = frames.HEADER_BYTES + found.length
            header = frames.decode_segment(start[frames.HEADER_BYTES : end])
        except (BadFrame, Incomprehensible) as problem:
            raise self._damage(str(problem), unread) from problem
        finally:
            window.close()
        if (
            found.kind != Kind.SEGMENT
            or (header.run_id, header.epoch) != (self._directory.run_id, name.epoch)
            or found.sequence != header.first_sequence
            or header.first_sequence != name.first_sequence
            or found.previous_crc != frames.first_crc(header.last_crc, seed)
        ):
            raise self._damage("it is not the first frame of this segment", unread)
        return Segment(name, header, end, found.crc)

    def _judge_tail(self) -> bool:
        """What are the bytes that no successor explains: torn (False), damage (raises), readable by now?"""
        assert self._segment is not None
        with self._reading():
            rest = self._window.rest(self._offset)
        self._torn_bytes = len(rest)
        proof = frames.search(rest, self._seed, self._sequence)
        if proof is None:
            return False
        try:  # a living master may have finished the frame since we looked at it, and many more
            self._sound_frame()
        except BadFrame as problem:
            later = self._offset + proof
            reason = f"{problem}, but the frame at offset {later} says that this one was once on disk"
            raise self._damage(reason) from problem
        return True

    def _damage(self, reason: str, segment: Segment | None = None) -> DamageFound:
        """The refusal for the place where we are, or for the first frame of a segment."""
        if segment is not None:
            return DamageFound(self._path(segment.name), 0, segment.header.first_sequence, reason)
        name = self._segment.name if self._segment else None
        return DamageFound(self._path(name), self._offset, self._sequence, reason)

    def _overtaken(self) -> bool:
        """Whether there is a snapshot beyond the place where we are, so that a segment may have been removed with reason."""
        known = self._sequence if self._begun else self._newest
        return any(found is not None and found > known for found in map(segments.snapshot_of, self._names()))

    def _names(self) -> list[str]:
        try:
            return self._files.names(self._directory.path)
        except OSError:
            return []

    def _path(self, name: SegmentName | None) -> str:
        return f"{self._directory.path}/{name}" if name else self._directory.path

    @contextmanager
    def _reading(self, segment: Segment | None = None) -> Iterator[None]:
        """What the disk refuses to read is as good as damaged: nothing is repaired, nothing is skipped."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENOENT and self._overtaken():
                raise Rewound("what was to be read next is in a newer snapshot by now") from error
            if error.errno in _LOST:
                raise self._damage(f"it cannot be read ({error.strerror})", segment) from error
            raise StorageFailed(f"{self._directory.path} cannot be read: {error.strerror}") from error


class _Window:
    """A part of one segment in memory, so that small frames do not cost a system call each."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._path = ""
        self._descriptor: int | None = None
        self._bytes = b""
        self._base = 0
        self._is_last = False  # the file ended within it

    def open(self, path: str) -> None:
        """Read this file from now on, and what is in it now."""
        self.close()
        self._path = path

    def close(self) -> None:
        """Keep nothing; reading again opens the file again."""
        self._bytes, self._is_last = b"", False
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            close(self._files, descriptor, self._path)

    def around(self, offset: int) -> tuple[bytes, int]:
        """Bytes that hold the whole frame at an offset, if the file does, and where in them it begins."""
        behind = self._base + len(self._bytes) - offset
        if not self._bytes or (behind < _FRAME_BYTES and not self._is_last) or offset < self._base:
            self._bytes = self._files.read(self._opened(), _WINDOW_BYTES, offset)
            self._base = offset
            self._is_last = len(self._bytes) < _WINDOW_BYTES
        return self._bytes, offset - self._base

    def rest(self, offset: int) -> bytes:
        """All that the file has from an offset on, read afresh."""
        self.close()
        descriptor = self._opened()
        return self._files.read(descriptor, max(self._files.size(descriptor) - offset, 0), offset)

    def _opened(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._files.open(self._path)
        return self._descriptor
