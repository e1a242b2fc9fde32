"""Verify and dump: all that is in a journal, in words, and nothing is changed."""

from __future__ import annotations

import pytest

from jobtree.errors import JournalDamaged
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.verify import Row, dump, verify
from tests.support.journals import TREE, begin, new_disk
from tests.support.memory_files import MemoryFiles

SEGMENT = "seg-00000001-000000000000000.log"


def a_tree() -> tuple[MemoryFiles, Directory]:
    """Two epochs, the first of which was killed in the middle of a frame."""
    files = new_disk()
    first, _ = begin(files)
    first.append([([1, [3], "a"], b"abc"), ([2, 0, "b"], b"")])
    first.mark()
    path = f"{TREE}/journal/{SEGMENT}"
    files.damage(path, files.contents(path) + b"half a frame")
    second, _ = begin(files)
    second.append([([3, 0, "c"], b"")])
    return files, Directory.open(files, TREE)


def test_a_sound_journal_is_called_sound_and_what_was_left_out_is_counted() -> None:
    files, directory = a_tree()
    report = verify(files, directory)
    assert report.damage is None
    assert (report.counts.segments, report.counts.records) == (2, 3)
    lines = list(report.lines())
    assert lines[0].startswith("3 records in 4 frames, 2 segments, ")
    assert lines[1].startswith(f"{SEGMENT}: 44 bytes from offset ")
    assert lines[2:] == ["the journal is sound"]


def test_an_unfinished_end_is_no_damage() -> None:
    files, directory = a_tree()
    path = f"{TREE}/journal/seg-00000002-000000000000003.log"
    size = len(files.contents(path))
    files.damage(path, files.contents(path) + b"more")
    report = verify(files, directory)
    assert (report.torn_segment, report.torn_offset, report.torn_bytes) == (path.rpartition("/")[2], size, 4)
    assert list(report.lines())[-2:] == [
        f"{report.torn_segment}: 4 bytes from offset {size} on are unfinished",
        "the journal is sound",
    ]


def test_damage_is_reported_with_its_place_and_all_before_it_is_counted() -> None:
    files, directory = a_tree()
    path = f"{TREE}/journal/{SEGMENT}"
    data = files.contents(path)
    files.damage(path, data.replace(b"abc", b"abd"))
    report = verify(files, directory)
    assert report.counts.records == 0
    assert f"{path}, offset " in str(report.damage)
    assert list(report.lines())[-1] == str(report.damage)
    with pytest.raises(JournalDamaged):
        list(dump(files, directory))


def test_an_empty_journal_is_sound() -> None:
    files = new_disk()
    report = verify(files, Directory.prepare(files, TREE, "test"))
    assert list(report.lines()) == ["0 records in 0 frames, 0 segments, 0 bytes", "the journal is sound"]


def test_a_dump_shows_every_record_once_in_order() -> None:
    files, directory = a_tree()
    rows = list(dump(files, directory, lambda head: f"{head[0]}: {head[2]}"))
    second = "seg-00000002-000000000000003.log"
    assert [row.text for row in rows] == ["1: a", "2: b", "3: c"]
    assert [(row.segment, row.record, row.sequence) for row in rows] == [
        (SEGMENT, 0, 1),
        (SEGMENT, 1, 1),
        (second, 2, 4),
    ]
    assert rows[0].offset == rows[1].offset > 0
    assert next(iter(dump(files, directory))) == Row(1, rows[0].offset, SEGMENT, 0, "[1, [3], 'a']")
