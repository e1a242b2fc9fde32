"""Payloads by name: where in the journal the payloads of a record stand, and the recent ones in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from itertools import accumulate

from jobtree.master.journal import frames
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files, close
from jobtree.master.journal.frames import BadFrame, Head, Incomprehensible
from jobtree.master.journal.reader import Frame
from jobtree.master.journal.segments import DamageFound, SegmentName
from jobtree.master.journal.snapshots import KeptPayloads

_OPEN_SEGMENTS = 8


class Payloads:
    """A table of all frames that hold payloads (24 bytes a frame), and a bounded cache of their bytes."""

    def __init__(self, files: Files, directory: Directory, cache_bytes: int = 32 << 20) -> None:
        self._files = files
        self._directory = directory
        self._first_records = array("Q")
        self._offsets = array("Q")
        self._lengths = array("I")
        self._segment_numbers = array("I")
        self._segments: list[SegmentName] = []
        self._cache: OrderedDict[int, _Block] = OrderedDict()  # by the frame's first record
        self._cached = 0
        self._cache_bytes = cache_bytes
        self._open: OrderedDict[SegmentName, int] = OrderedDict()
        self._kept: KeptPayloads | None = None
        self._kept_below = 0  # payloads of records below this number are found in the snapshot only

    def rest_on(self, kept: KeptPayloads, record: int) -> None:
        """From now on take the payloads of records below ``record`` from a snapshot: their segments may go."""
        keep = bisect_left(self._first_records, record)
        for first_record in self._first_records[:keep]:
            block = self._cache.pop(first_record, None)
            self._cached -= block.weight if block else 0
        for column in (self._first_records, self._offsets, self._lengths, self._segment_numbers):
            del column[:keep]
        self._close_segments()
        if self._kept is not None:
            self._kept.close()
        self._kept, self._kept_below = kept, record

    def fetch(self, record: int, first: int = 0, count: int = 1) -> tuple[list[int], bytes]:
        """The lengths of `count` payloads of a record from number `first` on, and their bytes.

        Raises LookupError where the record has none of these, JournalDamaged where they cannot be read.
        """
        if record < self._kept_below and self._kept is not None:
            return self._kept.fetch(record, first, count)
        return self._block_of(record).payloads(record, first, count)

    def index(self, frame: Frame) -> None:
        """Know a frame that recovery has read."""
        if any(head[1] for head in frame.heads):
            self.know(frame.segment, frame.offset, frame.first_record, frame.heads, frame.payload, frame.data_offset)

    def know(
        self,
        segment: SegmentName,
        offset: int,
        first_record: int,
        heads: Sequence[Head],
        payload: bytes,
        data_offset: int,
    ) -> None:
        """Know a frame that holds payloads: its place, the heads of its records, its bytes (see Frame)."""
        if not self._segments or self._segments[-1] != segment:
            self._segments.append(segment)
        self._first_records.append(first_record)
        self._offsets.append(offset)
        self._lengths.append(len(payload))
        self._segment_numbers.append(len(self._segments) - 1)
        self._keep(_Block(first_record, heads, payload, data_offset))

    def forget(self, record: int) -> None:
        """Forget the frames from this record on: they stand elsewhere from now on."""
        keep = bisect_left(self._first_records, record)
        for first_record in self._first_records[keep:]:
            block = self._cache.pop(first_record, None)
            self._cached -= block.weight if block else 0
        for column in (self._first_records, self._offsets, self._lengths, self._segment_numbers):
            del column[keep:]

    def close(self) -> None:
        """Close the files that were opened to read."""
        self._close_segments()
        if self._kept is not None:
            self._kept.close()

    def _close_segments(self) -> None:
        while self._open:
            segment, descriptor = self._open.popitem()
            close(self._files, descriptor, str(segment))

    def _block_of(self, record: int) -> _Block:
        place = bisect_right(self._first_records, record) - 1
        if place < 0:
            raise LookupError(f"record {record} has no payload")
        first_record = self._first_records[place]
        block = self._cache.get(first_record)
        if block is None:
            block = self._read(place, first_record)
            self._keep(block)
        else:
            self._cache.move_to_end(first_record)
        return block

    def _keep(self, block: _Block) -> None:
        self._cache[block.first_record] = block
        self._cached += block.weight
        while self._cached > self._cache_bytes and len(self._cache) > 1:
            self._cached -= self._cache.popitem(last=False)[1].weight

    def _read(self, place: int, first_record: int) -> _Block:
        segment = self._segments[self._segment_numbers[place]]
        path, offset = f"{self._directory.path}/{segment}", self._offsets[place]
        try:
            size = frames.HEADER_BYTES + self._lengths[place]
            frame = self._files.read(self._descriptor(segment, path), size, offset)
            header = frames.parse(frame, 0, frames.seed_of(self._directory.run_id, segment.epoch))
            payload = frame[frames.HEADER_BYTES : frames.HEADER_BYTES + header.length]
            content = frames.decode_records(payload)
        except (BadFrame, Incomprehensible) as problem:
            reason = f"record {first_record}: {problem}"
            raise DamageFound(path, offset, segment.first_sequence, reason) from problem
        except OSError as error:
            reason = f"record {first_record} cannot be read ({error.strerror})"
            raise DamageFound(path, offset, segment.first_sequence, reason) from error
        if content.first_record != first_record:
            raise DamageFound(path, offset, header.sequence, f"record {first_record} does not stand there")
        return _Block(first_record, content.heads, payload, content.data_offset)

    def _descriptor(self, segment: SegmentName, path: str) -> int:
        if segment not in self._open:
            self._open[segment] = self._files.open(path)
            if len(self._open) > _OPEN_SEGMENTS:
                oldest, descriptor = self._open.popitem(last=False)
                close(self._files, descriptor, str(oldest))
        self._open.move_to_end(segment)
        return self._open[segment]


class _Block:
    """The payloads of one frame in memory."""

    __slots__ = ("_bytes", "_edges", "_lengths", "_starts", "first_record", "weight")

    def __init__(self, first_record: int, heads: Sequence[Head], payload: bytes, data_offset: int) -> None:
        self.first_record = first_record
        self._bytes = payload
        self._lengths = [head[1] or () for head in heads]
        sizes = [sum(lengths) for lengths in self._lengths]
        self._starts = list(accumulate(sizes, initial=data_offset))
        self._edges: dict[int, list[int]] = {}  # by record: where its payloads begin, and the end
        self.weight = len(payload) + 128 * len(heads) + 40 * sum(map(len, self._lengths))

    def payloads(self, record: int, first: int, count: int) -> tuple[list[int], bytes]:
        number = record - self.first_record
        if not 0 <= number < len(self._lengths):
            raise LookupError(f"record {record} has no payload")
        lengths = self._lengths[number][first : first + count]
        if len(lengths) != count or first < 0:
            raise LookupError(f"record {record} has {len(self._lengths[number])} payloads")
        edges = self._edges.get(number)
        if edges is None:
            edges = list(accumulate(self._lengths[number], initial=self._starts[number]))
            self._edges[number] = edges
        return list(lengths), self._bytes[edges[first] : edges[first + count]]
