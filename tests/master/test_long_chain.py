"""A loop of 200,000 targets, each the follow-on of the one before: the journal stays small, and the master is not held up."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

import jobtree
from jobtree.master import compaction
from jobtree.master import records as r
from jobtree.master.compaction import Compaction
from jobtree.master.effects import Prune
from jobtree.master.events import Compacted
from jobtree.master.journal.reader import Reader
from jobtree.master.nodes import Phase
from jobtree.protocol.messages import FLAG_FOLLOW_ON
from jobtree.views.history import History
from tests.views.scribe import Scribe

COMPACTOR = Path(jobtree.__file__).with_name("_compact.py")
SEGMENT_BYTES = 4 << 20
#: The live state of a chain: a target, the root's result, and what the tree says of itself.
LIVE_BYTES = 4096


class Chain(Scribe):
    """Writes a chain as a master does, three records for each of its targets, and cares for its journal as a master does."""

    def __init__(self, tree: Path) -> None:
        super().__init__(tree, segment_bytes=SEGMENT_BYTES)
        self.begin()
        self.join(1)
        self.said: list[str] = []
        command = [sys.executable, "-P", str(COMPACTOR), self.path]
        self.compaction = Compaction(command, self.directory, self.journal, None, 0, lambda _, text: self.said.append(text))
        self.made: list[Compacted] = []
        self.largest = 0

    def step(self, target: int) -> int:
        """One target of the chain; the next one."""
        number, self.next_number = self.next_number, self.next_number + 1
        follow, self.next_target = self.next_target, self.next_target + 1
        attempt = (self.epoch, number)
        row = [*attempt, "", 0, FLAG_FOLLOW_ON, None, None, self.now, 0.001, 0.001, 0.0, 1000, None, None]
        form: list[list[object]] = [["step", None, {}]]
        self.journal.append(
            [
                r.encode(record)
                for record in (
                    r.AttemptsAssigned(self.now, 1, number, [target, 1]),
                    r.TargetsCreated([60], b"x" * 60, self.now, *attempt, follow, 0, form, [0, 1], {}),
                    r.AttemptsCommitted([0], b"", self.now, 1, [row]),
                )
            ],
            sync=target % 100 == 0,
        )
        self.journal.released()
        return follow

    def care(self) -> None:
        """What a turn of the loop does about the journal's size."""
        for made in self.compaction.news(time.monotonic()):
            self.made.append(made)
            self.put(r.SnapshotTaken(self.now, made.first, made.last, made.bytes, made.sha))
            self.compaction.prune(Prune(made.name, made.record, made.index_offset, made.remove))
            for name in made.remove:
                self.files.unlink(f"{self.directory.path}/{name}")

    def bytes(self, *starts: str) -> int:
        """The size of the journal's files with such names."""
        names = [name for name in self.files.names(self.directory.path) if name.startswith(starts)]
        return sum(self.files.status(f"{self.directory.path}/{name}").bytes for name in names)


@pytest.mark.slow
def test_the_journal_of_a_loop_of_200_000_targets_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "WORTH_BYTES", SEGMENT_BYTES // 2)
    monkeypatch.setattr(compaction, "LOOK_EVERY", 0.0)
    chain = Chain(tmp_path / "tree")
    target = 1
    for number in range(200_000):
        target = chain.step(target)
        chain.care()
        if number % 1000 == 0:
            chain.largest = max(chain.largest, chain.bytes("seg-", "snap-"))
        if chain.compaction.grown_bytes > SEGMENT_BYTES:  # this loop is much faster than a real one: let the compactor keep up
            time.sleep(0.001)
    assert not chain.said
    assert len(chain.made) > 10
    assert chain.largest <= 4 * LIVE_BYTES + 2 * SEGMENT_BYTES
    assert max(made.bytes for made in chain.made) < LIVE_BYTES
    chain.compaction.close()
    chain.close()
    reader = Reader(chain.files, chain.directory)
    assert reader.base is not None
    history = History(chain.path)
    history.poll()
    assert history.tree.counts()[Phase.DONE] == 200_000
    assert len(history.taken["step"].time) + len(history.taken["top"].time) == 200_000
