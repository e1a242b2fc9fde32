"""Writing: durable before released, paused when there is no room, dead after a failed sync."""

from __future__ import annotations

import errno
from random import Random

import pytest

from jobtree.errors import JournalDamaged, StorageFailed, TreeLocked
from jobtree.master.journal import frames
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.frames import Record
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Reader
from tests.support.faulty_files import WRITING, FaultyFiles
from tests.support.journals import RUN, SOMEBODY, TREE, begin, new_disk, read, some_records
from tests.support.memory_files import MemoryFiles


def record(number: int, *payloads: bytes) -> Record:
    return [1, [len(payload) for payload in payloads] or 0, number], b"".join(payloads)


def faulty() -> FaultyFiles:
    files = FaultyFiles()
    new_disk(files)
    return files


def after_power_cut(files: MemoryFiles, seed: int = 0) -> list[Record]:
    """What a new master finds after a power cut; it must be able to begin."""
    _, found = begin(files.crash(Random(seed), power=True))
    return found


def test_effects_are_released_when_their_records_are_synced_and_only_once() -> None:
    files = faulty()
    journal, found = begin(files)
    assert found == []
    journal.append([record(0), record(1, b"abc")], ["a", "b"])
    pending = [journal.pending]
    assert journal.released() == ["a", "b"]
    assert journal.released() == []
    assert [*pending, journal.pending] == [True, False]
    assert (journal.next_record, journal.durable) == (2, journal.next_sequence)
    assert after_power_cut(files) == [record(0), record(1, b"abc")]


def test_without_sync_effects_are_released_when_their_records_are_written() -> None:
    files = faulty()
    journal, _ = begin(files)
    files.fail(("sync", "sync_data"), 0, errno.EIO)
    journal.append([record(0)], ["go"], sync=False)
    assert journal.released() == ["go"]
    assert journal.durable < journal.next_sequence
    assert read(files) == [record(0)]
    assert files.failed == []


def test_a_sync_covers_all_that_was_written_before_it() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0)], sync=False)
    journal.append([record(1)])
    assert after_power_cut(files) == [record(0), record(1)]


def test_effects_without_records_leave_at_once_and_in_order() -> None:
    files = faulty()
    journal, _ = begin(files)
    files.fail(WRITING, 0, errno.EIO)
    journal.append([], ["a"])
    journal.append([], ["b"], sync=False)
    assert journal.released() == ["a", "b"]
    assert files.failed == []


def test_what_is_written_without_sync_does_not_pile_up() -> None:
    files = faulty()
    journal, _ = begin(files)
    for number in range(5):
        journal.append([record(number, bytes(1_000_000))], sync=False)
    assert journal.durable == journal.next_sequence


def test_a_large_batch_is_synced_every_4_mib() -> None:
    files = faulty()
    journal, _ = begin(files)
    files.fail(("sync_data",), 99, errno.EIO)
    journal.append([record(number, bytes(200_000)) for number in range(45)], ["done"])
    assert files.count == 3
    assert journal.released() == ["done"]
    assert len(read(files)) == 45


def test_a_record_that_fits_into_no_frame_is_refused_and_nothing_is_taken() -> None:
    files = faulty()
    journal, _ = begin(files)
    with pytest.raises(ValueError, match="does not fit"):
        journal.append([record(0), record(1, bytes(frames.MAX_PAYLOAD_BYTES))], ["never"])
    journal.append([record(2)], ["then"])
    assert (journal.next_record, journal.released()) == (1, ["then"])
    assert read(files) == [record(2)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_pause_and_everything_goes_on_in_order(number: int) -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0)], ["a"], sync=False)
    files.fail(("write",), 0, number, times=1000)
    journal.append([record(1, b"x" * 5000), record(2)], ["b"])
    assert "no room" in str(journal.paused)
    assert journal.released() == ["a"]
    journal.append([record(3)], ["c"])
    journal.append([], ["d"])
    journal.mark()
    assert (journal.next_record, journal.released(), journal.pending) == (4, [], True)
    assert not journal.retry()
    files.recover()
    assert journal.retry()
    assert (journal.paused, journal.released(), journal.pending) == (None, ["b", "c", "d"], False)
    journal.append([record(4)], ["e"])
    expected = [record(0), record(1, b"x" * 5000), record(2), record(3), record(4)]
    assert read(files) == expected
    assert journal.fetch(1) == ([5000], b"x" * 5000)
    for seed in range(20):
        assert after_power_cut(files, seed) == expected


def test_a_batch_that_was_written_half_is_not_written_twice() -> None:
    files = faulty()
    journal, _ = begin(files)
    files.fail(("write",), 1, errno.ENOSPC)
    batch = [record(number, bytes(200_000)) for number in range(45)]
    journal.append(batch, ["done"])
    assert journal.paused
    assert journal.released() == []
    assert journal.retry()
    assert journal.released() == ["done"]
    assert read(files) == batch


