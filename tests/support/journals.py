"""Short words for tests that make and read journals."""

from __future__ import annotations

from random import Random

from jobtree.master.journal.directory import Directory
from jobtree.master.journal.files import Files
from jobtree.master.journal.frames import Record
from jobtree.master.journal.holder import Holder
from jobtree.master.journal.payloads import Payloads
from jobtree.master.journal.reader import Frame, Reader
from jobtree.master.journal.writer import SEGMENT_BYTES, Journal
from tests.support.memory_files import MemoryFiles

TREE = "/home/tree"
RUN = bytes(range(16))
SOMEBODY = Holder("node1", "boot1", 4711, 12345)


def new_disk(files: MemoryFiles | None = None) -> MemoryFiles:
    """A disk in memory with a home directory, durable."""
    files = files or MemoryFiles()
    files.make_directory("/home")
    files.sync_directory("/")
    return files


def begin(files: Files, segment_bytes: int = SEGMENT_BYTES, tree: str = TREE) -> tuple[Journal, list[Record]]:
    """What a master does when it starts: recover, and begin its epoch; the journal and the records found."""
    directory = Directory.prepare(files, tree, "jobtree test", RUN)
    epoch = directory.claim_epoch(SOMEBODY).epoch
    reader = Reader(files, directory)
    payloads = Payloads(files, directory)
    found: list[Record] = []
    for frame in reader:
        payloads.index(frame)
        found += records_of(frame)
    return Journal.open(files, directory, epoch, reader.tail, payloads, segment_bytes=segment_bytes), found


def read(files: Files, tree: str = TREE) -> list[Record]:
    """All records of a journal, as a view reads them."""
    reader = Reader(files, Directory.open(files, tree))
    return [record for frame in reader for record in records_of(frame)]


def records_of(frame: Frame) -> list[Record]:
    """The records of a frame, each with its own data."""
    records: list[Record] = []
    data, offset = frame.data, 0
    for head in frame.heads:
        size = sum(head[1] or ())
        records.append((head, data[offset : offset + size]))
        offset += size
    return records


def some_records(rng: Random, count: int, start: int = 0) -> list[Record]:
    """Records of many sizes, each with a field that numbers it."""
    records: list[Record] = []
    for number in range(start, start + count):
        lengths = [rng.choice((0, 1, 17, 300)) for _ in range(rng.randrange(4))]
        records.append(([number % 7, lengths or 0, number, "name"], rng.randbytes(sum(lengths))))
    return records
