"""Cancelling and bringing back, record by record; and at random, with the audit after each record."""

from __future__ import annotations

from random import Random

import pytest

from jobtree.master import records as r
from jobtree.master.audit import dump
from jobtree.master.choices import Wanted, to_cancel, to_retry
from jobtree.master.ledger import Ledger
from jobtree.master.nodes import Phase
from jobtree.master.snapshot import items, restore
from jobtree.master.tree import Tree
from jobtree.protocol.messages import FLAG_NAMED, ROW_FLAGS, VALUE_CANCELLED
from tests.support.garden import PLAIN, TOLERANT, Garden


def cancel(garden: Garden, *targets: int) -> None:
    garden.apply(r.SubtreesCancelled(garden.now, list(targets)))


def retry(garden: Garden, *targets: int) -> None:
    garden.apply(r.TargetsRetried(garden.now, list(targets)))


def test_a_cancelled_target_never_starts_and_its_parent_is_stuck() -> None:
    garden = Garden()
    (child,) = garden.run(1, 1)
    cancel(garden, child)
    assert garden.phase(child) is Phase.CANCELLED
    assert garden.tree.outcome == "failed"


def test_everything_below_a_cancelled_target_is_cancelled_and_what_runs_is_revoked() -> None:
    garden = Garden()
    top, other = garden.run(1, 2)
    first, *_ = garden.run(top, 1000)
    attempt = garden.assign(first)
    (below,) = garden.create(attempt)
    cancel(garden, top)
    assert [node.id for node in garden.tree.revoked] == [first]
    assert garden.phase(top) is Phase.CANCELLED
    assert garden.count(Phase.CANCELLED) == 1001
    assert below not in garden.tree.nodes
    assert garden.tree.outcome is None
    garden.run(other)
    assert garden.tree.outcome == "failed"


def test_a_follow_on_is_cancelled_with_its_predecessor_and_comes_back_with_it() -> None:
    garden = Garden()
    (top,) = garden.run(1, 1)
    follow, child = garden.run(top, 1, follow=True)
    cancel(garden, top)
    assert garden.phase(follow) is garden.phase(child) is Phase.CANCELLED
    retry(garden, top)
    assert garden.phase(top) is Phase.WAITING
    assert garden.phase(follow) is Phase.HELD
    garden.run(child)
    garden.run(follow)
    assert garden.tree.outcome == "complete"
    assert garden.same_when_replayed()


def test_a_follow_on_that_was_cancelled_alone_stops_its_chain_when_its_turn_comes() -> None:
    garden = Garden()
    follow, child = garden.run(1, 1, follow=True)
    cancel(garden, follow)
    assert garden.tree.outcome is None
    garden.run(child)
    assert garden.phase(follow) is Phase.CANCELLED
    assert garden.tree.outcome == "failed"
    retry(garden, follow)
    garden.run(follow)
    assert garden.tree.outcome == "complete"


def test_takers_of_what_was_cancelled_are_blocked_and_go_on_when_it_comes_back() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    maker, taker = garden.create(attempt, 2, extras={1: [[1, 1], [], None]})
    garden.commit(attempt)
    cancel(garden, maker)
    assert garden.phase(taker) is Phase.BLOCKED
    retry(garden, maker)
    assert garden.phase(taker) is Phase.HELD
    garden.run(maker)
    assert garden.phase(taker) is Phase.READY


def test_one_of_many_waiting_targets_can_be_cancelled_and_brought_back() -> None:
    garden = Garden()
    many = garden.run(1, 1000)
    cancel(garden, many[500])
    assert garden.count(Phase.READY) == 999
    retry(garden, many[500])
    assert garden.count(Phase.READY) == 1000
    assert garden.same_when_replayed()


def test_bringing_back_one_target_below_what_was_cancelled_brings_only_that_and_the_way_to_it() -> None:
    garden = Garden()
    (top,) = garden.run(1, 1)
    one, two = garden.run(top, 2)
    garden.run(one, 1)
    cancel(garden, top)
    retry(garden, two)
    assert garden.phase(top) is Phase.WAITING
    assert garden.phase(one) is Phase.CANCELLED
    assert garden.phase(two) is Phase.READY
    garden.run(two)
    assert garden.tree.outcome == "failed"


def test_what_may_fail_ends_when_it_is_cancelled_and_its_taker_is_told() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    (child,) = garden.create(attempt, form=TOLERANT)
    follow = garden.follow(attempt, takes=[1, 1])
    garden.commit(attempt)
    garden.run(child, 10)
    cancel(garden, child)
    assert garden.phase(follow) is Phase.READY
    assert [slot.kind for _, slot in garden.node(follow).takes or ()] == [VALUE_CANCELLED]
    assert child not in garden.tree.nodes
    assert len(list(garden.tree.runs)) == 0


def test_an_attempt_that_cancels_its_own_child_is_followed_up_at_once() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    garden.create(attempt, 3)
    follow = garden.follow(attempt, takes=[2, 1])
    row = garden.row(attempt)
    garden.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [[*row, [[*attempt, n] for n in (1, 2, 3)]]]))
    assert garden.phase(follow) is Phase.READY
    assert garden.count(Phase.CANCELLED) == 3
    assert garden.same_when_replayed()


def test_a_target_cancels_a_sibling_by_a_handle_though_its_chain_has_gone_on() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    watcher, victim = garden.create(attempt, 2)
    row = garden.row(attempt)
    row[ROW_FLAGS] |= FLAG_NAMED
    garden.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [row]))
    watching = garden.assign(watcher)
    (later,) = garden.run(victim, follow=True)
    running = garden.assign(later)
    garden.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [[*garden.row(watching), [[*attempt, 2]]]]))
    assert [node.attempt for node in garden.tree.revoked] == [running]
    assert garden.tree.outcome == "complete"


