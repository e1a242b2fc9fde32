"""A disk in memory that can lose power: what is synced stays, of the rest anything may be left.

`crash` gives the disk as a machine finds it after a kill (all that was written stays) or a power cut (of what
was not synced each sector of 512 bytes is the old one, the new one, zeros or noise, the length is the old
one, the new one or between, and each name that was not synced is there or not).
"""

from __future__ import annotations

import errno
import os
from copy import deepcopy
from random import Random

from jobtree.master.journal.files import Files, Status

SECTOR = 512


class File:
    """A file's bytes as programs see them, and as the disk has them."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.durable = data
        self.links = 0
        self.lost = range(0)  # bytes that a failed sync has made clean, and that no sync writes any more

    def sync(self) -> None:
        """Bring the bytes to the disk, as far as the kernel still knows that they are not there."""
        self.durable = self.writable()

    def writable(self) -> bytes:
        """The bytes that a sync would leave on the disk."""
        data = bytearray(self.data)
        kept = self.durable[self.lost.start : self.lost.stop]
        data[self.lost.start : self.lost.stop] = kept.ljust(len(self.lost), b"\0")
        return bytes(data)


class Folder:
    """A directory's names as programs see them, and as the disk has them."""

    def __init__(self) -> None:
        self.entries: dict[str, File | Folder] = {}
        self.durable: dict[str, File | Folder] = {}


