"""The master's disk: the real journal on files in memory that a kill or a power cut may catch at any operation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from random import Random

from jobtree.master import records as r
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.holder import Holder
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.writer import SEGMENT_BYTES, Journal
from tests.support.memory_files import MemoryFiles

from .trouble import Trouble

TREE = "/tree"
RUN = bytes(range(16))
_SOMEBODY = Holder("node1", "boot1", 4711, 12345)


class Crash(Exception):
    """The master's process, or its machine, has stopped here."""


class Disk(MemoryFiles):
    """Files in memory; after ``fuse`` operations the next one is cut short by a crash; ``trouble`` lets some fail."""

    def __init__(self, rng: Random, segment_bytes: int = SEGMENT_BYTES) -> None:
        super().__init__()
        self.rng = rng
        self.segment_bytes = segment_bytes
        self.trouble: Trouble | None = None
        self.fuse: int | None = None
        self.archive: list[r.Record] = []  # what was compacted, as somebody remembers it who is not there
        self.dirty = False  # something has been written that no sync has covered

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        if self._burnt():
            part = self.rng.randint(0, len(data))
            super().write(descriptor, data[:part], offset)
            raise Crash
        self.dirty = True
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        burnt = self._burnt()
        if burnt and self.rng.random() < 0.5:
            raise Crash
        super().sync(descriptor)
        self.dirty = False
        if burnt:
            raise Crash

    def rename(self, source: str, target: str) -> None:
        if self._burnt():
            raise Crash
        super().rename(source, target)

    def sync_directory(self, path: str) -> None:
        if self._burnt():
            raise Crash
        super().sync_directory(path)

    def unlink(self, path: str) -> None:
        if self._burnt():
            raise Crash
        super().unlink(path)

    @contextlib.contextmanager
    def untroubled(self) -> Iterator[None]:
        """Nothing of what troubles the disk is counted, or happens."""
        with contextlib.ExitStack() as stack:
            if self.trouble is not None:
                stack.enter_context(self.trouble.away())
            yield

    def _burnt(self) -> bool:
        if self.fuse is None:
            return False
        self.fuse -= 1
        return self.fuse < 0

    def after_crash(self, *, power: bool) -> Disk:
        """What the next master finds."""
        after = Disk(self.rng, self.segment_bytes)
        after.archive = self.archive
        after._root = self.crash(self.rng, power=power)._root
        if self.trouble is not None:
            self.trouble.visit(after)
        return after


def take_up(disk: Disk) -> tuple[Journal, list[r.Record]]:
    """What a master does first: claim an epoch, read everything, begin a segment."""
    directory = Directory.prepare(disk, TREE, "jobtree test", RUN)
    epoch = directory.claim_epoch(_SOMEBODY).epoch
    reader = Reader(disk, directory)
    payloads = Payloads(disk, directory)
    found = _records(reader, payloads, disk.archive)
    return Journal.open(disk, directory, epoch, reader.tail, payloads, segment_bytes=disk.segment_bytes), found


def read(disk: Disk) -> list[r.Record]:
    """All that a reader finds; of what troubles the disk it sees nothing."""
    with disk.untroubled():
        return _records(Reader(disk, Directory.open(disk, TREE)), None, disk.archive)


def _records(reader: Reader, payloads: Payloads | None, archive: list[r.Record]) -> list[r.Record]:
    found: list[r.Record] = []
    base = reader.base
    if base is not None:
        found += archive[: base.position.record]
        assert len(found) == base.position.record, "a snapshot tells of more than was ever compacted"
        if payloads is not None:
            payloads.rest_on(base.payloads, base.position.record)
    for frame in reader:
        if payloads is not None:
            payloads.index(frame)
        data, place = frame.data, 0
        for head in frame.heads:
            size = sum(head[1] or ())
            found.append(r.decode(head, data[place : place + size]))
            place += size
    return found