def test_a_target_that_was_never_named_and_one_that_has_ended_are_not_cancelled() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    watcher, other = garden.create(attempt, 2)
    garden.commit(attempt)
    watching = garden.assign(watcher)
    garden.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [[*garden.row(watching), [[*attempt, 2], [9, 9, 9]]]]))
    assert garden.phase(other) is Phase.READY


def test_the_whole_run_can_be_cancelled_and_brought_back() -> None:
    garden = Garden()
    (child,) = garden.run(1, 1)
    cancel(garden, 1)
    assert garden.tree.outcome == "failed"
    retry(garden, 1)
    assert garden.tree.outcome is None
    garden.run(child)
    assert garden.tree.outcome == "complete"


def test_people_are_told_why_a_target_cant_be_cancelled() -> None:
    garden = Garden()
    one, two = garden.run(1, 2)
    garden.run(one)
    cancel(garden, two)
    choice = to_cancel(garden.tree, [one, two, 99, one], 0.0)
    assert choice.records == []
    assert choice.refused == {one: "it is done", two: "it is cancelled already", 99: "there is no such target"}


def test_what_was_cancelled_is_tried_again_only_when_it_is_meant() -> None:
    garden = Garden()
    one, two = garden.run(1, 2)
    garden.break_down(one)
    cancel(garden, two)
    assert to_retry(garden.tree, Wanted(), 0.0, 1).targets == [one]
    assert to_retry(garden.tree, Wanted(cause="cancelled"), 0.0, 1).targets == [two]
    assert to_retry(garden.tree, Wanted([two]), 0.0, 1).targets == [two]
    assert to_retry(garden.tree, Wanted([1]), 0.0, 1).targets == [one, two]
    assert to_retry(garden.tree, Wanted([1], cause="exception"), 0.0, 1).targets == [one]


def test_with_more_memory_means_a_multiple_of_what_was_asked_for_or_of_the_default() -> None:
    garden = Garden()
    one, two = garden.run(1, 1, form=["t", None, {"memory": 100}])[0], None
    garden.break_down(one)
    assert two is None
    (record,) = to_retry(garden.tree, Wanted(factor=2.0), 0.0, 7).records
    assert isinstance(record, r.TargetsRetried)
    assert record.memory == 200
    garden.apply(record)
    assert garden.node(one).form.requests == {"memory": 200}
    assert garden.same_when_replayed()


@pytest.mark.parametrize("seed", range(150))
def test_whatever_is_cancelled_and_brought_back_the_tree_stays_sound(seed: int) -> None:
    """The garden audits the tree after each record; at the end all is brought back, and the run can be completed."""
    rng = Random(seed)
    garden = Garden()
    for _ in range(60):
        _something(garden, rng)
    tree = garden.tree
    assert garden.same_when_replayed()
    restored = Tree()
    restore(list(items(tree, Ledger())), restored)
    assert dump(restored, Ledger()) == dump(tree, Ledger())
    for _ in range(500):
        if tree.outcome == "complete":
            break
        if choice := to_retry(tree, Wanted([1]), garden.now, 1).records:
            garden.apply(choice[0])
        elif tree.current:
            garden.commit(next(iter(tree.current)))  # type: ignore[arg-type]
        else:
            ready = [node.id for node in tree.nodes.values() if node.phase is Phase.READY]
            ready += [run.first for run in tree.runs if not run.withdrawn]
            garden.assign(ready[0])
    assert tree.outcome == "complete"


def _something(garden: Garden, rng: Random) -> None:
    tree = garden.tree
    if tree.outcome == "complete":
        return
    draw = rng.random()
    ready = [node.id for node in tree.nodes.values() if node.phase is Phase.READY]
    ready += [run.first for run in tree.runs if not run.withdrawn]
    if draw < 0.35 and ready:
        garden.assign(rng.choice(ready))
    elif draw < 0.7 and tree.current:
        _end(garden, rng)
    elif draw < 0.85:
        known = [target for target in range(1, tree.next_id) if tree.nodes.get(target) or tree.runs.find(target)]
        choice = to_cancel(tree, [rng.choice(known)] if known else [], garden.now)
        for record in choice.records:
            garden.apply(record)
    elif cancelled := [node.id for node in tree.nodes.values() if node.phase in (Phase.CANCELLED, Phase.FAILED)]:
        for record in to_retry(tree, Wanted([rng.choice(cancelled)]), garden.now, 1).records:
            garden.apply(record)


def _end(garden: Garden, rng: Random) -> None:
    tree = garden.tree
    attempt = rng.choice(list(tree.current.values())).attempt
    if rng.random() < 0.15:
        garden.fail(attempt)
        return
    count = rng.choice((0, 0, 1, 3, 12)) if tree.next_id < 150 else 0
    if count:
        extras = {count - 1: [[1, count - 1], [], None]} if count > 1 and rng.random() < 0.5 else {}
        garden.create(attempt, count, form=rng.choice((PLAIN, PLAIN, TOLERANT)), extras=extras)
    if rng.random() < 0.4 and tree.next_id < 150:
        garden.follow(attempt)
    row = garden.row(attempt)
    row[ROW_FLAGS] |= FLAG_NAMED if rng.random() < 0.5 else 0
    own = [[*attempt, n] for n in range(1, count + 1) if rng.random() < 0.2]
    parent = tree.current[attempt].parent
    if parent is not None and rng.random() < 0.3:
        own.append([*parent.attempt, rng.randint(1, 5)])
    garden.apply(r.AttemptsCommitted([0], b"", garden.now, 1, [[*row, own] if own else row]))
