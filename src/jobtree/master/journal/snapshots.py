"""Snapshots: the state after a segment's last frame, and the payloads that are still needed, in a file of their own.

What the state's items mean is nobody's affair here, nor what the views keep beside it. A snapshot says where in the journal it
stands and which parts of the history belong to it; it counts only if the next segment builds on that very place.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgpack

from jobtree.files import Files
from jobtree.master.journal import frames, segments, whole
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import close
from jobtree.master.journal.frames import BadFrame, SegmentHeader
from jobtree.master.journal.segments import DamageFound, SegmentName
from jobtree.master.journal.whole import Maker, Sum

#: The payloads of a record: from a first place on, so many.
Span = tuple[int, int, int]
Fetch = Callable[[int, int, int], tuple[list[int], bytes]]

HEAD, STATE, VIEWS, PAYLOADS, INDEX = (frames.CRITICAL | kind for kind in (0x41, 0x42, 0x43, 0x44, 0x45))
_FRAME_BYTES = 512 << 10  # payloads gathered in one frame
_AT_ONCE = 256  # payloads fetched at a time
_CACHE_BYTES = 16 << 20
_PLACE_BITS = 20  # a record has fewer payloads than its frame has bytes


class Position(NamedTuple):
    """A place between two frames: behind the last valid one of a segment."""

    segment: SegmentName
    bytes: int
    frames: int  # the number after the last frame
    crc: int
    record: int  # the number of the next record

    def carries(self, header: SegmentHeader) -> bool:
        """Whether a segment builds on just this place."""
        built_on = (header.predecessor, header.valid_bytes, header.valid_frames, header.last_crc, header.first_record)
        return built_on == (str(self.segment), *self[1:])


class Part(NamedTuple):
    """A part of the history: what the views keep of the frames from ``first`` to before ``last``."""

    first: int
    last: int
    bytes: int
    sha: str

    @property
    def name(self) -> str:
        return segments.part_name(self.first, self.last)


class Head(NamedTuple):
    """What a snapshot's first frame says."""

    name: str
    position: Position
    parts: tuple[Part, ...]


class Snapshot:
    """A snapshot that was read from end to end and found sound."""

    def __init__(self, files: Files, directory: Directory, head: Head) -> None:
        """Raises DamageFound."""
        self.head = head
        self.position = head.position
        self._files = files
        self._path = f"{directory.path}/{head.name}"
        self._seed = seed_of(directory)
        index: list[Sequence[int]] = []
        for found in whole.check(files, self._path, self._seed):
            if found.kind == INDEX:
                index += whole.items_of([found.payload])
        self.sum = whole.claimed_sum(files, self._path)
        self.payloads = KeptPayloads(files, self._path, self._seed, index)

    def state(self) -> Iterator[Any]:
        """The items of the state."""
        return whole.items_of(self._payloads_of(STATE))

    def views(self) -> Iterator[Any]:
        """The items that the views keep."""
        return whole.items_of(self._payloads_of(VIEWS))

    def _payloads_of(self, kind: int) -> Iterator[bytes]:
        """The payloads of all frames of a kind, which stand together."""
        met = False
        for found in whole.check(self._files, self._path, self._seed):
            if found.kind == kind:
                met = True
                yield found.payload
            elif met:
                return


