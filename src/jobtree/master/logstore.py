"""The format of TREE/logs: what targets have printed, in the journal's frames but without its promises.

A segment ``out-EPOCH-NUMBER.log`` begins with a segment frame; then come frames of chunks, numbered from 1, that know nothing of
other segments. Nothing is synced, so any part may be missing after a power cut: who reads looks for the next sound frame and goes
on. A segment that is full gets an index beside it, ``out-EPOCH-NUMBER.idx``, which says for each target in which frames its
output lies; where there is none, reading the whole segment gives the same.
"""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgpack

from .journal import frames
from .journal.frames import BadFrame, Encoded, Incomprehensible, Kind, Record, SegmentHeader

#: The directory in a tree.
DIRECTORY = "logs"

#: A chunk is cut into parts of this many bytes, so that a frame holds one for certain.
MOST_CHUNK_BYTES = 512 * 1024

LOG_STREAM, STDOUT, STDERR = 0, 1, 2

_CHUNK = 1
_SEGMENT = re.compile(r"out-(\d{8})-(\d{6})\.log")
_INDEX_VERSION = 1
_MAGIC = frames.MAGIC.to_bytes(2, "little")


class Chunk(NamedTuple):
    """A piece of what an attempt has printed. ``offset`` counts the bytes of the stream, ``at`` is in unix seconds.

    Stream 0 has the messages of ``Target.log`` as they came, one in each chunk: level, a blank, text, newline.
    """

    target: int
    name: str
    ordinal: int
    epoch: int
    number: int
    stream: int
    offset: int
    at: float
    data: bytes


class OutputName(NamedTuple):
    """A segment by the epoch of its master and a number; a later one compares greater."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"out-{self.epoch:08}-{self.number:06}.log"

    @property
    def index_name(self) -> str:
        """The file name of its index."""
        return f"out-{self.epoch:08}-{self.number:06}.idx"

    @classmethod
    def parse(cls, name: str) -> OutputName | None:
        """The segment that has this file name, or None: the file is something else."""
        match = _SEGMENT.fullmatch(name)
        return cls(int(match[1]), int(match[2])) if match else None


class Found(NamedTuple):
    """What parsing has come to: a sound frame's header, its payload, and where the next frame begins."""

    header: frames.Header
    payload: bytes
    end: int


def opening(run_id: bytes, epoch: int) -> tuple[bytes, int]:
    """The first frame of a segment, and its CRC."""
    header = SegmentHeader(run_id, epoch, 0, 0, None, 0, 0, 0)
    return frames.encode_segment(header, frames.seed_of(run_id, epoch))


def encode(chunks: Sequence[Chunk], sequence: int, previous: int, seed: int) -> list[Encoded]:
    """Frames that hold some chunks."""
    records: list[Record] = [([_CHUNK, [len(chunk.data)], *chunk[:-1]], chunk.data) for chunk in chunks]
    return frames.encode(records, 0, sequence=sequence, durable=0, previous=previous, seed=seed)


def split(chunk: Chunk) -> Iterator[Chunk]:
    """The chunk in parts that fit."""
    if len(chunk.data) <= MOST_CHUNK_BYTES:
        yield chunk
        return
    for start in range(0, len(chunk.data), MOST_CHUNK_BYTES):
        yield chunk._replace(offset=chunk.offset + start, data=chunk.data[start : start + MOST_CHUNK_BYTES])


def parse(buffer: bytes, offset: int, seed: int) -> Found:
    """The frame at an offset; raises BadFrame where there is none, or not all of it."""
    header = frames.parse(buffer, offset, seed)
    start = offset + frames.HEADER_BYTES
    return Found(header, buffer[start : start + header.length], start + header.length)


def search(buffer: bytes, offset: int, seed: int) -> int | None:
    """Where the next sound frame begins, from an offset on."""
    at = buffer.find(_MAGIC, offset)
    while at >= 0:
        try:
            frames.parse(buffer, at, seed)
        except BadFrame:
            at = buffer.find(_MAGIC, at + 1)
        else:
            return at
    return None


def chunks_in(found: Found) -> Iterator[Chunk]:
    """The chunks of a sound frame; none of what another version has written."""
    if found.header.kind != Kind.RECORDS:
        return
    try:
        content = frames.decode_records(found.payload)
    except Incomprehensible:
        return
    place = content.data_offset
    for head in content.heads:
        size = sum(head[1] or ())
        if head[0] == _CHUNK and len(head) == len(Chunk._fields) + 1:
            yield Chunk._make([*head[2:], found.payload[place : place + size]])
        place += size


class Index:
    """In which frames of a segment the output of each target lies: pairs of a target and an offset, in order of writing."""

    def __init__(self, targets: array[int] | None = None, offsets: array[int] | None = None) -> None:
        self._targets = array("Q") if targets is None else targets
        self._offsets = array("Q") if offsets is None else offsets

    def add(self, target: int, offset: int) -> None:
        """Take note of a chunk in the frame at an offset."""
        if not self._targets or self._targets[-1] != target or self._offsets[-1] != offset:
            self._targets.append(target)
            self._offsets.append(offset)

    def frames_of(self, target: int) -> list[int]:
        """The offsets of the frames that hold something of a target, ascending."""
        return sorted({offset for known, offset in zip(self._targets, self._offsets, strict=True) if known == target})

    def written(self, segment_bytes: int) -> bytes:
        """The index as a file; ``segment_bytes`` is how long the segment is that it covers."""
        columns = [zlib.compress(column.tobytes(), 1) for column in (self._targets, self._offsets)]
        body: bytes = msgpack.packb([_INDEX_VERSION, segment_bytes, *columns])
        return zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def read(cls, data: bytes, segment_bytes: int) -> Index | None:
        """The index of a segment of this length, or None where the bytes are none (any more)."""
        if len(data) < 4 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
            return None
        content: list[Any] = msgpack.unpackb(data[4:])
        if content[:2] != [_INDEX_VERSION, segment_bytes]:
            return None
        targets, offsets = array("Q"), array("Q")
        targets.frombytes(zlib.decompress(content[2]))
        offsets.frombytes(zlib.decompress(content[3]))
        return cls(targets, offsets)
