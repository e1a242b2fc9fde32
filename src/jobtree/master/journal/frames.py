"""The bytes of the journal: records to frames and back, the chain, the watermark; no file is touched here.

A frame is a header of 32 bytes and a payload. The payload of a records frame is one msgpack head,
`[number of the first record, [head, head, ...]]`, and then the data of all records in their order; each
record's head says in its second field how long its payloads are. What makes a frame trustworthy is told in
docs/journal.md: its CRC is seeded by run and epoch, it quotes the CRC of the frame before it, it is numbered
over the tree's whole life, and it says how many frames were known to be synced when it was written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import msgpack

Head: TypeAlias = list[Any]
"""`[code, payload lengths or 0, *fields]` of one record; to the journal only the first two mean anything."""

Record: TypeAlias = tuple[Head, bytes]
"""A head and the payloads that it measures, one after the other (`b""` where it has none)."""

Buffer: TypeAlias = bytes | memoryview

MAGIC = 0x4AF7  # not zero in either byte: a block of zeros is no frame; F7 cannot occur in UTF-8 text
VERSION = 1
CRITICAL = 0x80
HEADER_BYTES = 32
MAX_PAYLOAD_BYTES = 1 << 20
MAX_RECORDS = 4096
MAX_NUMBER = (1 << 63) - 1
TEXT_ERRORS = "surrogateescape"  # paths and arguments may hold bytes that are no UTF-8, and keep them

_SIGNED = struct.Struct("<HBBIQQI")  # all of the header that the CRC covers
_HEADER = struct.Struct("<HBBIQQII")
MAGIC_BYTES = struct.pack("<H", MAGIC)


class BadFrame(ValueError):
    """These bytes are no sound frame (yet): cut short, damaged, or from elsewhere."""


class Incomprehensible(ValueError):
    """A sound frame whose content this version cannot read; it is never skipped and never torn."""


class Kind(IntEnum):
    """What a frame holds; the high bit says that a reader who does not know it must stop."""

    RECORDS = CRITICAL | 1
    SEGMENT = CRITICAL | 2
    MARK = 3


class Header(NamedTuple):
    """The fixed part of a frame."""

    kind: int
    length: int
    sequence: int
    durable: int
    previous_crc: int
    crc: int


class Encoded(NamedTuple):
    """One frame as it will stand on disk; `head_bytes` is where the records' data begins in its payload."""

    frame: bytes
    crc: int
    records: int
    head_bytes: int


class Content(NamedTuple):
    """What a records frame says; `data_offset` is where the records' data begins in its payload."""

    first_record: int
    heads: list[Head]
    data_offset: int


class SegmentHeader(NamedTuple):
    """The first frame of a segment: who writes it, and how much of the segment before it is valid for ever.

    `valid_frames` is the number after the last valid frame of the predecessor. Frames between it and
    `first_sequence` were there, but not proven to be synced: the new segment holds their records again.
    """

    run_id: bytes
    epoch: int
    first_sequence: int
    first_record: int
    predecessor: str | None
    valid_bytes: int
    valid_frames: int
    last_crc: int


def seed_of(run_id: bytes, epoch: int) -> int:
    """Where the CRCs of a run's epoch start, so that a frame from elsewhere never fits."""
    return zlib.crc32(run_id + epoch.to_bytes(8, "little"))


def first_crc(last_crc: int, seed: int) -> int:
    """What the first frame of a segment quotes as the CRC before it."""
    return zlib.crc32(last_crc.to_bytes(4, "little"), seed)


def seal(kind: int, payload: Buffer, *, sequence: int, durable: int, previous: int, seed: int) -> tuple[bytes, int]:
    """Put a header before a payload; return the frame and its CRC."""
    signed = _SIGNED.pack(MAGIC, VERSION, kind, len(payload), sequence, durable, previous)
    crc = zlib.crc32(payload, zlib.crc32(signed, seed))
    return b"".join((signed, crc.to_bytes(4, "little"), payload)), crc


def encode(
    records: Sequence[Record], first_record: int, *, sequence: int, durable: int, previous: int, seed: int
) -> list[Encoded]:
    """The frames of one batch of records, cut at 1 MiB or 4,096 records.

    Raises ValueError for a record that is too large for a frame, or whose data is not as long as its head
    says: both are errors of the caller, found before anything is written.
    """
    frames = []
    for count, head, data in _payloads(records, first_record):
        frame, previous = seal(Kind.RECORDS, head + data, sequence=sequence, durable=durable, previous=previous, seed=seed)
        frames.append(Encoded(frame, previous, count, len(head)))
        sequence += 1
    return frames


def encode_segment(header: SegmentHeader, seed: int) -> tuple[bytes, int]:
    """The first frame of a segment, and its CRC. All before it is synced: its own number is its watermark."""
    return seal(
        Kind.SEGMENT,
        msgpack.packb(list(header)),
        sequence=header.first_sequence,
        durable=header.first_sequence,
        previous=first_crc(header.last_crc, seed),
        seed=seed,
    )


