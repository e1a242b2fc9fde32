"""The contract of the disk, held against the real one and the one in memory."""

from __future__ import annotations

import errno
from pathlib import Path
from random import Random

import pytest

from jobtree.master.journal.files import Files, write_all
from tests.support.faulty_files import FaultyFiles
from tests.support.memory_files import MemoryFiles


@pytest.fixture(params=["real", "memory", "faulty"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Files, str]:
    """A disk and a directory on it that is empty."""
    if request.param == "real":
        return Files(), str(tmp_path)
    files = MemoryFiles() if request.param == "memory" else FaultyFiles()
    files.make_directory("/home")
    return files, "/home"


def make(files: Files, path: str, data: bytes = b"") -> int:
    descriptor = files.create(path)
    write_all(files, descriptor, data, 0)
    return descriptor


def test_what_is_written_can_be_read_at_any_offset(disk: tuple[Files, str]) -> None:
    files, home = disk
    descriptor = make(files, f"{home}/a", b"0123456789")
    assert files.write(descriptor, memoryview(b"xy"), 4) == 2
    files.sync(descriptor)
    files.sync_data(descriptor)
    assert files.read(descriptor, 100, 2) == b"23xy6789"
    assert files.read(descriptor, 3, 0) == b"012"
    assert files.read(descriptor, 3, 10) == b""
    assert files.size(descriptor) == 10
    files.close(descriptor)


def test_a_disk_that_takes_little_at_a_time_gets_all_in_the_end(disk: tuple[Files, str], monkeypatch: pytest.MonkeyPatch) -> None:
    files, home = disk
    whole = files.write
    monkeypatch.setattr(files, "write", lambda descriptor, data, offset: whole(descriptor, data[:3], offset))
    descriptor = make(files, f"{home}/a", b"0123456789")
    assert files.read(descriptor, 100, 0) == b"0123456789"
    files.close(descriptor)


def test_writing_behind_the_end_leaves_zeros_between(disk: tuple[Files, str]) -> None:
    files, home = disk
    descriptor = files.create(f"{home}/a")
    files.write(descriptor, b"x", 3)
    assert files.read(descriptor, 10, 0) == b"\0\0\0x"
    files.close(descriptor)


def test_a_new_file_is_for_us_alone_and_never_takes_anothers_place(disk: tuple[Files, str]) -> None:
    files, home = disk
    files.close(make(files, f"{home}/a", b"abc"))
    files.make_directory(f"{home}/d")
    with pytest.raises(FileExistsError):
        files.create(f"{home}/a")
    with pytest.raises(FileExistsError):
        files.make_directory(f"{home}/a")
    assert files.status(f"{home}/a") == (3, files.user(), 0o600, 1, False)
    found = files.status(f"{home}/d")
    assert (found.mode, found.is_directory, found.owner) == (0o700, True, files.user())


def test_a_link_is_made_once(disk: tuple[Files, str]) -> None:
    files, home = disk
    files.close(make(files, f"{home}/a", b"first"))
    files.close(make(files, f"{home}/b", b"second"))
    files.link(f"{home}/a", f"{home}/c")
    with pytest.raises(FileExistsError):
        files.link(f"{home}/b", f"{home}/c")
    assert files.status(f"{home}/a").links == 2
    files.unlink(f"{home}/a")
    assert files.status(f"{home}/c").links == 1
    assert files.names(home) == ["b", "c"]


def test_a_rename_takes_the_place_of_what_is_there(disk: tuple[Files, str]) -> None:
    files, home = disk
    files.close(make(files, f"{home}/a", b"first"))
    files.close(make(files, f"{home}/b", b"second"))
    files.rename(f"{home}/a", f"{home}/b")
    files.sync_directory(home)
    descriptor = files.open(f"{home}/b")
    assert files.read(descriptor, 10, 0) == b"first"
    assert files.names(home) == ["b"]
    files.close(descriptor)


def test_a_file_opened_for_reading_cannot_be_written(disk: tuple[Files, str]) -> None:
    files, home = disk
    files.close(make(files, f"{home}/a", b"abc"))
    descriptor = files.open(f"{home}/a")
    with pytest.raises(OSError, match="descriptor") as caught:
        files.write(descriptor, b"x", 0)
    assert caught.value.errno == errno.EBADF
    files.close(descriptor)


def test_what_is_not_there_is_said_so(disk: tuple[Files, str]) -> None:
    files, home = disk
    for action in (files.open, files.status, files.unlink, files.names, files.sync_directory):
        with pytest.raises(FileNotFoundError):
            action(f"{home}/nothing")
    with pytest.raises(FileNotFoundError):
        files.rename(f"{home}/nothing", f"{home}/b")
    files.close(make(files, f"{home}/a"))
    with pytest.raises(NotADirectoryError):
        files.status(f"{home}/a/b")


def test_a_lock_is_held_until_it_is_closed(disk: tuple[Files, str]) -> None:
    files, home = disk
    first, second = files.open_lock(f"{home}/LOCK"), files.open_lock(f"{home}/LOCK")
    files.lock(first)
    with pytest.raises(BlockingIOError):
        files.lock(second)
    other = files.open(f"{home}/LOCK")
    files.close(other)
    with pytest.raises(BlockingIOError):
        files.lock(second)
    files.close(first)
    files.lock(second)
    files.close(second)


def test_a_closed_descriptor_is_of_no_use(disk: tuple[Files, str]) -> None:
    files, home = disk
    descriptor = make(files, f"{home}/a")
    files.close(descriptor)
    with pytest.raises(OSError, match="descriptor"):
        files.sync_data(descriptor)


def test_a_kill_keeps_what_was_written_and_a_power_cut_what_was_synced() -> None:
    rng = Random(1)
    left = set()
    for _ in range(50):
        files = MemoryFiles()
        files.make_directory("/home")
        files.sync_directory("/")
        descriptor = make(files, "/home/a", b"synced")
        files.sync(descriptor)
        files.sync_directory("/home")
        files.write(descriptor, b"new", 6)
        files.close(make(files, "/home/b"))
        assert files.crash(rng, power=False).contents("/home/a") == b"syncednew"
        after = files.crash(rng, power=True)
        assert after.contents("/home/a").startswith(b"synced")
        left.add((after.contents("/home/a"), "b" in after.names("/home")))
    assert {name for _, name in left} == {True, False}
    assert {b"synced", b"syncednew", b"synced\0\0\0"} <= {data for data, _ in left}


def test_what_a_failed_sync_has_lost_no_later_sync_brings_back() -> None:
    files = FaultyFiles()
    files.make_directory("/home")
    files.sync_directory("/")
    descriptor = make(files, "/home/a", b"synced")
    files.sync(descriptor)
    files.sync_directory("/home")
    files.write(descriptor, b"lost", 6)
    files.fail(("sync_data",), 0, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        files.sync_data(descriptor)
    files.sync_data(descriptor)
    assert files.read(descriptor, 20, 0) == b"syncedlost"
    after_kill = files.crash(Random(0), power=False)
    after_kill.sync(after_kill.open("/home/a"))
    left = {after_kill.crash(Random(seed), power=True).contents("/home/a") for seed in range(20)}
    assert left == {b"synced\0\0\0\0"}
