"""The blocks asked for and the workers that came."""

from __future__ import annotations

from jobtree.master import records as r
from jobtree.master.ledger import Ledger


def ledger(*records: r.Record) -> Ledger:
    made = Ledger()
    for record in records:
        made.apply(record)
    return made


PLANNED = r.BlockPlanned(1.0, "b", "", 3)
KNOWN = r.BlockKnown(2.0, "b", ["x", "y", "z"])


def test_a_planned_block_counts_as_all_its_workers() -> None:
    assert ledger(PLANNED).expected == 3


def test_a_known_block_counts_those_that_have_not_ended() -> None:
    made = ledger(PLANNED, KNOWN, r.BlockEnded(3.0, "b", "y", "killed"))
    assert made.expected == 2
    assert made.blocks["b"].ids == ["x", "y", "z"], "their order is that of the workers' indices"


def test_a_block_is_forgotten_with_its_last_worker() -> None:
    made = ledger(PLANNED, KNOWN, *(r.BlockEnded(3.0, "b", ident, "") for ident in "xyz"))
    assert not made.blocks
    assert made.planned == 1, "its name is not used again"


def test_a_block_that_never_came_to_be_counts_for_nothing() -> None:
    assert ledger(PLANNED, r.BlockEnded(2.0, "b", "", "refused")).expected == 0


def test_workers_are_numbered_over_all_epochs() -> None:
    made = ledger(r.WorkerJoined(1.0, 4, "u", "h", 1, "", 0, 1.0, 1), r.WorkerLeft(2.0, 4, "bye"))
    assert not made.joined
    assert made.last_worker == 4
