"""Snapshots as files: whole or not there, found by recovery, and doubted where they do not fit."""

from __future__ import annotations

from random import Random

import pytest

from jobtree.errors import JournalDamaged
from jobtree.master.journal import snapshots
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.frames import Record
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.segments import snapshot_name
from jobtree.master.journal.snapshots import Head, KeptPayloads, Snapshot
from jobtree.master.journal.writer import Journal
from tests.support.journals import SOMEBODY, TREE, begin, new_disk, records_of, some_records
from tests.support.memory_files import MemoryFiles

STATE = [["the", "state"], ["is", "this"]]


def snapshot(files: MemoryFiles, spans: list[tuple[int, int, int]] | None = None) -> tuple[Head, int]:
    """A snapshot of all that is sealed, with some payloads (all, if not said)."""
    directory = Directory.open(files, TREE)
    reader = Reader(files, directory, sealed=True)
    payloads = Payloads(files, directory)
    if reader.base is not None:
        payloads.rest_on(reader.base.payloads, reader.base.position.record)
    found = []
    for frame in reader:
        payloads.index(frame)
        found += [(frame.first_record + i, 0, len(head[1])) for i, head in enumerate(frame.heads) if head[1]]
    position = reader.position
    assert position is not None
    head = Head(snapshot_name(position.frames), position, ())
    _, index = snapshots.make(files, directory, head, STATE, [["view"]], found if spans is None else spans, payloads.fetch)
    return head, index


def grown(files: MemoryFiles, count: int = 300) -> tuple[Journal, list[Record]]:
    """A journal of many sealed segments, and its records."""
    journal, _ = begin(files, segment_bytes=4000)
    records = some_records(Random(1), count)
    for start in range(0, count, 7):
        journal.append(records[start : start + 7])
    journal.seal()
    return journal, records


def remove(files: MemoryFiles, start: str, keep: int = 1) -> None:
    """Files of the journal but for the newest of them."""
    names = [name for name in files.names(f"{TREE}/journal") if name.startswith(start)]
    for name in names[: len(names) - keep]:
        files.unlink(f"{TREE}/journal/{name}")


def test_reading_begins_at_the_snapshot_and_needs_no_segment_before_it() -> None:
    files = new_disk()
    journal, records = grown(files)
    snapshot(files)
    more = some_records(Random(2), 20, start=300)
    journal.append(more)
    remove(files, "seg-")
    reader = Reader(files, Directory.open(files, TREE))
    base = reader.base
    assert base is not None
    assert list(base.state()) == STATE
    assert list(base.views()) == [["view"]]
    assert base.position.record == len(records)
    assert [record for frame in reader for record in records_of(frame)] == more
    assert reader.tail.next_record == 320


def test_every_payload_is_found_under_its_old_name() -> None:
    files = new_disk()
    journal, records = grown(files)
    head, index = snapshot(files)
    directory = Directory.open(files, TREE)
    opened = KeptPayloads.open(files, directory, head.name, index)
    read = Snapshot(files, directory, head).payloads
    for number, (record, data) in enumerate(records):
        lengths = record[1] or []
        for first in range(len(lengths)):
            for count in range(1, len(lengths) - first + 1):
                start = sum(lengths[:first])
                expected = (lengths[first : first + count], data[start : start + sum(lengths[first : first + count])])
                assert opened.fetch(number, first, count) == expected
                assert read.fetch(number, first, count) == expected
                assert journal.fetch(number, first, count) == expected
    journal.payloads.rest_on(opened, head.position.record)
    remove(files, "seg-")
    lengths = records[-1][0][1] or []
    number = max(number for number, (record, _) in enumerate(records) if record[1])
    assert journal.fetch(number)[0] == (records[number][0][1] or [])[:1], lengths


def test_a_payload_that_was_not_needed_is_not_there() -> None:
    files = new_disk()
    _, records = grown(files)
    wanted = [number for number, (record, _) in enumerate(records) if record[1]]
    head, index = snapshot(files, [(wanted[3], 0, 1)])
    kept = KeptPayloads.open(files, Directory.open(files, TREE), head.name, index)
    assert kept.fetch(wanted[3], 0, 1)[0] == (records[wanted[3]][0][1] or [])[:1]
    for number in (wanted[2], wanted[4]):
        with pytest.raises(LookupError):
            kept.fetch(number, 0, 1)


