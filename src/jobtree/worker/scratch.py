"""The worker's private directory on its node, and the temporary directories of its attempts."""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import stat
import tempfile
from pathlib import Path

from jobtree.errors import StorageFailed
from jobtree.ids import Attempt
from jobtree.protocol.references import ALIAS

#: What `multiprocessing` spawns has the user's script as `__mp_main__`; what it unpickles names it ALIAS.
SPAWNED = f"""import sys

if "__mp_main__" not in sys.modules:
    raise ModuleNotFoundError("the user's script is not loaded in this process", name="{ALIAS}")
sys.modules["{ALIAS}"] = sys.modules["__mp_main__"]
"""


class Scratch:
    """A directory of one worker, 0700, in the scratch directory or the node's TMPDIR; gone with the worker.

    `codes/` holds the code blobs that came with the wire, `tasks/` what is too large for a socket, `local/`
    one directory for each attempt that has asked for one, `modules/` what `multiprocessing` needs (see
    `SPAWNED`). A killed worker's directory is removed by the next one that is made beside it.
    """

    def __init__(self, parent: str | os.PathLike[str] | None = None) -> None:
        parent = os.fspath(parent) if parent else tempfile.gettempdir()
        os.makedirs(parent, exist_ok=True)
        _sweep(parent)
        self.path = tempfile.mkdtemp(prefix=_prefix(), dir=parent)
        for name in ("codes", "tasks", "local", "modules"):
            os.mkdir(os.path.join(self.path, name), 0o700)
        self.store(SPAWNED.encode(), f"modules/{ALIAS}.py")
        self._lock = open(os.path.join(self.path, "making"), "wb")  # noqa: SIM115  # held for life
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        os.rename(os.path.join(self.path, "making"), os.path.join(self.path, "lock"))

    def store(self, data: bytes, name: str) -> str:
        """Write `data` into a file that is there as a whole or not at all; returns its path. Raises StorageFailed."""
        path = os.path.join(self.path, name)
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self.path)
            with open(descriptor, "wb") as file:
                file.write(data)
            os.rename(temporary, path)
        except OSError as error:
            raise StorageFailed(
                f"{path} cannot be written: {error.strerror}; make room on {platform.node()}, or give another --scratch-dir"
            ) from error
        return path

    def forget(self, attempt: Attempt) -> None:
        """Remove the local temp dir of an attempt, if it made one."""
        remove(local_path(self.path, attempt))

    def close(self) -> None:
        """Remove everything."""
        remove(self.path)
        self._lock.close()


def local_path(scratch: str, attempt: Attempt) -> str:
    """Where the local temp dir of an attempt is, made or not."""
    return os.path.join(scratch, "local", f"{attempt.epoch}-{attempt.number}")


def make_local(scratch: str, attempt: Attempt) -> Path:
    """Make the local temp dir of an attempt: empty, and closed to others."""
    path = local_path(scratch, attempt)
    os.mkdir(path, 0o700)
    return Path(path)


def global_path(tree: str, temp: str) -> str:
    """Where the global temp dir of a chain is, made or not."""
    return os.path.join(tree, "tmp", temp)


def make_global(tree: str, temp: str) -> Path:
    """Make the global temp dir of a chain, unless a member of the chain has done so before."""
    path = global_path(tree, temp)
    os.makedirs(path, mode=0o700, exist_ok=True)
    return Path(path)


def remove(path: str) -> None:
    """Remove a directory with all in it, also where rights were taken away; what can't be removed is left."""
    if os.path.lexists(path):
        shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        _give_rights(path)
        shutil.rmtree(path, ignore_errors=True)


def _give_rights(path: str) -> None:
    for folder, names, _ in os.walk(path, onerror=None):
        for name in (".", *names):
            inner = os.path.join(folder, name)
            if not os.path.islink(inner):
                try:
                    os.chmod(inner, stat.S_IRWXU)
                except OSError:
                    pass  # another user's: rmtree will leave it too


def _prefix() -> str:
    # Of this host and user only: what others have left on a shared disk is theirs to remove.
    return f"jobtree-{platform.node()}-{os.getuid()}-"


def _sweep(parent: str) -> None:
    """Remove what killed workers have left here: directories whose lock nobody holds any more."""
    for name in os.listdir(parent):
        path = os.path.join(parent, name)
        if name.startswith(_prefix()) and _is_mine(path) and _is_abandoned(path):
            remove(path)


def _is_mine(path: str) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()


def _is_abandoned(path: str) -> bool:
    try:
        with open(os.path.join(path, "lock"), "rb+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # held; or just being made, and not locked yet
    return True
