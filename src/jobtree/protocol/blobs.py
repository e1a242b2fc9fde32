"""The door to TREE/blobs: payloads and code too large for a message, written and read by who made them.

    TREE/blobs/xx/EPOCH-NUMBER-N    the payload of the target N that this attempt created, or N = r: its
    result TREE/blobs/code/SHA256          a code blob

A blob is on disk, under its name, before it is named on the wire: written beside its place, synced,
renamed, and the directory synced. Who reads it knows its length and SHA-256, and believes nothing else.
"""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

from jobtree.errors import StorageFailed
from jobtree.files import Files, write_all

#: `n` of the result of the attempt itself.
RESULT: Literal["r"] = "r"


class BlobName(NamedTuple):
    """How a blob is named on the wire, beside the attempt and the n that lead to its path."""

    size: int
    sha256: str


def blob_path(tree: Path, epoch: int, number: int, n: int | Literal["r"]) -> Path:
    """Where the payload of target `n` of this attempt lies, or its result."""
    return tree / "blobs" / f"{number & 0xFF:02x}" / f"{epoch}-{number}-{n}"


def code_path(tree: Path, sha: str) -> Path:
    """Where a code blob lies."""
    return tree / "blobs" / "code" / sha


def write_blob(path: Path, data: bytes, files: Files | None = None) -> BlobName:
    """Write `data` durably, readable for this user only; an older one is replaced. Raises StorageFailed."""
    files = files or Files()
    temporary = f"{path.parent}/.{path.name}.{os.getpid()}.tmp"
    try:
        _make_directory(files, str(path.parent))
        try:
            _remove(files, temporary)  # of a process that had our pid and was killed
            _write_and_sync(files, temporary, data)
            files.rename(temporary, str(path))
        except OSError:
            _remove(files, temporary)
            raise
        files.sync_directory(str(path.parent))
    except OSError as error:
        raise StorageFailed(f"cannot write {len(data):,} bytes to {path}: {error.strerror}") from error
    return BlobName(len(data), sha256(data).hexdigest())


def read_blob(path: Path, name: BlobName) -> bytes:
    """Read back what `write_blob` wrote; raises StorageFailed if it is gone or is something else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error
    if len(data) != name.size:
        raise StorageFailed(f"{path} has {len(data):,} bytes and should have {name.size:,}")
    if sha256(data).hexdigest() != name.sha256:
        raise StorageFailed(f"{path} is not what was written: its SHA-256 has changed")
    return data


def write_code(tree: Path, sha: str, data: bytes) -> None:
    """Write a code blob, unless it is there: equal names mean equal bytes. Raises StorageFailed."""
    path = code_path(tree, sha)
    if not path.exists():
        write_blob(path, data)


def read_code(tree: Path, sha: str) -> bytes:
    """Read a code blob. Raises StorageFailed if it is gone or is something else."""
    path = code_path(tree, sha)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror}") from error
    return read_blob(path, BlobName(size, sha))


def remove_blob(path: Path) -> None:
    """Remove a blob that nobody will take any more; no error if it is gone. Raises StorageFailed."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageFailed(f"cannot remove {path}: {error.strerror}") from error


def _make_directory(files: Files, directory: str) -> None:
    """Make it and its parents, each durably in the one above."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for directory in reversed(missing):
        try:
            files.make_directory(directory)
        except FileExistsError:
            pass  # another attempt was faster
        files.sync_directory(os.path.dirname(directory))


def _write_and_sync(files: Files, path: str, data: bytes) -> None:
    descriptor = files.create(path)
    try:
        write_all(files, descriptor, data, 0)
        files.sync(descriptor)
    finally:
        files.close(descriptor)


def _remove(files: Files, path: str) -> None:
    try:
        files.unlink(path)
    except FileNotFoundError:
        pass  # nobody has left it