def test_a_large_record_is_kept_in_pieces_that_are_found_together() -> None:
    files = new_disk()
    journal, _ = begin(files)
    lengths = [700] * 1300
    data = Random(3).randbytes(sum(lengths))
    journal.append([([1, lengths, 0], data)])
    journal.seal()
    head, index = snapshot(files, [(0, 100, 1100)])
    kept = KeptPayloads.open(files, Directory.open(files, TREE), head.name, index)
    assert kept.fetch(0, 100, 1100) == ([700] * 1100, data[70_000:840_000])
    assert kept.fetch(0, 777, 5)[1] == data[777 * 700 : 782 * 700]


def test_a_damaged_snapshot_is_passed_over_for_the_one_before_it() -> None:
    files = new_disk()
    journal, _ = grown(files)
    first, _ = snapshot(files)
    more = some_records(Random(2), 50, start=300)
    journal.append(more)
    journal.seal()
    second, _ = snapshot(files)
    path = f"{TREE}/journal/{second.name}"
    sound = files.contents(path)
    directory = Directory.open(files, TREE)
    for place in range(0, len(sound), 97):
        for damaged in (bytes([sound[place] ^ 4]).join((sound[:place], sound[place + 1 :])), sound[:place]):
            files.damage(path, damaged)
            reader = Reader(files, directory)
            base = reader.base
            assert base is not None
            assert base.head.name == first.name
            assert path in str(reader.useless[0])
            assert [record for frame in reader for record in records_of(frame)] == more
    files.damage(path, sound)
    assert Reader(files, directory).base is not None


def test_a_snapshot_with_something_behind_its_end_is_damaged() -> None:
    files = new_disk()
    grown(files)
    head, _ = snapshot(files)
    path = f"{TREE}/journal/{head.name}"
    files.damage(path, files.contents(path) + b"\0" * 33)
    with pytest.raises(JournalDamaged):
        Snapshot(files, Directory.open(files, TREE), head)


def test_a_snapshot_that_no_segment_goes_on_from_does_not_count() -> None:
    """It was made by a master that had been superseded: its successor has built on an earlier place."""
    files = new_disk()
    journal, records = grown(files, 30)
    stale = files.crash(Random(0), power=False)
    journal.append(some_records(Random(5), 5, start=30))
    journal.seal()
    snapshot(files)
    name = next(name for name in files.names(f"{TREE}/journal") if name.startswith("snap-"))
    late = files.contents(f"{TREE}/journal/{name}")
    _, found = begin(stale, segment_bytes=4000)
    assert found == records
    stale.close(stale.create(f"{TREE}/journal/{name}"))
    stale.damage(f"{TREE}/journal/{name}", late)
    reader = Reader(stale, Directory.open(stale, TREE))
    assert reader.base is None
    assert [record for frame in reader for record in records_of(frame)] == records


def test_a_tree_whose_segments_are_gone_is_refused_though_there_is_a_snapshot() -> None:
    files = new_disk()
    grown(files)
    snapshot(files)
    remove(files, "seg-", keep=0)
    with pytest.raises(JournalDamaged, match="are gone"):
        list(Reader(files, Directory.open(files, TREE)))


def test_a_missing_segment_behind_the_last_snapshot_is_damage() -> None:
    files = new_disk()
    journal, _ = grown(files)
    snapshot(files)
    journal.append(some_records(Random(2), 10, start=300))
    journal.seal()
    journal.append(some_records(Random(2), 10, start=310))
    names = [name for name in files.names(f"{TREE}/journal") if name.startswith("seg-")]
    files.unlink(f"{TREE}/journal/{names[-2]}")
    with pytest.raises(JournalDamaged, match=names[-2]):
        list(Reader(files, Directory.open(files, TREE)))


def test_a_master_that_starts_on_a_snapshot_goes_on_with_the_numbers() -> None:
    files = new_disk()
    journal, records = grown(files)
    snapshot(files)
    remove(files, "seg-")
    directory = Directory.open(files, TREE)
    journal.close()
    epoch = directory.claim_epoch(SOMEBODY).epoch
    reader = Reader(files, directory)
    assert list(reader) == []
    successor = Journal.open(files, directory, epoch, reader.tail)
    assert successor.next_record == len(records)
    more = some_records(Random(9), 3, start=300)
    successor.append(more)
    assert [record for frame in Reader(files, directory) for record in records_of(frame)] == more
