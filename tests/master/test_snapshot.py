"""A tree that was written down and read back is the tree, and stays so whatever happens next."""

from __future__ import annotations

from random import Random
from typing import Any

import msgpack
import pytest

from jobtree.errors import JournalDamaged
from jobtree.master import records as r
from jobtree.master.audit import audit, dump
from jobtree.master.ledger import Ledger
from jobtree.master.nodes import Form, Slot, Watch
from jobtree.master.snapshot import Span, items, named_blobs, restore, spans
from jobtree.master.tree import Tree
from jobtree.views.swift import SwiftTree
from tests.simulation import simulate
from tests.simulation.disk import read
from tests.support.garden import TOLERANT, Garden

Both = tuple[Tree, Ledger]


def written_and_read(tree: Tree, ledger: Ledger, into: Tree | None = None) -> Both:
    """By way of bytes, as in a file."""
    into = into if into is not None else Tree()
    data = b"".join(msgpack.packb(item) for item in items(tree, ledger))
    unpacker = msgpack.Unpacker(strict_map_key=False)
    unpacker.feed(data)
    return into, restore(unpacker, into)


def apply(both: Both, record: r.Record) -> None:
    for part in both:
        part.apply(r.decode(r.encode(record)[0]))
    both[0].fresh.clear()
    both[0].unneeded.clear()
    both[0].ended_chains.clear()


def recorded(seed: int) -> list[r.Record]:
    """All the records of a simulated run with its faults."""
    cluster, problem = simulate(seed)
    assert problem is None
    return read(cluster.disk)