def test_no_room_for_a_new_segment_is_a_pause_too() -> None:
    for kind in ("create", "write", "rename"):
        files = faulty()
        journal, _ = begin(files, segment_bytes=1000)
        if kind == "write":
            files.fail(("write",), 1, errno.ENOSPC, times=3)
        else:
            files.fail((kind,), 0, errno.ENOSPC, times=3)
        journal.append([record(0, bytes(2000))], ["a"])
        assert journal.released() == ["a"]
        assert journal.paused
        journal.append([record(1)], ["b"])
        while not journal.retry():
            assert journal.released() == []
        assert journal.released() == ["b"]
        assert files.failed == [kind] * 3
        assert read(files) == after_power_cut(files) == [record(0, bytes(2000)), record(1)]
        assert not [name for name in files.names(f"{TREE}/journal") if "tmp" in name]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_after_a_failed_sync_nothing_is_released_and_nothing_is_tried_again(number: int) -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0)], ["a"])
    files.fail(("sync_data",), 0, number)
    with pytest.raises(StorageFailed, match="could not be synced") as caught:
        journal.append([record(1)], ["b"])
    assert caught.value.exit_status == 4
    files.fail(WRITING, 0, errno.EIO)
    for action in (journal.retry, journal.mark, lambda: journal.append([record(2)])):
        with pytest.raises(StorageFailed):
            action()
    journal.close()
    assert journal.released() == ["a"]
    assert files.failed == ["sync_data"]


def test_what_a_failed_sync_has_lost_is_written_anew_by_the_successor() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0, b"abc")])
    journal.append([record(1, b"def")], ["released"], sync=False)
    files.fail(("sync_data",), 0, errno.EIO)
    with pytest.raises(StorageFailed):
        journal.append([record(2, b"ghi")])
    files.recover()
    killed = files.crash(Random(0), power=False)
    journal, found = begin(killed)
    assert found == [record(0, b"abc"), record(1, b"def"), record(2, b"ghi")]
    journal.append([record(3)])
    assert journal.fetch(2) == ([3], b"ghi")
    for seed in range(20):
        assert after_power_cut(killed, seed) == [*found, record(3)]


@pytest.mark.parametrize("kind", ["write", "create", "sync", "rename", "sync_directory", "close"])
def test_any_other_failure_stops_the_journal(kind: str) -> None:
    files = faulty()
    journal, _ = begin(files, segment_bytes=100)
    files.fail((kind,), 0, errno.EIO)
    with pytest.raises(StorageFailed):
        journal.append([record(0, bytes(200))], ["a"])
    with pytest.raises(StorageFailed):
        journal.append([record(1)], ["b"])
    assert "b" not in journal.released()
    assert after_power_cut(files) in ([], [record(0, bytes(200))])


def test_whichever_operation_fails_nothing_that_was_released_is_lost() -> None:
    for number in (errno.EIO, errno.ENOSPC):
        at = 0
        files = faulty()
        while at == 0 or files.failed:
            files = faulty()
            files.fail(WRITING, at, number)
            released = run_a_little(files)
            files.recover()
            for power in (False, True):
                _, found = begin(files.crash(Random(at), power=power))
                assert found == [record(item, bytes(90)) for item in range(len(found))]
                assert len(found) >= released
            at += 1
        assert released == 12
        assert at > 40


def run_a_little(files: FaultyFiles) -> int:
    """A master's life of 12 records; how many of them were released when it ended."""
    released: list[object] = []
    try:
        for _ in range(3):
            journal, found = begin(files, segment_bytes=300)
            for item in range(len(found), len(found) + 4):
                journal.append([record(item, bytes(90))], [item])
                while journal.paused:
                    journal.retry()
                released += journal.released()
            journal.mark()
            journal.close()
    except StorageFailed:
        pass  # the disk has failed, as was wanted
    assert released == list(range(len(released)))
    return len(released)


def test_segments_grow_no_further_than_they_should() -> None:
    files = faulty()
    journal, _ = begin(files, segment_bytes=10_000)
    written = some_records(Random(3), 2000)
    for start in range(0, 2000, 10):
        journal.append(written[start : start + 10], sync=start % 30 == 0)
    journal.close()
    sizes = [files.status(f"{TREE}/journal/{name}").bytes for name in files.names(f"{TREE}/journal") if "seg" in name]
    assert len(sizes) > 10
    assert max(sizes) < 20_000
    assert read(files) == written
    assert begin(files.crash(Random(0), power=True))[1] == written


