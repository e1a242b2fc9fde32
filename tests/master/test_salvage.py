"""Salvage: whatever happens to a journal, what is made of it is sound, and tells nothing that did not happen."""

from __future__ import annotations

from functools import lru_cache
from random import Random

import pytest

from jobtree.errors import JournalDamaged
from jobtree.master import records as r
from jobtree.master.audit import audit
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.verify import verify
from jobtree.master.ledger import Ledger
from jobtree.master.nodes import Phase
from jobtree.master.salvage import Salvage, salvage
from jobtree.master.sieve import Sieve
from jobtree.master.tree import Tree
from tests.simulation import simulate
from tests.simulation.disk import read
from tests.support.journals import SOMEBODY, TREE, begin, new_disk
from tests.support.memory_files import MemoryFiles

JOURNAL = f"{TREE}/journal"


@lru_cache
def recorded(seed: int) -> tuple[r.Record, ...]:
    """All the records of a simulated run with its faults."""
    cluster, problem = simulate(seed)
    assert problem is None
    return tuple(read(cluster.disk))


def replay(reader: Reader, tree: Tree, ledger: Ledger) -> tuple[Tree, Ledger]:
    for frame in reader:
        for head in frame.heads:
            record = r.decode(head)
            tree.apply(record)
            ledger.apply(record)
    return tree, ledger


def read_back(files: MemoryFiles) -> Tree:
    tree, ledger = replay(Reader(files, Directory.open(files, TREE)), Tree(), Ledger())
    assert audit(tree) == ""
    assert not tree.current
    assert not ledger.joined
    return tree


def written(seed: int) -> MemoryFiles:
    """A journal of small segments with the records of a run."""
    files = new_disk()
    journal, _ = begin(files, segment_bytes=800)
    rng = Random(seed)
    records = recorded(seed)
    at = 0
    while at < len(records):
        count = rng.randint(1, 6)
        journal.append([r.encode(record) for record in records[at : at + count]])
        at += count
    journal.close()
    return files


def rescue(files: MemoryFiles) -> Salvage:
    directory = Directory.open(files, TREE)
    return salvage(files, directory, lambda: directory.claim_epoch(SOMEBODY).epoch, replay)


def done(tree: Tree) -> int:
    return tree.counts()[Phase.DONE] + tree.counts()[Phase.WAITING]


@pytest.mark.parametrize("seed", range(20))
def test_what_the_sieve_lets_through_behind_a_gap_leaves_a_tree_that_is_right(seed: int) -> None:
    records = recorded(seed)
    rng = Random(seed)
    start = rng.randint(3, len(records) - 2)
    stop = rng.randint(start + 1, min(len(records), start + 40))
    tree, ledger, whole = Tree(), Ledger(), Tree()
    for record in records:
        whole.apply(record)
    for record in records[:start]:
        tree.apply(record)
        ledger.apply(record)
    before = done(tree)
    sieve = Sieve(tree, ledger)
    for record in records[stop:]:
        sieve.take(record, tree.epoch)
        assert audit(tree) == ""
    sieve.settle(0.0)
    assert audit(tree) == ""
    assert not tree.current
    assert before <= done(tree) <= done(whole)


@pytest.mark.parametrize("seed", range(20))
def test_a_journal_damaged_anywhere_is_made_sound_and_damaged_files_are_kept(seed: int) -> None:
    files = written(seed)
    whole, _ = replay(Reader(files, Directory.open(files, TREE)), Tree(), Ledger())
    rng = Random(seed)
    segments = [name for name in files.names(JOURNAL) if name.startswith("seg-")]
    victim = rng.choice(segments[:-1] or segments)
    path = f"{JOURNAL}/{victim}"
    data = bytearray(files.contents(path))
    start = rng.randrange(len(data)) if victim != segments[0] else rng.randrange(len(data) // 2, len(data))
    size = min(rng.choice((1, 200, 5000)), len(data) - start)
    data[start : start + size] = bytes(byte ^ 0xFF for byte in data[start : start + size])
    files.damage(path, bytes(data))
    directory = Directory.open(files, TREE)
    if verify(files, directory).damage is None:
        return  # it was behind what counts, or a torn end
    found = rescue(files)
    assert found.damage
    assert verify(files, directory).damage is None
    tree = read_back(files)
    assert done(tree) <= done(whole)
    assert files.contents(f"{path}.damaged-2") == bytes(data)
    assert list(found.lines())[-1].startswith("kept aside: ")
    assert rescue(files).damage == ""


def test_a_segment_that_is_gone_costs_only_what_stood_on_it() -> None:
    files = written(3)
    segments = [name for name in files.names(JOURNAL) if name.startswith("seg-")]
    assert len(segments) > 3
    files.unlink(f"{JOURNAL}/{segments[1]}")
    found = rescue(files)
    assert segments[1] in found.damage
    assert found.kept > 0
    read_back(files)


def test_a_sound_journal_is_left_as_it_is() -> None:
    files = written(1)
    before = {name: files.contents(f"{JOURNAL}/{name}") for name in files.names(JOURNAL)}
    assert list(rescue(files).lines()) == ["the journal is sound; nothing was changed"]
    assert {name: files.contents(f"{JOURNAL}/{name}") for name in files.names(JOURNAL)} == before


def test_a_journal_of_which_nothing_can_be_read_is_refused() -> None:
    files = written(1)
    for name in files.names(JOURNAL):
        if name.startswith("seg-"):
            files.damage(f"{JOURNAL}/{name}", b"nothing")
    with pytest.raises(JournalDamaged, match=r"nothing of .* can be read"):
        rescue(files)
    assert Directory.open(files, TREE).highest_epoch() == 1
