"""What is swept is gone, however it is made; what can't be removed ends nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from jobtree.master.effects import RemoveBlob, RemoveTemp
from jobtree.master.sweeper import Sweeper


def temp(tree: Path, chain: int) -> Path:
    made = tree / "tmp" / f"{chain & 0xFF:02x}" / f"{chain}-1"
    made.mkdir(parents=True)
    (made / "file").touch()
    return made


def test_a_directory_nested_deeper_than_python_may_recurse_is_removed(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    deep = temp(tmp_path, 1)
    directory = os.open(deep, os.O_RDONLY)
    for level in range(5000):  # by descriptors: the path is longer than a path may be
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
        if level % 1000 == 0:
            os.symlink(tmp_path, "link", dir_fd=directory)
    os.close(directory)
    sweeper = Sweeper(tmp_path)
    sweeper.post(RemoveTemp(1))
    sweeper.close()
    assert not deep.exists()
    assert (tmp_path / "precious").exists()


@pytest.mark.parametrize("error", [RecursionError("too deep"), ValueError("odd"), OSError("full")])
def test_a_removal_that_fails_is_logged_and_the_next_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    second = temp(tmp_path, 2)
    sweeper = Sweeper(tmp_path)

    def fail(request: Any) -> None:
        raise error

    monkeypatch.setattr(sweeper, "_remove_blob", fail)
    sweeper.post(RemoveBlob(1, 1, "r"))
    sweeper.post(RemoveTemp(2))
    sweeper.close()
    assert not second.exists()
    assert [str(error) in record.message for record in caplog.records] == [True]
