"""The worker's private directory."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobtree.errors import StorageFailed
from jobtree.ids import Attempt
from jobtree.worker.scratch import Scratch, local_path, make_global, make_local, remove

ATTEMPT = Attempt(1, 7)


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return Scratch(tmp_path)


def test_it_is_private_and_gone_when_closed(scratch: Scratch, tmp_path: Path) -> None:
    assert os.stat(scratch.path).st_mode & 0o777 == 0o700
    scratch.store(b"x", "tasks/1-1")
    scratch.close()
    assert os.listdir(tmp_path) == []


def test_a_local_dir_is_made_empty_and_private_whatever_the_umask(scratch: Scratch) -> None:
    before = os.umask(0)
    try:
        path = make_local(scratch.path, ATTEMPT)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o700
    assert list(path.iterdir()) == []
    assert str(path) == local_path(scratch.path, ATTEMPT)


def test_a_global_dir_may_be_there_already(tmp_path: Path) -> None:
    path = make_global(str(tmp_path), "0a/10-1")
    (path / "kept").touch()
    assert make_global(str(tmp_path), "0a/10-1") == path == tmp_path / "tmp" / "0a" / "10-1"
    assert (path / "kept").exists()


def test_what_is_stored_is_there_as_a_whole(scratch: Scratch) -> None:
    path = scratch.store(b"code", "codes/abc")
    assert Path(path).read_bytes() == b"code"
    assert sorted(os.listdir(scratch.path)) == ["codes", "local", "lock", "modules", "tasks"]


def test_directories_without_rights_are_removed_too(scratch: Scratch) -> None:
    path = make_local(scratch.path, ATTEMPT)
    (path / "inner").mkdir()
    (path / "inner" / "file").touch()
    (path / "link").symlink_to("/etc/passwd")
    os.chmod(path / "inner", 0)
    os.chmod(path, 0o500)
    remove(str(path))
    assert not path.exists()
    assert Path("/etc/passwd").stat().st_mode & 0o777 != 0o700


def test_what_a_killed_worker_has_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    program = "import os, sys; from jobtree.worker.scratch import Scratch\nScratch(sys.argv[1]); os.kill(os.getpid(), 9)"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    dead = subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environ, check=False)
    assert dead.returncode == -signal.SIGKILL
    (left,) = os.listdir(tmp_path)
    living = Scratch(tmp_path)
    another = Scratch(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(os.path.basename(s.path) for s in (living, another))
    assert left not in os.listdir(tmp_path)


def test_the_directories_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "jobtree-elsewhere-0-abc").mkdir()
    (tmp_path / "mine").mkdir()
    Scratch(tmp_path).close()
    assert sorted(os.listdir(tmp_path)) == ["jobtree-elsewhere-0-abc", "mine"]


def test_what_cannot_be_stored_is_said_with_what_to_do(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    shutil.rmtree(scratch.path)
    with pytest.raises(StorageFailed, match=r"tasks/1-1 cannot be written: .* give another --scratch-dir"):
        scratch.store(b"task", "tasks/1-1")
    scratch.close()
