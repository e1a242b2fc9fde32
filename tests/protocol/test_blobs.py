"""A blob is read back as it was written, or not at all."""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path

import pytest

from jobtree.errors import StorageFailed
from jobtree.protocol.blobs import (
    RESULT,
    BlobName,
    blob_path,
    code_path,
    read_blob,
    read_code,
    remove_blob,
    write_blob,
    write_code,
)

DATA = bytes(range(256)) * 1000


def test_the_path_of_a_blob_follows_from_its_attempt_and_n(tmp_path: Path) -> None:
    assert blob_path(tmp_path, 2, 0x1234, 5) == tmp_path / "blobs" / "34" / "2-4660-5"
    assert blob_path(tmp_path, 2, 0x1234, RESULT).name == "2-4660-r"


def test_a_blob_is_read_back_and_is_for_the_user_only(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    name = write_blob(path, DATA)
    assert name == BlobName(len(DATA), sha256(DATA).hexdigest())
    assert read_blob(path, name) == DATA
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_a_blob_has_its_name_only_when_its_bytes_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    named_before_sync: list[bool] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            named_before_sync.append(path.exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_blob(path, DATA)
    assert named_before_sync == [False]


def test_a_blob_written_again_replaces_the_older_one(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    write_blob(path, b"older and longer")
    assert read_blob(path, write_blob(path, b"newer")) == b"newer"


def test_what_is_not_what_was_written_is_refused(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, RESULT)
    name = write_blob(path, DATA)
    path.write_bytes(DATA[:-1])
    with pytest.raises(StorageFailed, match="should have 256,000"):
        read_blob(path, name)
    path.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(StorageFailed, match="SHA-256 has changed"):
        read_blob(path, name)
    path.unlink()
    with pytest.raises(StorageFailed, match="No such file"):
        read_blob(path, name)


def test_a_blob_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    path.mkdir(parents=True)
    (path / "in the way").touch()
    with pytest.raises(StorageFailed, match="cannot write 256,000 bytes"):
        write_blob(path, DATA)
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_what_lies_in_the_place_of_the_temporary_file_is_not_written_to(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    path.parent.mkdir(parents=True)
    (tmp_path / "precious").write_text("mine")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    for lay in (temporary.symlink_to, temporary.hardlink_to):
        lay(tmp_path / "precious")
        name = write_blob(path, DATA)
        assert read_blob(path, name) == DATA
        assert not path.is_symlink()
        assert (tmp_path / "precious").read_text() == "mine"


def test_code_is_written_once_and_found_by_its_sum(tmp_path: Path) -> None:
    sha = sha256(DATA).hexdigest()
    write_code(tmp_path, sha, DATA)
    before = code_path(tmp_path, sha).stat().st_ino
    write_code(tmp_path, sha, DATA)
    assert code_path(tmp_path, sha).stat().st_ino == before
    assert read_code(tmp_path, sha) == DATA
    code_path(tmp_path, sha).write_bytes(b"something else")
    with pytest.raises(StorageFailed, match="SHA-256 has changed"):
        read_code(tmp_path, sha)
    with pytest.raises(StorageFailed, match="No such file"):
        read_code(tmp_path, "0" * 64)


def test_removing_a_blob_twice_is_no_error(tmp_path: Path) -> None:
    path = blob_path(tmp_path, 1, 7, 1)
    write_blob(path, DATA)
    remove_blob(path)
    remove_blob(path)
    assert not path.exists()