class KeptPayloads:
    """The payloads in a snapshot, by the names that they have in the journal; a few frames of them are kept in memory."""

    def __init__(self, files: Files, path: str, seed: int, index: Iterable[Sequence[int]]) -> None:
        self._files = files
        self._path = path
        self._seed = seed
        self._keys = array("Q")
        self._offsets = array("Q")
        self._sizes = array("I")
        for key, offset, size in index:
            self._keys.append(key)
            self._offsets.append(offset)
            self._sizes.append(size)
        self._cache: OrderedDict[int, _Kept] = OrderedDict()
        self._cached = 0
        self._descriptor: int | None = None

    @classmethod
    def open(cls, files: Files, directory: Directory, name: str, index_offset: int) -> KeptPayloads:
        """Those of a snapshot that has been checked, found without reading more of it than its index."""
        path, seed = f"{directory.path}/{name}", seed_of(directory)
        kept = cls(files, path, seed, ())
        try:
            descriptor = kept._opened()
            data = files.read(descriptor, files.size(descriptor) - index_offset, index_offset)
            offset = 0
            payloads = []
            while (header := frames.parse(data, offset, seed)).kind == INDEX:
                end = offset + frames.HEADER_BYTES + header.length
                payloads.append(data[offset + frames.HEADER_BYTES : end])
                offset = end
        except BadFrame as problem:
            raise DamageFound(path, index_offset, 0, str(problem)) from problem
        except OSError as error:
            raise DamageFound(path, index_offset, 0, f"it cannot be read ({error.strerror})") from error
        for key, at, size in whole.items_of(payloads):
            kept._keys.append(key)
            kept._offsets.append(at)
            kept._sizes.append(size)
        return kept

    def fetch(self, record: int, first: int, count: int) -> tuple[list[int], bytes]:
        """The lengths and the bytes of payloads; LookupError where they are not there, DamageFound where they can't be read."""
        lengths: list[int] = []
        parts: list[bytes] = []
        while count:
            place = bisect_right(self._keys, record << _PLACE_BITS | first) - 1
            if place < 0:
                raise LookupError(f"the snapshot has no payload {first} of record {record}")
            some, data = self._frame(place).payloads(record, first, count)
            lengths += some
            parts.append(data)
            first, count = first + len(some), count - len(some)
        return lengths, b"".join(parts)

    def close(self) -> None:
        """Close the file, if it was opened."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            close(self._files, descriptor, self._path)

    def _frame(self, place: int) -> _Kept:
        kept = self._cache.get(place)
        if kept is not None:
            self._cache.move_to_end(place)
            return kept
        kept = self._cache[place] = _Kept(self._read(place))
        self._cached += kept.weight
        while self._cached > _CACHE_BYTES and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].weight
        return kept

    def _read(self, place: int) -> bytes:
        offset = self._offsets[place]
        try:
            frame = self._files.read(self._opened(), frames.HEADER_BYTES + self._sizes[place], offset)
            frames.parse(frame, 0, self._seed)
        except BadFrame as problem:
            raise DamageFound(self._path, offset, 0, str(problem)) from problem
        except OSError as error:
            raise DamageFound(self._path, offset, 0, f"it cannot be read ({error.strerror})") from error
        return frame[frames.HEADER_BYTES :]

    def _opened(self) -> int:
        if self._descriptor is None:
            self._descriptor = self._files.open(self._path)
        return self._descriptor


class _Kept:
    """One frame of payloads in memory."""

    __slots__ = ("_data", "_keys", "_spans", "_starts", "weight")

    def __init__(self, payload: bytes) -> None:
        self._spans, data_offset = _spans_of(payload)
        self._data = payload
        self._keys = [(record, first) for record, first, _ in self._spans]
        self._starts = list(accumulate((sum(lengths) for _, _, lengths in self._spans), initial=data_offset))
        self.weight = len(payload) + 200 * len(self._spans) + 10 * sum(len(lengths) for _, _, lengths in self._spans)

    def payloads(self, record: int, first: int, count: int) -> tuple[list[int], bytes]:
        """As many of them as one span has, and at least one."""
        number = bisect_right(self._keys, (record, first)) - 1
        found, start, lengths = self._spans[number]
        skipped = first - start
        if found != record or skipped >= len(lengths):
            raise LookupError(f"the snapshot has no payload {first} of record {record}")
        some = lengths[skipped : skipped + count]
        begin = self._starts[number] + sum(lengths[:skipped])
        return some, self._data[begin : begin + sum(some)]


def make(
    files: Files,
    directory: Directory,
    head: Head,
    state: Iterable[Any],
    views: Iterable[Any],
    spans: Iterable[Span],
    fetch: Fetch,
) -> tuple[Sum, int]:
    """Write a snapshot; its measures, and where its index stands. Raises as the disk and ``fetch`` do, and leaves nothing."""
    maker = Maker(files, f"{directory.path}/{head.name}", seed_of(directory))
    try:
        maker.put(HEAD, _packed_head(directory, head))
        maker.put_stream(STATE, state)
        maker.put_stream(VIEWS, views)
        index = list(_put_payloads(maker, spans, fetch))
        index_offset = maker.offset
        maker.put_stream(INDEX, index)
        return maker.finish(), index_offset
    except BaseException:
        maker.drop()
        raise


def make_part(files: Files, directory: Directory, first: int, last: int, items: Iterable[Any]) -> Part:
    """Write the part of the history that tells of the frames from ``first`` to before ``last``."""
    maker = Maker(files, f"{directory.path}/{segments.part_name(first, last)}", seed_of(directory))
    try:
        maker.put_stream(VIEWS, items)
        return Part(first, last, *maker.finish())
    except BaseException:
        maker.drop()
        raise


def read_part(files: Files, directory: Directory, part: Part) -> Iterator[Any]:
    """The items of a part; raises DamageFound, also where it is another one than the snapshot means."""
    path = f"{directory.path}/{part.name}"
    yield from whole.items_of(found.payload for found in whole.check(files, path, seed_of(directory)))
    if whole.claimed_sum(files, path) != (part.bytes, part.sha):
        raise DamageFound(path, 0, part.first, "it is another one than the snapshot was made with")


def heads_of(files: Files, directory: Directory, names: Iterable[str]) -> tuple[list[Head], list[DamageFound]]:
    """What the snapshots of a directory say of themselves, the newest first; and those that say nothing sensible."""
    heads, problems = [], []
    for name in sorted((name for name in names if segments.snapshot_of(name) is not None), reverse=True):
        try:
            heads.append(_read_head(files, directory, name))
        except DamageFound as problem:
            problems.append(problem)
    return heads, problems


def seed_of(directory: Directory) -> int:
    """What the CRCs of a run's snapshots and parts start from: no epoch's frame fits into one."""
    return frames.seed_of(directory.run_id, frames.MAX_NUMBER)


def _packed_head(directory: Directory, head: Head) -> bytes:
    position = [str(head.position.segment), *head.position[1:]]
    packed: bytes = msgpack.packb([directory.run_id, position, [list(part) for part in head.parts]])
    return packed


def _read_head(files: Files, directory: Directory, name: str) -> Head:
    path = f"{directory.path}/{name}"
    found = whole.first_frame(files, path, seed_of(directory))
    try:
        ((run_id, (segment, *numbers), parts),) = whole.items_of([found.payload])
        position = Position(SegmentName.parse(segment), *numbers)  # type: ignore[arg-type]
        head = Head(name, position, tuple(Part(*part) for part in parts))
        if found.kind != HEAD or run_id != directory.run_id or segments.snapshot_of(name) != position.frames:
            raise ValueError("it is of another run")
    except (ValueError, TypeError) as problem:
        raise DamageFound(path, 0, 0, f"it is no snapshot of this run ({problem})") from problem
    return head


def _put_payloads(maker: Maker, spans: Iterable[Span], fetch: Fetch) -> Iterator[tuple[int, int, int]]:
    """Write payloads, many in a frame; for each frame its first payload's key, its place and its size."""
    gathered: list[list[Any]] = []
    parts: list[bytes] = []
    size = 0

    def put() -> tuple[int, int, int]:
        nonlocal size
        payload = msgpack.packb(gathered) + b"".join(parts)
        record, first, _ = gathered[0]
        gathered.clear()
        parts.clear()
        size = 0
        return record << _PLACE_BITS | first, maker.put(PAYLOADS, payload), len(payload)

    for record, first, lengths, data in _pieces(spans, fetch):
        weight = len(data) + 16 + 5 * len(lengths)
        if gathered and size + weight > _FRAME_BYTES:
            yield put()
        gathered.append([record, first, lengths])
        parts.append(data)
        size += weight
    if gathered:
        yield put()


def _pieces(spans: Iterable[Span], fetch: Fetch) -> Iterator[tuple[int, int, list[int], bytes]]:
    """The payloads of spans, fetched some at a time: all that come at once fit into a frame, as they came out of one."""
    for record, start, count in spans:
        for first in range(start, start + count, _AT_ONCE):
            lengths, data = fetch(record, first, min(_AT_ONCE, start + count - first))
            yield record, first, lengths, data


def _spans_of(payload: bytes) -> tuple[list[tuple[int, int, list[int]]], int]:
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(payload), 1))
    unpacker.feed(payload)
    spans = [(record, first, lengths) for record, first, lengths in unpacker.unpack()]
    return spans, unpacker.tell()
