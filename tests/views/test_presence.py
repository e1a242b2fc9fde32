"""Whether a master is at work on a tree, by the epoch it has claimed and by who has the lock."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobtree.files import Files
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.holder import Holder
from jobtree.views.presence import master_of

LOCK_AND_WAIT = (
    "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    (tmp_path / "T").mkdir(mode=0o700)
    directory = Directory.prepare(Files(), str(tmp_path / "T"), "test")
    directory.claim_epoch(Holder.ourselves())
    return directory


@pytest.fixture
def locked_by_another(directory: Directory) -> Iterator[None]:
    directory.lock().release()
    command = [sys.executable, "-c", LOCK_AND_WAIT, f"{directory.path}/LOCK"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "\n"
        yield
        other.communicate("")


def test_nobody_is_at_work_on_a_tree_that_nobody_has_locked(directory: Directory) -> None:
    directory.lock().release()
    assert master_of(directory) is None


def test_who_has_the_last_epoch_and_the_lock_is_at_work(directory: Directory) -> None:
    lock = directory.lock()
    found = master_of(directory)
    lock.release()
    assert found == directory.holder()


def test_who_has_taken_over_is_at_work_though_a_master_that_stands_still_has_the_lock(
    directory: Directory, locked_by_another: None
) -> None:
    assert master_of(directory) == directory.holder()
