"""What a paused master leaves for those who only look."""

from __future__ import annotations

import errno

import pytest

from jobtree.errors import StorageFailed
from jobtree.master.notice import NOTICE_BYTES, Notice, read_notice
from tests.support.faulty_files import FaultyFiles


@pytest.fixture
def files() -> FaultyFiles:
    made = FaultyFiles()
    made.make_directory("/tree")
    return made


def test_a_notice_is_read_until_it_is_taken_back(files: FaultyFiles) -> None:
    assert read_notice(files, "/tree", 3) == ""
    notice = Notice(files, "/tree", 3)
    assert read_notice(files, "/tree", 3) == ""
    notice.put("no room")
    assert read_notice(files, "/tree", 3) == "no room"
    notice.put(None)
    assert read_notice(files, "/tree", 3) == ""
    notice.put("no room")
    notice.close()
    assert read_notice(files, "/tree", 3) == ""


def test_what_an_earlier_master_has_left_counts_for_nothing(files: FaultyFiles) -> None:
    Notice(files, "/tree", 3).put("no room")
    assert read_notice(files, "/tree", 4) == ""
    Notice(files, "/tree", 4)
    assert read_notice(files, "/tree", 3) == ""


def test_a_notice_takes_no_room_when_it_is_put_up(files: FaultyFiles) -> None:
    notice = Notice(files, "/tree", 3)
    for reason in ("no room", "x" * 10_000, None):
        notice.put(reason)
        assert files.status("/tree/pause").bytes == NOTICE_BYTES


def test_a_disk_that_refuses_even_this_ends_the_start_and_later_nothing(files: FaultyFiles) -> None:
    files.fail(("create",), 0, errno.ENOSPC)
    with pytest.raises(StorageFailed, match="make room"):
        Notice(files, "/tree", 3)
    notice = Notice(files, "/tree", 3)
    files.fail(("write", "close"), 0, errno.EIO, times=9)
    notice.put("no room")
    notice.close()
    assert files.failed == ["create", "write", "write", "close"]


def test_nonsense_is_no_notice(files: FaultyFiles) -> None:
    Notice(files, "/tree", 3)
    for nonsense in (b"", b"{", b"[]", b'"x"', b'{"epoch": 3}'):
        files.damage("/tree/pause", nonsense)
        assert read_notice(files, "/tree", 3) == ""
