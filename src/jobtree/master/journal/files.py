"""What the disk means to the journal: the seam to it, and how its errors are taken."""

from __future__ import annotations

import errno

from jobtree.errors import StorageFailed
from jobtree.files import NO_ROOM, Files, Status, write_all

__all__ = ["NO_LOCKS", "NO_ROOM", "Files", "Status", "close", "write_all"]

NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def close(files: Files, descriptor: int, path: str) -> None:
    """Close what was only read; raises StorageFailed for a disk that does not even do that."""
    try:
        files.close(descriptor)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be closed: {error.strerror}") from error
