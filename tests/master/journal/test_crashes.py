"""Generated crash states: nothing acknowledged is ever lost, and no crash is ever taken for damage.

Each seed is one tree with several masters in a row; each of them is killed, or loses power, at some operation
of the disk, and its successor must find what was released, in order, and go on.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from jobtree.errors import StorageFailed
from tests.support.faulty_files import WRITING, FaultyFiles
from tests.support.journals import TREE, begin, new_disk
from tests.support.memory_files import MemoryFiles

LIVES = 5


class PowerLost(BaseException):
    """The process is gone in the middle of an operation; nothing in it may catch this."""


class DyingFiles(FaultyFiles):
    """A disk whose user is struck down at one operation, before, in the middle of or after it."""

    def __init__(self, disk: MemoryFiles) -> None:
        super().__init__()
        self._root = disk._root
        self.after = -1  # how many operations are still to be done
        self.half = False

    def _wrapped(self, kind: str, action: Callable[..., Any]) -> Callable[..., Any]:
        faulty = super()._wrapped(kind, action)

        def act(*args: Any) -> Any:
            self.after -= 1
            if self.after == 0 and self.half and kind == "write":
                self._half_done(kind, faulty, args)
            elif self.after == 0 and self.half:
                faulty(*args)
            if self.after <= 0:
                raise PowerLost
            return faulty(*args)

        return act


def live(files: FaultyFiles, rng: Random, released: list[int]) -> None:
    """One master: what it finds must be all that was released, and then it goes on."""
    journal, found = begin(files, segment_bytes=rng.choice((300, 3000, 60_000)))
    numbers = [head[2] for head, _ in found]
    assert numbers == list(range(len(numbers)))
    assert all(data == bytes([head[2] % 256]) * len(data) for head, data in found)
    assert len(numbers) >= len(released), f"{len(released)} were released and {len(numbers)} found"
    released.extend(numbers[len(released) :])
    next_number = len(numbers)
    for _ in range(rng.randrange(12)):
        batch = range(next_number, next_number + rng.randrange(1, 6))
        next_number = batch.stop
        records = [([1, [size], number], bytes([number % 256]) * size)
                   for number in batch for size in [rng.choice((0, 20, 700))]]  # fmt: skip
        # what is released without a sync may be lost with the power, as a dispatch may: it is not counted
        sync = rng.random() < 0.7
        journal.append(records, list(batch) if sync else [], sync=sync)
        while journal.paused:
            journal.retry()
        for number in journal.released():
            released.extend(range(len(released), number + 1))
        if rng.random() < 0.2:
            journal.mark()
    if rng.random() < 0.3:
        journal.close()


def run_crashes(seed: int) -> None:
    rng = Random(seed)
    disk: MemoryFiles = new_disk()
    released: list[int] = []
    for _ in range(LIVES):
        files = DyingFiles(disk)
        files.after, files.half = rng.randrange(1, rng.choice((20, 60, 200))), rng.random() < 0.5
        if rng.random() < 0.3:
            kinds = rng.choice((WRITING, ("sync", "sync_data"), ("write", "create")))
            files.fail(kinds, rng.randrange(30), rng.choice((errno.EIO, errno.ENOSPC)), times=rng.randrange(1, 3))
        try:
            live(files, rng, released)
        except (PowerLost, StorageFailed):
            pass  # the life is over; what counts is what the next one finds
        disk = files.crash(rng, power=rng.random() < 0.6)
    calm = DyingFiles(disk)
    calm.after = 1 << 60
    live(calm, Random(0), released)


@pytest.mark.parametrize("part", range(4))
def test_generated_crashes_lose_nothing_and_raise_no_false_alarm(part: int) -> None:
    for seed in range(part * 150, part * 150 + 150):
        run_crashes(seed)


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_100_000_generated_crashes_lose_nothing_and_raise_no_false_alarm() -> None:
    for seed in range(1000, 21_000):
        run_crashes(seed)


def test_without_its_syncs_a_journal_does_lose_what_it_released() -> None:
    """A control: if this disk could not lose anything, the tests above would prove nothing."""
    lost = 0
    for seed in range(40):
        files = FaultyFiles()
        new_disk(files)
        journal, _ = begin(files)
        for kind in ("sync", "sync_data"):
            setattr(files, kind, _nothing)
        journal.append([([1, 0, 0], b"")], ["released"])
        assert journal.released() == ["released"]
        after = files.crash(Random(seed), power=True)
        lost += begin(after)[1] == []
    assert lost > 5


def test_without_the_sync_of_a_directory_a_whole_segment_is_lost() -> None:
    lost = 0
    for seed in range(20):
        files = FaultyFiles()
        new_disk(files)
        begin(files)[0].close()
        setattr(files, "sync_directory", _nothing)  # noqa: B010
        journal, _ = begin(files)
        journal.append([([1, 0, 0], b"")], ["released"])
        after = files.crash(Random(seed), power=True)
        after.sync_directory(f"{TREE}/journal")
        lost += begin(after)[1] == []
    assert lost > 3


def _nothing(what: object) -> None:
    """A sync that says that all is well."""
