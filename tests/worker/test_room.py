"""A payload for which there is no room is written when there is."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from jobtree.errors import StorageFailed
from jobtree.worker import room


def failing(number: int, times: int) -> Callable[[], int]:
    """Something that fails so often, and then says how often it was called."""
    calls = 0

    def write() -> int:
        nonlocal calls
        calls += 1
        if calls <= times:
            raise StorageFailed("it cannot be written") from OSError(number, os.strerror(number))
        return calls

    return write


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RETRY_EVERY", 0.001)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_it_is_tried_until_there_is_room_and_said_once(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert room.patiently(failing(number, 5)) == 6
    assert capsys.readouterr().err.count("no room for a payload") == 1


def test_another_failure_is_one_at_once() -> None:
    write = failing(errno.EIO, 1)
    with pytest.raises(StorageFailed):
        room.patiently(write)
    assert write() == 2


def test_there_is_an_end_to_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "PATIENCE", 0.01)
    with pytest.raises(StorageFailed):
        room.patiently(failing(errno.ENOSPC, 10**9))