def covered(needed: list[Span], kept: list[Span], before: int) -> bool:
    """Whether all payloads of records below ``before`` that are needed are among those that were kept."""
    places: dict[int, set[int]] = {}
    for record, first, count in kept:
        places.setdefault(record, set()).update(range(first, first + count))
    return all(
        set(range(first, first + count)) <= places.get(record, set()) for record, first, count in needed if record < before
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_restored_tree_goes_on_as_the_replayed_one_does(seed: int) -> None:
    records = recorded(seed)
    rng = Random(seed)
    for cut in sorted(rng.sample(range(1, len(records) + 1), min(8, len(records)))):
        replayed: Both = Tree(), Ledger()
        for record in records[:cut]:
            apply(replayed, record)
        restored = written_and_read(*replayed)
        assert dump(*restored) == dump(*replayed)
        assert audit(restored[0]) == audit(replayed[0])
        kept = spans(replayed[0])
        looks = {rng.randint(cut, len(records)) for _ in range(4)} | {len(records)}
        for place, record in enumerate(records[cut:], cut + 1):
            apply(replayed, record)
            apply(restored, record)
            if place in looks:
                assert dump(*restored) == dump(*replayed)
                assert [node.id for node in restored[0].nodes.values()] == [node.id for node in replayed[0].nodes.values()]
                assert covered(spans(restored[0]), kept, cut)


@pytest.mark.parametrize("seed", range(12, 18))
def test_a_reader_s_tree_may_be_written_and_restored_too(seed: int) -> None:
    records = recorded(seed)
    rng = Random(seed)
    for cut in rng.sample(range(1, len(records) + 1), min(6, len(records))):
        replayed: Both = Tree(), Ledger()
        swift: tuple[SwiftTree, Ledger] = SwiftTree(), Ledger()
        for record in records[:cut]:
            apply(replayed, record)
            apply(swift, record)
        swift[0].settle()
        restored = written_and_read(*swift, into=SwiftTree())
        assert dump(*restored) == dump(*replayed)
        for record in records[cut:]:
            apply(replayed, record)
            apply(restored, record)
        assert isinstance(restored[0], SwiftTree)
        restored[0].settle()
        assert dump(*restored) == dump(*replayed)


def test_a_snapshot_of_a_snapshot_is_the_same_snapshot() -> None:
    both: Both = Tree(), Ledger()
    for record in recorded(7)[:200]:
        apply(both, record)
    again = written_and_read(*both)
    assert list(map(plain, items(*again))) == list(map(plain, items(*both)))


def plain(item: list[Any]) -> Any:
    return msgpack.unpackb(msgpack.packb(item), strict_map_key=False)


def test_an_empty_tree_has_a_snapshot_too() -> None:
    assert dump(*written_and_read(Tree(), Ledger())) == dump(Tree(), Ledger())


def test_waiting_children_of_one_piece_are_one_item_and_one_span() -> None:
    garden = Garden()
    garden.run(1, children=1000)
    words = [item[0] for item in items(garden.tree, Ledger())]
    assert words.count("run") == 1
    assert words.count("node") == 1
    children = garden.records.index(next(one for one in garden.records if isinstance(one, r.TargetsCreated) and one.first == 2))
    assert (children, 0, 1000) in spans(garden.tree)


def test_what_is_done_leaves_nothing_behind() -> None:
    """A chain of follow-ons needs as much at its end as at its start."""
    garden = Garden()
    sizes = []
    target = 1
    for _ in range(50):
        (target,) = garden.run(target, follow=True)
        sizes.append(len(list(items(garden.tree, Ledger()))))
    assert max(sizes) == min(sizes)
    assert len(spans(garden.tree)) == 1


def test_attempts_that_have_failed_are_remembered_as_long_as_their_target_is_not_done() -> None:
    garden = Garden()
    failed = garden.assign(1)
    garden.fail(failed, retry_at=0.0)
    tree, _ = written_and_read(garden.tree, Ledger())
    assert tree.nodes[1].over == [tuple(failed)]
    garden.run(1)
    assert not garden.tree.nodes


def test_a_failure_below_what_may_fail_keeps_its_parents_though_they_are_gone() -> None:
    garden = Garden()
    (child,) = garden.run(1, children=1, form=TOLERANT, follow=False)
    grand = garden.run(child, children=2)
    garden.break_down(grand[0])
    garden.break_down(grand[1])
    assert child not in garden.tree.nodes
    assert dump(*written_and_read(garden.tree, Ledger())) == dump(garden.tree, Ledger())


def test_blobs_that_waiting_targets_and_running_attempts_have_named_are_known() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    garden.create(attempt, 2, extras={1: [[], [], [70_000, "sha"]]})
    assert named_blobs(garden.tree) >= {(*attempt, "2")}
    garden.commit(attempt)
    assert named_blobs(garden.tree) >= {(*attempt, "2")}


def test_a_snapshot_of_a_version_with_other_fields_is_read_as_far_as_they_are_known() -> None:
    garden = Garden()
    garden.run(1, children=3)
    garden.assign(2)
    written = [plain(item) for item in items(garden.tree, Ledger())]
    names = written[0][1]["node"]
    for item in written:
        if item[0] == "node":
            item.append("of a later version")
            del item[5 + names.index("mean")]
    names.append("colour")
    names.remove("mean")
    tree = Tree()
    restore(written, tree)
    assert audit(tree) == ""
    assert tree.nodes[2].attempt == garden.tree.nodes[2].attempt
    assert tree.nodes[2].mean == 0


def test_items_that_make_no_sense_are_refused() -> None:
    with pytest.raises(JournalDamaged, match="another version"):
        restore([["fields", {}], ["tree", 1]], Tree())
    with pytest.raises(JournalDamaged, match="another version"):
        restore([["colour", "red"]], Tree())


def test_whoever_adds_to_the_state_adds_to_its_snapshot() -> None:
    """These are written, made anew by those that are, or what a turn hands on; a new one has to be thought about here."""
    written = {"about", "options", "epoch", "next_id", "next_number", "records", "keep_going", "outcome", "tallies", "failed"}
    written |= {"whys", "codes", "result", "nodes", "runs", "root", "epochs", "forgiven", "intact", "door", "submitted"}
    written |= {"spans", "places"}
    news = {"fresh", "answers", "ended_chains", "unneeded", "revoked", "unqueued"}
    assert set(vars(Tree())) == written | news | {"current", "_forms", "_appliers"}
    assert set(vars(Ledger())) == {"blocks", "planned", "joined", "last_worker"}
    assert set(Watch.__slots__) == {"slot", "takers"}
    assert set(Slot.__slots__) == {"kind", "argument", "source", "size", "attempt", "spilled", "uses", "embeds"}
    assert set(Form.__slots__) == {"name", "tolerant", "requests", "tally", "shape"}
