"""Files that are there whole or not at all, and never change: snapshots and parts of the history.

They are made of the journal's frames, in a chain that begins with nothing, and end with one that has the SHA-256 of all bytes
before it. Until it has been synced a file has another name; then it is read back and compared.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgpack

from jobtree.errors import StorageFailed
from jobtree.files import Files, write_all
from jobtree.master.journal import frames
from jobtree.master.journal.frames import BadFrame
from jobtree.master.journal.segments import DamageFound

END = frames.CRITICAL | 0x40
_GATHER = 512 << 10  # bytes of a stream in one frame
_SYNC_EVERY = 8 << 20  # so that the journal's own syncs never wait behind a whole snapshot
_WINDOW = 4 << 20
_MOST = frames.HEADER_BYTES + frames.MAX_PAYLOAD_BYTES


class Sum(NamedTuple):
    """What a whole file measures."""

    bytes: int
    sha: str


class Found(NamedTuple):
    """One frame of a whole file, and where it begins."""

    kind: int
    offset: int
    payload: bytes


class Maker:
    """Writes one file; ``finish`` makes it be there. Raises OSError as the disk does; ``drop`` leaves nothing behind."""

    def __init__(self, files: Files, path: str, seed: int) -> None:
        self._files = files
        self._path = path
        self._temporary = f"{path}.tmp-{os.getpid()}"
        if os.path.basename(self._temporary) in files.names(os.path.dirname(path)):
            files.unlink(self._temporary)
        self._descriptor: int | None = files.create(self._temporary)
        self._seed = seed
        self._number = self._crc = self._unsynced = 0
        self._sha = hashlib.sha256()
        self._is_named = False
        self.offset = 0

    def put(self, kind: int, payload: bytes) -> int:
        """Write a frame; where it begins."""
        assert self._descriptor is not None
        frame, self._crc = frames.seal(
            kind, payload, sequence=self._number, durable=0, previous=self._crc, seed=self._seed
        )  # fmt: skip
        here = self.offset
        write_all(self._files, self._descriptor, frame, here)
        self._number += 1
        self.offset += len(frame)
        self._unsynced += len(frame)
        self._sha.update(frame)
        if self._unsynced >= _SYNC_EVERY:
            self._files.sync_data(self._descriptor)
            self._unsynced = 0
        return here

    def put_stream(self, kind: int, items: Iterable[Any]) -> None:
        """Write items one behind the other, cut into frames wherever one is full."""
        packer = msgpack.Packer(unicode_errors=frames.TEXT_ERRORS)
        gathered = bytearray()
        for item in items:
            gathered += packer.pack(item)
            while len(gathered) >= _GATHER:
                self.put(kind, bytes(gathered[:_GATHER]))
                del gathered[:_GATHER]
        if gathered:
            self.put(kind, bytes(gathered))

    def finish(self) -> Sum:
        """Sync, name, read back; raises StorageFailed where the disk gives back something else."""
        assert self._descriptor is not None
        sha = self._sha.copy()
        self.put(END, sha.digest())
        self._files.sync(self._descriptor)
        descriptor, self._descriptor = self._descriptor, None
        self._files.close(descriptor)
        self._files.rename(self._temporary, self._path)
        self._is_named = True
        self._files.sync_directory(os.path.dirname(self._path))
        done = Sum(self.offset, sha.hexdigest())
        if sum_of(self._files, self._path) != done:
            raise StorageFailed(f"{self._path} reads otherwise than it was written")
        return done

    def drop(self) -> None:
        """Leave nothing of a file that could not be finished."""
        descriptor, self._descriptor = self._descriptor, None
        try:
            if descriptor is not None:
                self._files.close(descriptor)
        finally:
            if not self._is_named:
                self._files.unlink(self._temporary)


def check(files: Files, path: str, seed: int) -> Iterator[Found]:
    """The frames of a file in order, but for the last; raises DamageFound, if only at the end, where it is not whole."""
    descriptor = _open(files, path)
    try:
        sha, number, crc, offset = hashlib.sha256(), 0, 0, 0
        window, base, ended = b"", 0, False
        while True:
            if len(window) - (offset - base) < _MOST and not ended:
                window, base = files.read(descriptor, _WINDOW, offset), offset
                ended = len(window) < _WINDOW
            at = offset - base
            try:
                header = frames.parse(window, at, seed)
            except BadFrame as problem:
                raise DamageFound(path, offset, number, str(problem)) from problem
            if (header.sequence, header.previous_crc) != (number, crc):
                raise DamageFound(path, offset, number, "it does not follow the frame before it")
            end = at + frames.HEADER_BYTES + header.length
            payload = window[at + frames.HEADER_BYTES : end]
            if header.kind == END:
                if payload != sha.digest() or end != len(window) or not (ended or files.size(descriptor) == base + end):
                    raise DamageFound(path, offset, number, "the file is not the one that was written")
                return
            yield Found(header.kind, offset, payload)
            sha.update(memoryview(window)[at:end])
            number, crc, offset = number + 1, header.crc, base + end
    except OSError as error:
        raise DamageFound(path, 0, 0, f"it cannot be read ({error.strerror})") from error
    finally:
        files.close(descriptor)


def first_frame(files: Files, path: str, seed: int) -> Found:
    """The first frame of a file; raises DamageFound."""
    for found in check(files, path, seed):
        return found
    raise DamageFound(path, 0, 0, "it is empty")


def items_of(payloads: Iterable[bytes]) -> Iterator[Any]:
    """The items that ``put_stream`` has written, from the frames in their order."""
    unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors=frames.TEXT_ERRORS, max_buffer_size=1 << 30)
    for payload in payloads:
        unpacker.feed(payload)
        yield from unpacker


def sum_of(files: Files, path: str) -> Sum:
    """What a file measures; its SHA-256 is that of all but the last frame."""
    descriptor = files.open(path)
    try:
        size = files.size(descriptor)
        end = max(0, size - frames.HEADER_BYTES - hashlib.sha256().digest_size)
        sha = hashlib.sha256()
        for offset in range(0, end, _WINDOW):
            sha.update(files.read(descriptor, min(_WINDOW, end - offset), offset))
        last = files.read(descriptor, size - end, end)
    finally:
        files.close(descriptor)
    return Sum(size, sha.hexdigest() if last.endswith(sha.digest()) else "")


def claimed_sum(files: Files, path: str) -> Sum:
    """What a file that has been checked measures, by its own words."""
    descriptor = files.open(path)
    try:
        size = files.size(descriptor)
        return Sum(size, files.read(descriptor, hashlib.sha256().digest_size, size - hashlib.sha256().digest_size).hex())
    finally:
        files.close(descriptor)


def _open(files: Files, path: str) -> int:
    try:
        return files.open(path)
    except OSError as error:
        raise DamageFound(path, 0, 0, f"it cannot be read ({error.strerror})") from error