def parse(buffer: Buffer, offset: int, seed: int) -> Header:
    """The header of the frame at an offset, its CRC checked over header and payload; raises BadFrame."""
    header = parse_header(buffer, offset)
    start = offset + HEADER_BYTES
    if start + header.length > len(buffer):
        raise BadFrame(f"it is cut short: {len(buffer) - start:,} of {header.length:,} bytes")
    view = memoryview(buffer)
    signed = zlib.crc32(view[offset : start - 4], seed)
    if zlib.crc32(view[start : start + header.length], signed) != header.crc:
        raise BadFrame("its checksum is wrong")
    return header


def parse_header(buffer: Buffer, offset: int) -> Header:
    """The header at an offset, as far as it can be believed without its payload; raises BadFrame."""
    if offset + HEADER_BYTES > len(buffer):
        raise BadFrame("its header is cut short")
    magic, version, kind, length, sequence, durable, previous, crc = _HEADER.unpack_from(buffer, offset)
    if magic != MAGIC:
        raise BadFrame("no frame begins there")
    if version != VERSION or length > MAX_PAYLOAD_BYTES or durable > sequence:
        raise BadFrame("its header makes no sense")
    return Header(kind, length, sequence, durable, previous, crc)


def decode_records(payload: Buffer) -> Content:
    """What a sound records frame says; raises Incomprehensible, and nothing else, for what is none."""
    unpacker = _unpacker(len(payload))
    try:
        unpacker.feed(payload)
        first_record, heads = unpacker.unpack()
        data_offset = unpacker.tell()
        if type(first_record) is not int or not 0 <= first_record <= MAX_NUMBER or type(heads) is not list:
            raise Incomprehensible("its records are not in the form of this version")
        if data_offset + _data_bytes(heads) != len(payload):
            raise Incomprehensible("its data is not as long as its records say")
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Incomprehensible(f"its records cannot be read: {error}") from error
    return Content(first_record, heads, data_offset)


def decode_segment(payload: Buffer) -> SegmentHeader:
    """What a sound segment frame says; raises Incomprehensible, and nothing else, for what is none."""
    unpacker = _unpacker(len(payload))
    try:
        unpacker.feed(payload)
        header = SegmentHeader._make(unpacker.unpack()[: len(SegmentHeader._fields)])
    except (ValueError, TypeError, OverflowError, msgpack.UnpackException) as error:
        raise Incomprehensible(f"its segment header cannot be read: {error}") from error
    numbers = (header.epoch, *header[2:4], *header[5:])
    if (
        type(header.run_id) is not bytes
        or type(header.predecessor) not in (str, type(None))
        or any(type(number) is not int or not 0 <= number <= MAX_NUMBER for number in numbers)
        or header.last_crc > 0xFFFFFFFF
    ):
        raise Incomprehensible("its segment header is not in the form of this version")
    return header


def search(buffer: Buffer, seed: int, sequence: int) -> int | None:
    """Where in the bytes a sound frame stands that was written when frame `sequence` was known to be synced.

    Such a frame proves that what is bad at `sequence` was once good: corruption, and no torn tail.
    """
    data = bytes(buffer)
    offset = data.find(MAGIC_BYTES)
    while offset >= 0:
        try:
            header = parse_header(data, offset)
            if header.durable > sequence:
                parse(data, offset, seed)
                return offset
        except BadFrame:
            pass  # two bytes that look like a frame's; look on
        offset = data.find(MAGIC_BYTES, offset + 1)
    return None


def _payloads(records: Sequence[Record], first_record: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Cut a batch into frames: most batches are one, and a larger one is halved until all parts fit."""
    parts = [records] if records else []
    while parts:
        part = parts.pop()
        if len(part) <= MAX_RECORDS:
            data = b"".join([data for _, data in part])
            if len(data) < MAX_PAYLOAD_BYTES:
                heads = [head for head, _ in part]
                if not all(sum(head[1] or ()) == len(data) for head, data in part):
                    raise ValueError("a record's data is not as long as its head says")
                head = msgpack.packb([first_record, heads], unicode_errors=TEXT_ERRORS)
                if len(head) + len(data) <= MAX_PAYLOAD_BYTES:
                    yield len(part), head, data
                    first_record += len(part)
                    continue
        if len(part) == 1:
            raise ValueError(f"a record does not fit into a frame of {MAX_PAYLOAD_BYTES:,} bytes")
        middle = len(part) // 2
        parts += [part[middle:], part[:middle]]


def _data_bytes(heads: Sequence[Head]) -> int:
    """How long the data of these records is; raises ValueError where a head is none."""
    total = 0
    for head in heads:
        if type(head) is not list or len(head) < 2 or type(head[0]) is not int:
            raise ValueError("a record's head is none")
        lengths = head[1]
        if type(lengths) is not list and not (type(lengths) is int and lengths == 0):
            raise ValueError("a record's payloads have no lengths")
        for length in lengths if type(lengths) is list else ():
            if type(length) is not int or length < 0:
                raise ValueError("a payload's length is none")
            total += length
    return total


def _unpacker(size: int) -> msgpack.Unpacker:
    """One whose limits are the bytes that it is given: a forged length cannot make it take memory."""
    return msgpack.Unpacker(
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
        max_buffer_size=max(size, 1),
        max_str_len=size,
        max_bin_len=size,
        max_array_len=size,
        max_map_len=size,
        max_ext_len=0,
    )
