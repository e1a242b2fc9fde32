"""The one seam between a run and the disk; whatever the disk can do to us can be put in here by a test.

`Files` is the real disk. The tests have a second one in memory that can lose power, and a wrapper that makes
the n-th operation fail; one contract test holds them to the same behaviour.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import NamedTuple

#: What a full disk and a used-up quota say: both may pass.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})

_COMMON = os.O_CLOEXEC | os.O_NOFOLLOW


class Status(NamedTuple):
    """What is known of a file without opening it; `mode` holds the permission bits only."""

    bytes: int
    owner: int
    mode: int
    links: int
    is_directory: bool


class Files:
    """Files and directories of the machine. Every method raises OSError as the system call does."""

    def create(self, path: str) -> int:
        """Make a new file that only we may read, and open it for reading and writing."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _COMMON, 0o600)

    def open(self, path: str) -> int:
        """Open a file for reading."""
        return os.open(path, os.O_RDONLY | _COMMON)

    def open_lock(self, path: str) -> int:
        """Open a file that is there to be locked, and make it where it is not."""
        return os.open(path, os.O_RDWR | os.O_CREAT | _COMMON, 0o600)

    def lock(self, descriptor: int) -> None:
        """Lock a file for us alone, until it is closed; BlockingIOError where another has it."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write at an offset; return how many bytes were written, which may be fewer than given."""
        return os.pwrite(descriptor, data, offset)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read at an offset; fewer bytes than asked for only at the file's end."""
        data = os.pread(descriptor, size, offset)
        while 0 < len(data) < size:
            more = os.pread(descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def size(self, descriptor: int) -> int:
        """How many bytes an open file has."""
        return os.fstat(descriptor).st_size

    def sync(self, descriptor: int) -> None:
        """Bring a file's bytes and all that is known of it to the disk."""
        os.fsync(descriptor)

    def sync_data(self, descriptor: int) -> None:
        """Bring a file's bytes and its size to the disk."""
        os.fdatasync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a descriptor."""
        os.close(descriptor)

    def sync_directory(self, path: str) -> None:
        """Bring the names in a directory to the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in the place of what had that name."""
        os.rename(source, target)

    def link(self, source: str, target: str) -> None:
        """Give a file a second name; FileExistsError where the name is taken."""
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: str) -> None:
        """Take a name from a file."""
        os.unlink(path)

    def make_directory(self, path: str) -> None:
        """Make a directory that only we may enter."""
        os.mkdir(path, 0o700)

    def names(self, path: str) -> list[str]:
        """The names in a directory, looked up afresh, in order."""
        return sorted(os.listdir(path))

    def status(self, path: str) -> Status:
        """What is known of a file; symbolic links are followed."""
        found = os.stat(path)
        mode = stat.S_IMODE(found.st_mode)
        return Status(found.st_size, found.st_uid, mode, found.st_nlink, stat.S_ISDIR(found.st_mode))

    def user(self) -> int:
        """The number of the user whom new files will belong to."""
        return os.geteuid()


def write_all(files: Files, descriptor: int, data: bytes, offset: int) -> None:
    """Write all of the data, however few bytes each call takes; a disk that takes none has no room."""
    view = memoryview(data)
    while view:
        written = files.write(descriptor, view, offset)
        if written <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
        offset += written