def test_a_master_that_was_superseded_stops_at_the_next_segment() -> None:
    files = faulty()
    journal, _ = begin(files, segment_bytes=1000)
    journal.append([record(0)], ["a"])
    Directory.open(files, TREE).claim_epoch(SOMEBODY._replace(host="node2"))
    with pytest.raises(TreeLocked, match="node2"):
        journal.append([record(1, bytes(2000))], ["b"])
    with pytest.raises(TreeLocked):
        journal.append([record(2)], ["c"])


def test_what_a_superseded_master_still_writes_counts_for_nothing() -> None:
    files = faulty()
    old, _ = begin(files)
    old.append([record(0)])
    old.append([record(1)])
    new, found = begin(files)
    assert found == [record(0), record(1)]
    old.append([record(2, b"old")])
    new.append([record(2, b"new")])
    old.append([record(3)])
    assert read(files) == [record(0), record(1), record(2, b"new")]
    assert begin(files.crash(Random(0), power=True))[1] == read(files)


def test_a_mark_puts_the_last_records_below_a_watermark() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0)], sync=False)
    journal.mark()
    assert journal.durable == journal.next_sequence
    before = journal.next_sequence
    journal.mark()
    assert journal.next_sequence == before
    name = f"{TREE}/journal/seg-00000001-000000000000000.log"
    data = files.contents(name)
    files.damage(name, data[: -frames.HEADER_BYTES - 1] + b"\xff" + data[-frames.HEADER_BYTES :])
    with pytest.raises(JournalDamaged):
        read(files)


def test_an_idle_journal_needs_no_mark() -> None:
    files = faulty()
    journal, _ = begin(files)
    files.fail(WRITING, 0, errno.EIO)
    journal.mark()
    assert files.failed == []


def test_payloads_come_back_from_the_cache_and_from_the_disk() -> None:
    for cache_bytes in (1, 32 << 20):
        files = faulty()
        journal, _ = begin(files, segment_bytes=20_000)
        journal.payloads._cache_bytes = cache_bytes
        written = some_records(Random(5), 600)
        for start in range(0, 600, 20):
            journal.append(written[start : start + 20])
        check_payloads(journal.payloads, written)
        journal.close()
        again, _ = begin(files.crash(Random(0), power=True))
        again.payloads._cache_bytes = cache_bytes
        check_payloads(again.payloads, written)
        again.close()


def check_payloads(payloads: Payloads, written: list[Record]) -> None:
    for number in Random(9).sample(range(len(written)), 200):
        (_, lengths, *_), data = written[number]
        for first in range(len(lengths or ())):
            at = sum(lengths[:first])
            assert payloads.fetch(number, first) == ([lengths[first]], data[at : at + lengths[first]])
            assert payloads.fetch(number, first, len(lengths) - first) == (lengths[first:], data[at:])
        with pytest.raises(LookupError):
            payloads.fetch(number, len(lengths or ()), 1)
    with pytest.raises(LookupError):
        payloads.fetch(len(written) + 5)


def test_payloads_are_read_on_from_the_segment_that_carries_them_after_a_restart() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0, b"first")])
    for number in range(1, 4):
        journal.append([record(number, b"last%d" % number)], sync=False)
    again, _ = begin(files)
    again.payloads._cache.clear()
    files.damage(f"{TREE}/journal/seg-00000001-000000000000000.log", b"")
    for number in range(1, 4):
        assert again.fetch(number) == ([5], b"last%d" % number)
    with pytest.raises(JournalDamaged, match="record 0"):
        again.fetch(0)


def test_a_payload_that_was_damaged_on_disk_is_never_handed_out() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0, b"payload")])
    journal.payloads._cache.clear()
    name = f"{TREE}/journal/seg-00000001-000000000000000.log"
    files.damage(name, files.contents(name).replace(b"payload", b"qayload"))
    with pytest.raises(JournalDamaged, match="checksum"):
        journal.fetch(0)


def test_the_cache_of_payloads_is_bounded() -> None:
    files = faulty()
    directory = Directory.prepare(files, TREE, "test", RUN)
    journal, _ = begin(files)
    for number in range(50):
        journal.append([record(number, bytes(10_000))])
    payloads = Payloads(files, directory, cache_bytes=100_000)
    for frame in Reader(files, directory):
        payloads.index(frame)
    for number in range(50):
        assert payloads.fetch(number) == ([10_000], bytes(10_000))
        assert payloads._cached <= 100_000
    assert payloads._cached == sum(block.weight for block in payloads._cache.values())


def test_no_room_at_the_start_is_an_error_that_says_so() -> None:
    files = faulty()
    begin(files)
    files.fail(("write",), 1, errno.ENOSPC)
    with pytest.raises(StorageFailed, match="make room"):
        begin(files)


def test_a_closed_journal_refuses_and_can_be_closed_again() -> None:
    files = faulty()
    journal, _ = begin(files)
    journal.append([record(0)])
    journal.close()
    journal.close()
    with pytest.raises(StorageFailed, match="closed"):
        journal.append([record(1)])
    assert not files._open
