"""A crash at any step of a compaction, of a rotation or of the removals after it costs nothing and is seen by nobody."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from jobtree._compact import compact
from jobtree.errors import StorageFailed
from jobtree.master import records as r
from jobtree.master.audit import dump
from jobtree.master.compaction import Compaction, leftover, needless
from jobtree.master.effects import Prune
from jobtree.master.events import Compacted
from jobtree.master.journal.directory import Directory
from jobtree.master.journal.reader import Reader
from jobtree.master.journal.writer import SEGMENT_BYTES
from jobtree.master.ledger import Ledger
from jobtree.master.tree import Tree
from jobtree.views.history import History
from tests.simulation import simulate
from tests.simulation.compactor import prune, restored
from tests.simulation.disk import TREE, Crash, Disk, read, take_up
from tests.support.faulty_files import WRITING, FaultyFiles


@cache
def recorded(seed: int) -> tuple[r.Record, ...]:
    """All the records of a simulated run with its faults."""
    cluster, problem = simulate(seed)
    assert problem is None
    return tuple(read(cluster.disk))


class Life:
    """A master that only writes, and compacts at some places; ``safe`` records are known to be on disk."""

    def __init__(self, disk: Disk, records: list[r.Record], safe: int = 0) -> None:
        self.disk = disk
        self.journal, self.found = take_up(disk)
        self.records = records
        self.safe = max(safe, len(self.found))

    def write(self, until: int) -> None:
        """Go on with the records, some in a batch."""
        done = self.journal.next_record
        for start in range(done, until, 5):
            batch = self.records[start : min(start + 5, until)]
            self.journal.append([r.encode(record) for record in batch], ["told"])
            assert self.journal.released()
            self.safe = min(start + 5, until)

    def squeeze(self) -> None:
        """All of a compaction, one step after the other."""
        self.journal.seal()
        self.disk.archive = self.records[: self.safe]
        made = compact(self.disk, TREE)
        if made is not None:
            made.remove = list(needless(self.disk, Directory.open(self.disk, TREE)))
            taken = r.SnapshotTaken(0.0, made.first, made.last, made.bytes, made.sha)
            self.journal.append([r.encode(taken)])
            self.records.insert(self.journal.next_record - 1, taken)
            self.safe = self.journal.next_record
            prune(self.disk, self.journal, Prune(made.name, made.record, made.index_offset, made.remove))


def new_disk(rng: Random) -> Disk:
    disk = Disk(rng)
    disk.sync_directory("/")
    return disk


def states(disk: Disk, records: list[r.Record]) -> Iterator[tuple[list[str], list[str]]]:
    """What a master finds, and what a replay of all that was written makes."""
    tree, ledger = Tree(), Ledger()
    for record in records:
        bare = r.decode(r.encode(record)[0])
        tree.apply(bare)
        ledger.apply(bare)
    yield dump(*restored(disk, records)), dump(tree, ledger)


def views(disk: Disk) -> dict[str, Any]:
    """What is shown of a run."""
    history = History(TREE, files=disk)
    history.poll()
    return {
        "tallies": history.tree.tallies,
        "failures": history.failures,
        "workers": history.workers,
        "blocks": history.blocks,
        "taken": {name: (list(taken.time), taken.failed, taken.lost, taken.retries) for name, taken in history.taken.items()},
    }


@cache
def expected_views(seed: int) -> dict[str, Any]:
    """What is shown of the same run whose journal was never compacted."""
    disk = new_disk(Random(0))
    life = Life(disk, list(recorded(seed)))
    life.write(len(life.records))
    return views(disk)


def live(life: Life, length: int) -> None:
    """Three compactions over a run."""
    for third in (1, 2, 3):
        life.write(third * length // 3 + (len(life.records) - length))
        life.squeeze()


def operations(seed: int) -> int:
    """How many operations of the disk such a life takes."""
    disk = new_disk(Random(0))
    life = Life(disk, list(recorded(seed)))
    disk.fuse = 1 << 30
    live(life, len(recorded(seed)))
    return (1 << 30) - disk.fuse


def crash_and_go_on(seed: int, at: int, *, power: bool) -> None:
    """Die at one operation; a successor must find all, show all, and end the run with more compactions."""
    rng = Random(f"{seed} {at} {power}")
    disk = new_disk(rng)
    length = len(recorded(seed))
    life = Life(disk, list(recorded(seed)))
    disk.fuse = at
    with pytest.raises(Crash):
        live(life, length)
    after = disk.after_crash(power=power)
    after.archive = life.records[: life.safe]
    successor = Life(after, life.records, life.safe)
    found = successor.found
    assert len(found) >= life.safe, "what was acknowledged is lost"
    plain = [record for record in found if not isinstance(record, r.SnapshotTaken)]
    assert plain == list(recorded(seed)[: len(plain)])
    successor.records = [*found, *recorded(seed)[len(plain) :]]
    for ours, theirs in states(after, successor.found):
        assert ours == theirs
    successor.write(len(successor.records))
    successor.squeeze()
    shown = views(after)
    expected = expected_views(seed)
    assert shown == expected
    names = after.names(f"{TREE}/journal")
    assert sum(name.startswith("snap-") and name.endswith(".snap") for name in names) <= 2
    assert not [name for name in names if ".tmp-" in name and name.startswith(("snap-", "hist-"))]
    parts = [name for name in names if name.startswith("hist-")]
    edges = [(int(name[5:20]), int(name[21:36])) for name in parts]
    assert [first for first, _ in edges] == [0, *(last for _, last in edges[:-1])], "a part is missing, or is there twice"


#: A run with workers lost, failures and several epochs.
SEED = 5


@pytest.mark.parametrize("power", [False, True])
def test_a_crash_at_every_tenth_step_loses_nothing(power: bool) -> None:
    for at in range(0, operations(SEED), 10):
        crash_and_go_on(SEED, at, power=power)


@pytest.mark.torture
@pytest.mark.parametrize("power", [False, True])
@pytest.mark.parametrize("seed", [SEED, 11, 17])
def test_a_crash_at_every_step_loses_nothing(seed: int, power: bool) -> None:
    for at in range(operations(seed)):
        crash_and_go_on(seed, at, power=power)


def test_every_kind_of_step_is_among_those() -> None:
    """Rotation, both files of a compaction, the record, and the removals all come to pass."""
    disk = new_disk(Random(0))
    done: list[str] = []
    for kind in ("create", "rename", "unlink", "sync_directory", "sync"):
        action = getattr(disk, kind)

        def noted(*args: Any, kind: str = kind, action: Any = action) -> Any:
            done.extend(f"{kind} {Path(arg).name.split('-')[0]}" for arg in args[-1:] if isinstance(arg, str))
            return action(*args)

        setattr(disk, kind, noted)
    live(Life(disk, list(recorded(SEED))), len(recorded(SEED)))
    for step in ("rename seg", "rename hist", "rename snap", "unlink seg", "unlink snap", "create snap", "create hist"):
        assert step in done


def test_what_a_killed_master_had_no_time_to_remove_is_removed_by_its_successor() -> None:
    disk = new_disk(Random(0))
    life = Life(disk, list(recorded(SEED)))
    for part in (1, 2):
        life.write(part * len(life.records) // 2)
        life.journal.seal()
        assert compact(disk, TREE) is not None
    directory = Directory.open(disk, TREE)
    base = Reader(disk, directory).base
    assert base is not None
    torn = min(name for name in disk.names(directory.path) if name.startswith("seg-")) + ".torn-2"
    disk.close(disk.create(f"{directory.path}/{torn}"))
    left = leftover(directory, base)
    assert left is not None
    assert torn in left.remove
    assert any(name.startswith("seg-") for name in left.remove)
    prune(disk, life.journal, Prune(left.name, left.record, left.index_offset, left.remove))
    assert leftover(directory, base) is None
    assert len(read_tail(disk)) == 0


def read_tail(disk: Disk) -> list[Any]:
    """The frames after the last snapshot."""
    return list(Reader(disk, Directory.open(disk, TREE)))


def test_nothing_to_do_is_no_snapshot() -> None:
    disk = new_disk(Random(0))
    life = Life(disk, list(recorded(SEED)))
    assert compact(disk, TREE) is None
    life.write(20)
    assert compact(disk, TREE) is None, "nothing is sealed yet"
    life.journal.seal()
    assert isinstance(compact(disk, TREE), Compacted)
    assert compact(disk, TREE) is None


def test_a_compactor_that_fails_is_told_of_and_the_run_goes_on(tmp_path: Path) -> None:
    from tests.views.scribe import Scribe

    scribe = Scribe(tmp_path / "tree")
    scribe.begin()
    said: list[str] = []
    command = ["python3", "-c", "import sys; sys.exit('there was no room')"]
    compaction = Compaction(command, scribe.directory, scribe.journal, None, 1 << 30, lambda _, text: said.append(text))
    now = 100.0
    while not said:
        now += 1.0
        assert compaction.news(now) == []
    assert "there was no room" in said[0]
    assert compaction.news(now + 1.0) == [], "it is not tried again at once"
    scribe.join(1)
    scribe.close()
    compaction.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_compaction_that_the_disk_refuses_at_any_step_leaves_the_journal_as_it_was(number: int) -> None:
    files = FaultyFiles()
    files.sync_directory("/")
    records = list(recorded(SEED))
    life = Life(cast("Disk", _remembering(files)), records)
    life.write(len(records))
    life.journal.seal()
    directory = Directory.open(files, TREE)
    whole = [frame.sequence for frame in Reader(files, directory)]
    step, made = 0, None
    while made is None:
        files.fail(WRITING, step, number)
        try:
            made = compact(files, TREE)
        except (OSError, StorageFailed):
            step += 1
        files.recover()
        assert [frame.sequence for frame in Reader(files, directory, before=0)] == whole, "the segments are as they were"
        if Reader(files, directory).base is not None:
            break  # it has its name, and is as good as one whose maker was told so
    assert step > 10
    assert Reader(files, directory).base is not None


def _remembering(files: FaultyFiles) -> FaultyFiles:
    files.archive, files.segment_bytes = [], SEGMENT_BYTES  # type: ignore[attr-defined]
    return files