class MemoryFiles(Files):
    """One machine's disk. Descriptors and locks are its own and do not survive a crash."""

    def __init__(self) -> None:
        self._root = Folder()
        self._open: dict[int, tuple[File, bool]] = {}
        self._locks: dict[int, File] = {}
        self._next = 1000

    def create(self, path: str) -> int:
        folder, name = self._place(path)
        if name in folder.entries:
            raise _error(errno.EEXIST, path)
        file = File()
        file.links = 1
        folder.entries[name] = file
        return self._descriptor(file, True)

    def open(self, path: str) -> int:
        return self._descriptor(self._file(path), False)

    def open_lock(self, path: str) -> int:
        folder, name = self._place(path)
        return self.create(path) if name not in folder.entries else self._descriptor(self._file(path), True)

    def lock(self, descriptor: int) -> None:
        file = self._opened(descriptor)
        if any(held is file and owner != descriptor for owner, held in self._locks.items()):
            raise BlockingIOError(errno.EWOULDBLOCK, "it is locked")
        self._locks[descriptor] = file

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        file, writable = self._open.get(descriptor, (None, False))
        if file is None or not writable:
            raise _error(errno.EBADF, str(descriptor))
        if len(file.data) < offset:
            file.data.extend(bytes(offset - len(file.data)))
        file.data[offset : offset + len(data)] = data
        return len(data)

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        return bytes(self._opened(descriptor).data[offset : offset + size])

    def size(self, descriptor: int) -> int:
        return len(self._opened(descriptor).data)

    def sync(self, descriptor: int) -> None:
        self._opened(descriptor).sync()

    def sync_data(self, descriptor: int) -> None:
        self.sync(descriptor)

    def close(self, descriptor: int) -> None:
        self._opened(descriptor)
        del self._open[descriptor]
        self._locks.pop(descriptor, None)

    def sync_directory(self, path: str) -> None:
        folder = self._folder(path)
        folder.durable = dict(folder.entries)

    def rename(self, source: str, target: str) -> None:
        file = self._file(source)
        folder, name = self._place(source)
        del folder.entries[name]
        folder, name = self._place(target)
        folder.entries[name] = file

    def link(self, source: str, target: str) -> None:
        file = self._file(source)
        folder, name = self._place(target)
        if name in folder.entries:
            raise _error(errno.EEXIST, target)
        file.links += 1
        folder.entries[name] = file

    def unlink(self, path: str) -> None:
        self._file(path).links -= 1
        folder, name = self._place(path)
        del folder.entries[name]

    def make_directory(self, path: str) -> None:
        folder, name = self._place(path)
        if name in folder.entries:
            raise _error(errno.EEXIST, path)
        folder.entries[name] = Folder()

    def names(self, path: str) -> list[str]:
        return sorted(self._folder(path).entries)

    def status(self, path: str) -> Status:
        found = self._find(path)
        if isinstance(found, Folder):
            return Status(0, self.user(), 0o700, 2, True)
        return Status(len(found.data), self.user(), 0o600, found.links, False)

    def user(self) -> int:
        return 1000

    def contents(self, path: str) -> bytes:
        """The bytes of a file, for a test to look at."""
        return bytes(self._file(path).data)

    def damage(self, path: str, data: bytes) -> None:
        """Put other bytes into a file, as a failing medium does: behind everyone's back, and durable."""
        file = self._file(path)
        file.data[:] = data
        file.durable = data

    def lose_unsynced(self, descriptor: int) -> None:
        """What Linux does when a sync fails: the bytes stay readable, and no later sync ever writes them."""
        file = self._opened(descriptor)
        file.lost = range(len(file.durable), len(file.data))

    def crash(self, rng: Random, *, power: bool) -> MemoryFiles:
        """The disk that the next boot finds (`power`), or the next process."""
        after = MemoryFiles()
        after._root = _after_power_cut(self._root, rng, {}) if power else deepcopy(self._root)
        return after

    def _descriptor(self, file: File, writable: bool) -> int:
        self._next += 1
        self._open[self._next] = (file, writable)
        return self._next

    def _opened(self, descriptor: int) -> File:
        if descriptor not in self._open:
            raise _error(errno.EBADF, str(descriptor))
        return self._open[descriptor][0]

    def _find(self, path: str) -> File | Folder:
        found: File | Folder = self._root
        for name in path.split("/"):
            if not name:
                continue
            if isinstance(found, File):
                raise _error(errno.ENOTDIR, path)
            if name not in found.entries:
                raise _error(errno.ENOENT, path)
            found = found.entries[name]
        return found

    def _place(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        return self._folder(above), name

    def _folder(self, path: str) -> Folder:
        found = self._find(path)
        if isinstance(found, File):
            raise _error(errno.ENOTDIR, path)
        return found

    def _file(self, path: str) -> File:
        found = self._find(path)
        if isinstance(found, Folder):
            raise _error(errno.EISDIR, path)
        return found


def _after_power_cut(folder: Folder, rng: Random, copies: dict[int, File]) -> Folder:
    """A folder after a power cut; a file with two names stays one file."""
    after = Folder()
    for name in sorted(folder.entries.keys() | folder.durable.keys()):
        found = rng.choice((folder.entries.get(name), folder.durable.get(name)))
        if isinstance(found, Folder):
            after.entries[name] = _after_power_cut(found, rng, copies)
        elif found is not None:
            if id(found) not in copies:
                copies[id(found)] = File(_torn(found, rng))
            copies[id(found)].links += 1
            after.entries[name] = copies[id(found)]
    after.durable = dict(after.entries)
    return after


def _torn(file: File, rng: Random) -> bytes:
    """What a power cut leaves of a file: its synced bytes, and of the rest anything."""
    old, new = file.durable, file.writable()
    if old == new:
        return old
    torn = bytearray()
    length = rng.choice((len(old), len(new), rng.randint(*sorted((len(old), len(new))))))
    style = rng.randrange(4)
    for start in range(0, length, SECTOR):
        end = min(start + SECTOR, length)
        before, after = old[start:end].ljust(end - start, b"\0"), new[start:end].ljust(end - start, b"\0")
        if before == after or style == 0:
            torn += after
        else:
            torn += rng.choice((before, after, after, _appended(old, start, end, rng)))
    return bytes(torn)


def _appended(old: bytes, start: int, end: int, rng: Random) -> bytes:
    """A sector with noise or zeros where nothing was synced."""
    kept = old[start:end]
    size = end - start - len(kept)
    return kept + (rng.randbytes(size) if rng.random() < 0.5 else bytes(size))


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
