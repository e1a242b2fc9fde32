"""Reading: what survives damage is what was written, or a refusal that names the spot."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from random import Random

import pytest

from jobtree.errors import JournalDamaged, StorageFailed
from jobtree.master.journal import frames
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.master.journal.frames import HEADER_BYTES, Kind, Record
from jobtree.master.journal.reader import Reader, Rewound
from jobtree.master.journal.segments import DamageFound, SegmentName
from jobtree.master.journal.verify import verify
from jobtree.master.journal.writer import Journal
from tests.support.journals import RUN, SOMEBODY, TREE, begin, new_disk, read, records_of, some_records
from tests.support.memory_files import MemoryFiles

SEGMENT = f"{TREE}/journal/seg-00000001-000000000000000.log"


@lru_cache
def a_journal(size: int) -> tuple[bytes, tuple[tuple[int, int], ...], list[Record]]:
    """One segment of about this size: its bytes, the frames in it (end, records until there), its records."""
    files = new_disk()
    journal, _ = begin(files)
    rng = Random(size)
    written: list[Record] = []
    places = [(len(files.contents(SEGMENT)), 0)]
    while places[-1][0] < size:
        batch = some_records(rng, rng.randint(1, 12), len(written))
        journal.append(batch, sync=rng.random() < 0.8)
        written += batch
        places.append((len(files.contents(SEGMENT)), len(written)))
        if rng.random() < 0.1:
            journal.mark()
            places.append((len(files.contents(SEGMENT)), len(written)))
    journal.append([([1, 0], b"")])
    places.append((len(files.contents(SEGMENT)), len(written) + 1))
    journal.close()
    data = files.contents(SEGMENT)
    return data, (*places, (len(data), len(written) + 1)), [*written, ([1, 0], b"")]


def disk_with(data: bytes) -> MemoryFiles:
    """A tree whose only segment has these bytes."""
    files = new_disk()
    Directory.prepare(files, TREE, "test", RUN)
    files.close(files.create(SEGMENT))
    files.damage(SEGMENT, data)
    return files


def check_cut(end: int) -> None:
    data, places, written = a_journal(64 << 10)
    files = disk_with(data[:end])
    whole = max((records for place, records in places if place <= end), default=None)
    if whole is None:
        with pytest.raises(DamageFound):
            read(files)
        return
    assert read(files) == written[:whole]


def test_a_journal_cut_anywhere_is_read_up_to_the_cut() -> None:
    size = len(a_journal(64 << 10)[0])
    for end in [*range(200), *Random(1).sample(range(size), 400), size - 1, size]:
        check_cut(end)


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_a_journal_cut_at_every_byte_is_read_up_to_the_cut() -> None:
    for end in range(len(a_journal(64 << 10)[0]) + 1):
        check_cut(end)


def check_flip(bit: int) -> None:
    """A flipped bit is a refusal at the right spot; in the last frame, which nothing proves, a torn tail."""
    data, places, written = a_journal(16 << 10)
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    files = disk_with(bytes(flipped))
    begins = max((place for place, _ in places if place <= bit // 8), default=0)
    sound = [records for place, records in places if place <= begins]
    if begins < places[-2][0]:
        with pytest.raises(DamageFound) as caught:
            read(files)
        assert caught.value.offset == begins
    else:
        assert read(files) == written[: sound[-1]]
    assert files.contents(SEGMENT) == flipped


def test_a_flipped_bit_is_never_replayed_as_data() -> None:
    size = 8 * len(a_journal(16 << 10)[0])
    for bit in [*range(8 * 96), *Random(2).sample(range(size), 1500), size - 1]:
        check_flip(bit)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_no_flipped_bit_at_all_is_ever_replayed_as_data() -> None:
    for bit in range(8 * len(a_journal(16 << 10)[0])):
        check_flip(bit)


@pytest.mark.parametrize("size", [64, 512, 4096])
def test_a_block_of_zeros_is_never_replayed_as_data(size: int) -> None:
    data, places, written = a_journal(16 << 10)
    for start in range(0, len(data), 64):
        files = disk_with(data[:start] + bytes(min(size, len(data) - start)) + data[start + size :])
        whole = [records for place, records in places if place <= start]
        if start == 0 or start + size <= places[-2][0]:
            with pytest.raises(DamageFound) as caught:
                read(files)
            assert caught.value.offset <= start
        else:
            assert read(files) == written[: whole[-1]]


def pieces() -> tuple[list[bytes], list[Record]]:
    """A journal as a list of its frames."""
    data, _, written = a_journal(16 << 10)
    found, offset = [], 0
    while offset < len(data):
        end = offset + HEADER_BYTES + frames.parse_header(data, offset).length
        found.append(data[offset:end])
        offset = end
    return found, written


def changes() -> Iterator[tuple[str, list[bytes], int]]:
    whole, _ = pieces()
    for at in range(1, len(whole) - 6, 3):
        yield "swapped", [*whole[:at], whole[at + 1], whole[at], *whole[at + 2 :]], at
        yield "doubled", [*whole[: at + 1], *whole[at:]], at + 1
        yield "dropped", [*whole[:at], *whole[at + 1 :]], at


def test_swapped_doubled_and_dropped_frames_are_refused_where_they_begin() -> None:
    for what, changed, at in changes():
        files = disk_with(b"".join(changed))
        with pytest.raises(DamageFound) as caught:
            read(files)
        assert (caught.value.offset, caught.value.sequence) == (len(b"".join(changed[:at])), at), what


def test_a_refusal_has_exit_status_3_and_says_where_and_what_to_do() -> None:
    whole, _ = pieces()
    files = disk_with(b"".join([*whole[:7], bytes(len(whole[7])), *whole[8:]]))
    with pytest.raises(JournalDamaged) as caught:
        read(files)
    assert caught.value.exit_status == 3
    offset = len(b"".join(whole[:7]))
    assert re.search(rf"{SEGMENT}, offset {offset}, frame 7: .*once on disk.*from a copy", str(caught.value))


def test_a_torn_tail_is_kept_for_people_and_never_truncated() -> None:
    data, places, written = a_journal(16 << 10)
    files = disk_with(data[: places[-1][0] - 3])
    journal, found = begin(files)
    journal.append([([1, 0], b"")])
    assert found == written[: places[-2][1]]
    assert files.contents(SEGMENT) == data[: places[-1][0] - 3]
    assert files.contents(f"{SEGMENT}.torn-1") == data[places[-2][0] : places[-1][0] - 3]
    assert read(files) == [*found, ([1, 0], b"")]


def test_a_view_keeps_no_copy_and_changes_nothing() -> None:
    data, places, _ = a_journal(16 << 10)
    files = disk_with(data[: places[-1][0] - 3])
    before = files.names(f"{TREE}/journal")
    read(files)
    assert files.names(f"{TREE}/journal") == before
    assert not files._open


def test_a_bad_spot_in_an_earlier_segment_is_always_damage() -> None:
    files = new_disk()
    for number in range(3):
        journal, _ = begin(files)
        journal.append([([1, 0, number], b"")])
        journal.close()
    names = [name for name in files.names(f"{TREE}/journal") if name.startswith("seg")]
    for name in names[:2]:
        data = files.contents(f"{TREE}/journal/{name}")
        for at in (HEADER_BYTES + 5, len(data) - HEADER_BYTES - 1):
            files.damage(f"{TREE}/journal/{name}", data[:at] + b"\xff" + data[at + 1 :])
            with pytest.raises(DamageFound) as caught:
                read(files)
            assert caught.value.path.endswith(name)
        files.damage(f"{TREE}/journal/{name}", data)
    assert len(read(files)) == 3


def test_a_missing_segment_is_damage() -> None:
    files = new_disk()
    for number in range(3):
        begin(files)[0].append([([1, 0, number], b"")])
    files.unlink(f"{SEGMENT}")
    with pytest.raises(DamageFound, match=r"seg-00000001.*cannot be read \(No such file"):
        read(files)


REFUSALS = [(errno.EIO, JournalDamaged), (errno.ESTALE, JournalDamaged), (errno.EACCES, StorageFailed)]


@pytest.mark.parametrize(("number", "kind"), REFUSALS)
def test_a_disk_that_does_not_read_is_refused(number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    files = disk_with(a_journal(16 << 10)[0])
    directory = Directory.open(files, TREE)

    def refuse(descriptor: int, size: int, offset: int) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files, "read", refuse)
    with pytest.raises(kind, match=os.strerror(number)):
        list(Reader(files, directory))


def sealed(kind: int, payload: bytes, data: bytes, sequence: int, durable: int = 0) -> bytes:
    """A frame that fits behind the last one of these bytes."""
    offset = crc = 0
    while offset < len(data):
        header = frames.parse_header(data, offset)
        offset, crc = offset + HEADER_BYTES + header.length, header.crc
    seed = frames.seed_of(RUN, 1)
    return frames.seal(kind, payload, sequence=sequence, durable=durable, previous=crc, seed=seed)[0]


def one_record() -> bytes:
    files = new_disk()
    begin(files)[0].append([([1, 0, 0], b"")])
    return files.contents(SEGMENT)


def test_a_frame_counts_only_with_the_next_number_and_behind_the_frame_that_it_names() -> None:
    data = one_record()
    payload = frames.encode([([1, 0, 1], b"")], 1, sequence=2, durable=0, previous=0, seed=0)[0].frame[HEADER_BYTES:]
    assert len(read(disk_with(data + sealed(Kind.RECORDS, payload, data, 2)))) == 2
    assert len(read(disk_with(data + sealed(Kind.RECORDS, payload, data, 3)))) == 1
    seed = frames.seed_of(RUN, 1)
    stray, _ = frames.seal(Kind.RECORDS, payload, sequence=2, durable=0, previous=12345, seed=seed)
    assert len(read(disk_with(data + stray))) == 1


def test_an_unknown_kind_is_skipped_unless_it_is_critical() -> None:
    data = one_record()
    data += sealed(0x05, b"whatever", data, 2)
    data += sealed(Kind.MARK, b"", data, 3)
    assert read(disk_with(data)) == [([1, 0, 0], b"")]
    data += sealed(0x85, b"whatever", data, 4)
    with pytest.raises(DamageFound, match="newer jobtree"):
        read(disk_with(data))


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x92\x01\x90x", b"\x92\x02\x90", b"\x92\x01\x91\x92\x01\x05"])
def test_a_sound_frame_that_says_nonsense_is_refused_and_never_torn(payload: bytes) -> None:
    data = one_record()
    with pytest.raises(DamageFound) as caught:
        read(disk_with(data + sealed(Kind.RECORDS, payload, data, 2)))
    assert caught.value.offset == len(data)


def test_a_frame_of_another_run_quoted_in_a_payload_does_not_fit() -> None:
    other = new_disk()
    directory = Directory.prepare(other, TREE, "test", bytes(16))
    assert directory.run_id != RUN
    foreign, _ = begin(other)
    for _ in range(9):
        foreign.append([([1, 0], b"")])
    quoted = other.contents(SEGMENT)
    files = new_disk()
    journal, _ = begin(files)
    journal.append([([1, 0, 0], b"")])
    journal.append([([1, [len(quoted)], 1], quoted)])
    data = files.contents(SEGMENT)
    for end in (len(data), len(data) - 1):
        damaged = bytearray(data[:end])
        damaged[data.index(quoted) - 3] ^= 1
        assert read(disk_with(bytes(damaged))) == [([1, 0, 0], b"")]
    ours = bytearray(data.replace(quoted, one_record().ljust(len(quoted), b"\0")))
    assert read(disk_with(bytes(ours))) == [([1, 0, 0], b"")]


def test_a_journal_of_another_run_is_refused() -> None:
    files = disk_with(a_journal(16 << 10)[0])
    files.damage(f"{TREE}/journal/FORMAT", files.contents(f"{TREE}/journal/FORMAT").replace(b"0001", b"0002"))
    with pytest.raises(DamageFound, match="checksum"):
        read(files)


def test_an_empty_journal_is_the_beginning_of_one() -> None:
    files = new_disk()
    directory = Directory.prepare(files, TREE, "test", RUN)
    reader = Reader(files, directory)
    assert list(reader) == []
    assert reader.tail == (None, (), 0, 0, 0, 0)


def test_the_tail_tells_a_master_where_to_go_on() -> None:
    files = new_disk()
    journal, _ = begin(files)
    journal.append([([1, 0, 0], b""), ([1, 0, 1], b"")])
    end = len(files.contents(SEGMENT))
    journal.append([([1, 0, 2], b"")])
    files.damage(SEGMENT, files.contents(SEGMENT) + b"torn")
    reader = Reader(files, Directory.open(files, TREE))
    assert len(list(reader)) == 2
    tail = reader.tail
    assert tail.proven is not None
    assert tail.proven[:3] == (SegmentName(1, 0), end, 2)
    assert [frame.heads for frame in tail.carried] == [[[1, 0, 2]]]
    assert (tail.next_sequence, tail.next_record) == (3, 3)
    assert (tail.torn_offset, tail.torn_bytes) == (len(files.contents(SEGMENT)) - 4, 4)


def test_numbers_of_frames_are_never_used_twice_over_restarts() -> None:
    files = new_disk()
    seen: list[int] = []
    for epoch in range(1, 6):
        journal, found = begin(files)
        assert len(found) == 2 * (epoch - 1)
        for _ in range(2):
            journal.append([([1, 0], b"")])
            seen.append(journal.next_sequence - 1)
    assert seen == sorted(set(seen))


def test_a_view_follows_a_living_journal(tmp_path: Path) -> None:
    files, tree = Files(), str(tmp_path / "tree")
    journal, _ = begin(files, segment_bytes=5000, tree=tree)
    written = some_records(Random(4), 400)
    reader = Reader(files, Directory.open(files, tree))
    seen: list[Record] = []
    for start in range(0, 400, 5):
        journal.append(written[start : start + 5], sync=start % 20 == 0)
        seen += [record for frame in reader for record in records_of(frame)]
        assert seen == written[: start + 5]
    assert len(reader.chain) > 3
    journal.close()
    assert list(reader) == []


def test_an_unfinished_frame_is_not_yet_there_for_a_view() -> None:
    data, places, written = a_journal(16 << 10)
    files = disk_with(data[: places[0][0]])
    reader = Reader(files, Directory.open(files, TREE))
    seen: list[Record] = []
    rng = Random(6)
    end = places[0][0]
    while end < len(data):
        end = min(end + rng.randrange(700), len(data))
        files.damage(SEGMENT, data[:end])
        seen += [record for frame in reader for record in records_of(frame)]
        assert seen == written[: max(records for place, records in places if place <= end)]
    assert seen == written


def test_a_view_that_saw_an_old_end_while_much_was_written_gives_no_false_alarm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, places, written = a_journal(16 << 10)
    files = disk_with(data[: places[3][0] + 10])
    reader = Reader(files, Directory.open(files, TREE))
    names = files.names

    def meanwhile(path: str) -> list[str]:
        if reader.counts.records:
            files.damage(SEGMENT, data)
        return names(path)

    monkeypatch.setattr(files, "names", meanwhile)
    assert [record for frame in reader for record in records_of(frame)] == written


def test_a_view_is_told_to_start_again_when_what_it_saw_does_not_count() -> None:
    files = new_disk()
    old, _ = begin(files)
    old.append([([1, 0, 0], b"")])
    reader = Reader(files, Directory.open(files, TREE))
    assert len(list(reader)) == 1
    begin(files)
    old.append([([1, 0, "late"], b"")])
    with pytest.raises(Rewound):
        list(reader)


def test_a_view_in_a_segment_that_was_passed_over_is_told_to_start_again() -> None:
    files = new_disk()
    old, _ = begin(files, segment_bytes=300)
    directory = Directory.open(files, TREE)
    successor = Reader(files, directory)
    assert list(successor) == []
    old.append([([1, [300], 0], bytes(300))])
    old.append([([1, 0, 1], b"")])
    view = Reader(files, directory)
    assert len(list(view)) == 2
    assert len(view.chain) == 2
    new = Journal.open(files, directory, directory.claim_epoch(SOMEBODY).epoch, successor.tail)
    with pytest.raises(Rewound):
        list(view)
    new.append([([1, 0, "new"], b"")])
    assert read(files) == [([1, 0, "new"], b"")]
    assert verify(files, directory).unused == (str(view.chain[1]),)
