"""Frames: what goes in comes out, and nothing else ever does."""

from __future__ import annotations

import os
import struct
from random import Random
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobtree.master.journal import frames
from jobtree.master.journal.frames import (
    HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RECORDS,
    BadFrame,
    Head,
    Incomprehensible,
    Kind,
    Record,
    SegmentHeader,
)

SEED = frames.seed_of(bytes(16), 3)
HEADER = SegmentHeader(bytes(16), 3, 17, 400, "seg-00000002-000000000000004.log", 900, 16, 0xFFFFFFFF)

numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=9) | st.binary(max_size=9)
fields = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record: a code, payloads or none, any fields."""
    payloads = draw(st.lists(st.binary(max_size=40), max_size=4))
    head = [
        draw(st.integers(0, 255)),
        [len(payload) for payload in payloads] or 0,
        *draw(st.lists(fields, max_size=4)),
    ]
    return head, b"".join(payloads)


def encoded(batch: list[Record], first: int = 0, sequence: int = 5) -> list[frames.Encoded]:
    return frames.encode(batch, first, sequence=sequence, durable=4, previous=77, seed=SEED)


def decoded(batch: list[frames.Encoded], first: int = 0, sequence: int = 5) -> list[Record]:
    """The records of frames that must follow each other in numbers and chain."""
    found: list[Record] = []
    previous = 77
    for number, part in enumerate(batch):
        header = frames.parse(part.frame, 0, SEED)
        assert header[:5] == (Kind.RECORDS, len(part.frame) - HEADER_BYTES, sequence + number, 4, previous)
        content = frames.decode_records(part.frame[HEADER_BYTES:])
        assert (content.first_record, len(content.heads)) == (first + len(found), part.records)
        assert content.data_offset == part.head_bytes
        at = HEADER_BYTES + content.data_offset
        for head in content.heads:
            size = sum(head[1] or ())
            found.append((head, part.frame[at : at + size]))
            at += size
        previous = part.crc
    return found


@given(st.lists(records(), max_size=12), st.integers(0, 2**40))
@settings(max_examples=150, deadline=None)
def test_every_batch_comes_back_as_it_was_put_in(batch: list[Record], first: int) -> None:
    assert decoded(encoded(batch, first), first) == batch


def test_a_batch_is_cut_at_4096_records_and_at_1_mib() -> None:
    many: list[Record] = [([1, 0, number], b"") for number in range(2 * MAX_RECORDS + 1)]
    cut = encoded(many)
    assert len(cut) > 2
    assert all(part.records <= MAX_RECORDS for part in cut)
    assert decoded(cut) == many
    large: list[Record] = [([1, [60_000], number], bytes(60_000)) for number in range(50)]
    cut = encoded(large)
    assert all(len(part.frame) <= MAX_PAYLOAD_BYTES + HEADER_BYTES for part in cut)
    assert decoded(cut) == large


def test_wide_heads_are_cut_as_well_as_long_data() -> None:
    wide: list[Record] = [([1, 0, "x" * 3000], b"") for _ in range(1000)]
    cut = encoded(wide)
    assert all(len(part.frame) <= MAX_PAYLOAD_BYTES + HEADER_BYTES for part in cut)
    assert decoded(cut) == wide


def test_no_records_make_no_frame() -> None:
    assert encoded([]) == []


def test_a_record_that_fits_into_no_frame_is_refused_before_anything_is_made() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        encoded([([1, 0], b""), ([1, [MAX_PAYLOAD_BYTES]], bytes(MAX_PAYLOAD_BYTES))])
    with pytest.raises(ValueError, match="does not fit"):
        encoded([([1, 0, "x" * MAX_PAYLOAD_BYTES], b"")])


@pytest.mark.parametrize("record", [([1, 0], b"x"), ([1, [2]], b"x"), ([1, [1, 1]], b"x")])
def test_data_that_is_not_as_long_as_its_head_says_is_refused(record: Record) -> None:
    with pytest.raises(ValueError, match="not as long"):
        encoded([record])


def test_a_segment_header_comes_back_as_it_was_put_in() -> None:
    for header in (HEADER, HEADER._replace(predecessor=None, valid_bytes=0, last_crc=0)):
        frame, crc = frames.encode_segment(header, SEED)
        found = frames.parse(frame, 0, SEED)
        assert (found.sequence, found.durable, found.kind, found.crc) == (17, 17, Kind.SEGMENT, crc)
        assert found.previous_crc == frames.first_crc(header.last_crc, SEED)
        assert frames.decode_segment(frame[HEADER_BYTES:]) == header


def test_a_header_is_32_bytes_in_the_documented_order() -> None:
    frame, crc = frames.seal(Kind.MARK, b"", sequence=0x0102, durable=0x01, previous=0x11223344, seed=SEED)
    assert frame.hex() == "f74a0103000000000201000000000000010000000000000044332211" + crc.to_bytes(
        4, "little"
    ).hex()  # fmt: skip


def test_a_frame_fits_only_into_its_own_run_and_epoch() -> None:
    (part,) = encoded([([1, 0], b"")])
    for other in (frames.seed_of(bytes(16), 4), frames.seed_of(bytes([1]) * 16, 3)):
        with pytest.raises(BadFrame, match="checksum"):
            frames.parse(part.frame, 0, other)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 64, 4096])
def test_zeros_are_no_frame(size: int) -> None:
    with pytest.raises(BadFrame):
        frames.parse(bytes(size), 0, 0)


def test_every_bit_of_a_frame_counts() -> None:
    (part,) = encoded([([1, [5], "abc"], b"12345")])
    for bit in range(8 * len(part.frame)):
        flipped = bytearray(part.frame)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            frames.parse(bytes(flipped), 0, SEED)


def test_a_frame_cut_anywhere_is_no_frame() -> None:
    (part,) = encoded([([1, [5], "abc"], b"12345")])
    for end in range(len(part.frame)):
        with pytest.raises(BadFrame, match="cut short"):
            frames.parse(part.frame[:end], 0, SEED)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_hostile_bytes_are_refused_and_nothing_else(data: bytes) -> None:
    for decode in (frames.decode_records, frames.decode_segment):
        with pytest.raises(Incomprehensible):
            decode(data)
    with pytest.raises(BadFrame):
        frames.parse(data, 0, SEED)


@given(fields)
@settings(max_examples=200, deadline=None)
def test_values_of_another_form_are_refused_and_nothing_else(value: Any) -> None:
    for payload in (msgpack.packb(value), msgpack.packb([0, value]), msgpack.packb([0, [value]])):
        for decode in (frames.decode_records, frames.decode_segment):
            try:
                found = decode(payload)
            except Incomprehensible:
                continue
            assert isinstance(found, frames.Content)
            assert all(type(head[0]) is int and not sum(head[1] or ()) for head in found.heads)


@pytest.mark.parametrize(
    "payload",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 5000,
        b"\x92\x00\x91\x92\x01\x91" + struct.pack(">Bq", 0xD3, -1),
        b"\x92\x00\x91\x92\x01\x91\xc3x",
        b"\x92\x00\x91\x92\x01\x91\xcb" + struct.pack(">d", 1.0) + b"x",
        b"\x92\x00\x91\x92\x01\xc2",
        b"\x92\x00\x91\x92\x01\xd6\xff\x00\x00\x00\x00",
        b"\x92\x00\x91\x93\x01\x00\x81\x90\x00",
        b"\x92\xff\x90",
        b"\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x90",
    ],
)
def test_forged_lengths_and_types_are_refused(payload: bytes) -> None:
    for decode in (frames.decode_records, frames.decode_segment):
        with pytest.raises(Incomprehensible):
            decode(payload)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_id", "x"),
        ("epoch", -1),
        ("epoch", True),
        ("first_record", 1.0),
        ("predecessor", 7),
        ("last_crc", 1 << 32),
    ],
)
def test_a_segment_header_with_a_field_of_another_type_is_refused(field: str, value: Any) -> None:
    with pytest.raises(Incomprehensible):
        frames.decode_segment(msgpack.packb(list(HEADER._replace(**{field: value}))))


def test_a_later_version_may_add_fields_to_a_segment_header() -> None:
    assert frames.decode_segment(msgpack.packb([*HEADER, "new"])) == HEADER


def test_search_finds_only_a_frame_that_proves_an_earlier_one() -> None:
    rng = Random(0)
    heads: Head = [1, 0]
    proof, _ = frames.seal(Kind.MARK, b"", sequence=9, durable=9, previous=1, seed=SEED)
    noise = frames.MAGIC_BYTES + rng.randbytes(1000) + frames.MAGIC_BYTES * 20
    assert frames.search(noise + proof + noise, SEED, 8) == len(noise)
    assert frames.search(noise + proof + noise, SEED, 9) is None
    assert frames.search(noise + proof[:-1], SEED, 8) is None
    assert frames.search(noise + proof, SEED + 1, 8) is None
    (unproving,) = frames.encode([(heads, b"")], 0, sequence=9, durable=8, previous=0, seed=SEED)
    assert frames.search(unproving.frame, SEED, 8) is None


def test_bytes_that_are_no_text_pass_through_texts_unchanged() -> None:
    """A variable, an argument or a path may be any bytes; Python has them as lone surrogates."""
    strange = os.fsdecode(b"a\xff\xfe")
    batch: list[Record] = [([1, 0, strange, {strange: [strange]}], b"")]
    assert decoded(encoded(batch)) == batch
