"""Who claims an epoch where there is no room leaves nothing behind, so that he may try as often as he likes."""

from __future__ import annotations

import errno

import pytest

from jobtree.errors import JobtreeError
from jobtree.master.journal.directory import Directory
from tests.support.faulty_files import FaultyFiles
from tests.support.journals import RUN, SOMEBODY, TREE, new_disk


def test_a_claim_without_room_leaves_nothing_behind() -> None:
    files = FaultyFiles()
    new_disk(files)
    directory = Directory.prepare(files, TREE, "test", RUN)
    before = files.names(directory.path)
    files.fail(("write",), 0, errno.ENOSPC)
    with pytest.raises(JobtreeError):
        directory.claim_epoch(SOMEBODY)
    assert files.names(directory.path) == before
