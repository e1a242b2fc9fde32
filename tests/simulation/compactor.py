"""The compactor in the simulated world: it works on the master's disk, beside the master, and may die at any operation."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from jobtree._compact import compact
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.compaction import needless
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.snapshots import KeptPayloads
from jobtree.master.ledger import Ledger
from jobtree.master.snapshot import restore
from jobtree.master.tree import Tree

from .disk import TREE, Disk, read

if TYPE_CHECKING:
    from jobtree.master.journal.writer import Journal

#: The most operations of the disk that a compaction takes here.
OPERATIONS = 30


def run(disk: Disk, rng: Random, *, dies: bool) -> happened.Compacted | None:
    """Compact what is sealed, as a process with descriptors of its own; raises Crash where it dies."""
    process = Disk(rng)
    process._root = disk._root
    process.fuse = rng.randint(0, OPERATIONS) if dies else None
    sealed = Reader(disk, Directory.open(disk, TREE), sealed=True)
    for _ in sealed:
        pass
    if sealed.position is not None:
        disk.archive = read(disk)[: max(sealed.position.record, len(disk.archive))]
    made = compact(process, TREE)
    if made is not None:
        made.remove = list(needless(disk, Directory.open(disk, TREE)))
    return made


def prune(disk: Disk, journal: Journal, effect: want.Prune) -> None:
    """What the master does when a snapshot is journaled."""
    directory = Directory.open(disk, TREE)
    if effect.index_offset:
        journal.payloads.rest_on(KeptPayloads.open(disk, directory, effect.name, effect.index_offset), effect.record)
    present = set(disk.names(directory.path))
    for name in effect.remove:
        if name in present:
            disk.unlink(f"{directory.path}/{name}")


def restored(disk: Disk, records: list[r.Record]) -> tuple[Tree, Ledger]:
    """What a master makes of a disk: the newest snapshot, and the records after it."""
    reader = Reader(disk, Directory.open(disk, TREE))
    base = reader.base
    tree = Tree()
    ledger = restore(base.state(), tree) if base is not None else Ledger()
    for record in records[tree.records :]:
        bare = r.decode(r.encode(record)[0])
        tree.apply(bare)
        ledger.apply(bare)
    return tree, ledger
