"""The rules of the tree, as records."""

from __future__ import annotations

import tracemalloc

import pytest

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.nodes import Phase, Run
from jobtree.protocol.messages import VALUE_BLOB, VALUE_FAILURE, VALUE_INLINE, VALUE_NONE
from tests.support.garden import PLAIN, TOLERANT, Garden

HELD, READY, RUNNING, WAITING, DONE = Phase.HELD, Phase.READY, Phase.RUNNING, Phase.WAITING, Phase.DONE
FAILED, BLOCKED, CANCELLED = Phase.FAILED, Phase.BLOCKED, Phase.CANCELLED
ROOT = 1


# -- order ------------------------------------------------------------------------------------------------------------


def test_a_root_without_children_completes_the_run() -> None:
    garden = Garden()
    garden.run(ROOT)
    assert garden.tree.outcome == "complete"
    assert not garden.tree.nodes
    assert garden.count(DONE) == 1


def test_a_child_is_provisional_until_its_creator_commits() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    (child,) = garden.create(attempt)
    assert garden.count(Phase.PROVISIONAL) == 1
    assert garden.tree.runs.find(child) is None
    garden.commit(attempt)
    assert garden.count(Phase.PROVISIONAL) == 0
    assert garden.phase(child) is READY


def test_a_failed_attempt_leaves_nothing_behind() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    garden.create(attempt, 5, extras={2: [[], [], [70_000, "sha"]]})
    garden.follow(attempt)
    garden.fail(attempt, retry_at=1.0)
    assert garden.count(Phase.PROVISIONAL) == 0
    assert garden.phase(ROOT) is READY
    assert garden.tree.unneeded == [(1, 1, "3")], "the blob of a target that never was is not needed"
    again = garden.assign(ROOT)
    assert again == Attempt(1, 2)
    garden.commit(again)
    assert garden.tree.outcome == "complete"


def test_a_follow_on_waits_for_every_child() -> None:
    garden = Garden()
    follow, *children = garden.run(ROOT, 3, follow=True)
    for child in children:
        assert garden.phase(follow) is HELD
        garden.run(child)
    assert garden.phase(follow) is READY


def test_a_follow_on_waits_for_the_follow_ons_and_children_below() -> None:
    garden = Garden()
    follow, child = garden.run(ROOT, 1, follow=True)
    childs_follow, grandchild = garden.run(child, 1, follow=True)
    garden.run(grandchild)
    assert garden.phase(follow) is HELD
    (late,) = garden.run(childs_follow, 1)
    assert garden.phase(follow) is HELD
    garden.run(late)
    assert garden.phase(follow) is READY
    garden.run(follow)
    assert garden.tree.outcome == "complete"


def test_a_follow_on_set_before_the_children_waits_for_those_that_come_later() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    follow = garden.follow(attempt)
    (child,) = garden.create(attempt)
    garden.commit(attempt)
    assert garden.phase(follow) is HELD
    garden.run(child)
    assert garden.phase(follow) is READY


def test_a_commit_must_count_what_is_there() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    row = garden.row(attempt)
    garden.create(attempt)
    with pytest.raises(AssertionError, match="lost or gained children"):
        garden.tree.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [row]))


def test_each_target_of_a_run_leaves_it_from_the_front() -> None:
    garden = Garden()
    first, *_ = garden.run(ROOT, 10)
    garden.assign(first, 3)
    (run,) = garden.tree.runs
    assert (run.first, run.count, run.first_n, run.index) == (first + 3, 7, 4, 3)
    assert [node.n for node in garden.tree.current.values()] == [1, 2, 3]
    with pytest.raises(AssertionError, match="from its front"):
        garden.assign(first + 5)


def test_forms_of_one_piece_make_runs_of_their_own() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    forms = [["a", None, {}], ["b", None, {"cpus": 2.0}]]
    garden.apply(r.TargetsCreated([1] * 6, b"abcdef", 0.0, *attempt, 2, 1, forms, [0, 2, 1, 3, 0, 1], {}))
    garden.commit(attempt)
    assert [(run.form.name, run.first, run.count) for run in garden.tree.runs] == [
        ("a", 2, 2),
        ("b", 4, 3),
        ("a", 7, 1),
    ]


# -- trouble ----------------------------------------------------------------------------------------------------------


def test_a_failure_stops_the_ancestors_follow_on_and_not_the_siblings() -> None:
    garden = Garden()
    follow, bad, good = garden.run(ROOT, 2, follow=True)
    garden.break_down(bad)
    assert garden.tree.outcome is None
    assert garden.phase(good) is READY
    garden.run(good)
    assert garden.tree.outcome == "failed"
    assert garden.phase(follow) is HELD
    assert garden.tree.failed[bad]["cause"] == "exception"


def test_a_deep_failure_ends_the_run_when_nothing_else_can_proceed() -> None:
    garden = Garden()
    (left, right) = garden.run(ROOT, 2)
    (deep,) = garden.run(left, 1)
    garden.break_down(deep)
    assert garden.tree.outcome is None
    (other,) = garden.run(right, 1)
    garden.run(other)
    assert garden.tree.outcome == "failed"


def test_a_retried_target_unsticks_all_above_it() -> None:
    garden = Garden()
    follow, child = garden.run(ROOT, 1, follow=True)
    (deep,) = garden.run(child, 1)
    garden.break_down(deep)
    assert garden.tree.outcome == "failed"
    garden.apply(r.TargetsRetried(1.0, [deep]))
    assert garden.tree.outcome is None
    assert not garden.tree.failed
    garden.run(deep)
    assert garden.phase(follow) is READY


def test_a_tolerant_child_that_fails_lets_the_follow_on_run_with_the_failure_as_its_value() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    (child,) = garden.create(attempt, 1, TOLERANT)
    follow = garden.follow(attempt, takes=[1, 1])
    garden.commit(attempt)
    garden.break_down(child)
    assert garden.phase(follow) is READY
    ((_, slot),) = garden.node(follow).takes or []
    assert slot.kind == VALUE_FAILURE
    assert slot.argument["cause"] == "exception"
    garden.run(follow)
    assert garden.tree.outcome == "complete"
    assert child in garden.tree.failed, "it is still reported"


def test_a_tolerant_childs_whole_subtree_may_fail() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    (child,) = garden.create(attempt, 1, TOLERANT)
    follow = garden.follow(attempt)
    garden.commit(attempt)
    childs_follow, below = garden.run(child, 1, follow=True)
    garden.break_down(below)
    assert garden.phase(follow) is READY
    assert garden.count(CANCELLED) == 1, "the child's own follow-on never runs"
    assert childs_follow not in garden.tree.nodes
    garden.run(follow)
    assert garden.tree.outcome == "complete"


def test_a_tolerant_follow_on_speaks_for_its_founder() -> None:
    """Tolerance is a property of the chain, given to its founder: a follow-on that fails is forgiven too."""
    garden = Garden()
    attempt = garden.assign(ROOT)
    (child,) = garden.create(attempt, 1, TOLERANT)
    garden.commit(attempt)
    (childs_follow,) = garden.run(child, follow=True)
    garden.break_down(childs_follow)
    assert garden.tree.outcome == "complete"


def test_keep_going_is_the_default_for_the_roots_children_only() -> None:
    garden = Garden(keep_going=True)
    (child, strict) = garden.run(ROOT, 2)
    (below,) = garden.run(child, 1)
    assert garden.tree.tolerates(garden.node(child))
    garden.break_down(below)
    garden.run(strict)
    assert garden.tree.outcome == "complete"
    assert below in garden.tree.failed


def test_a_child_may_refuse_to_be_forgiven() -> None:
    garden = Garden(keep_going=True)
    (child,) = garden.run(ROOT, 1, form=["t", False, {}])
    garden.break_down(child)
    assert garden.tree.outcome == "failed"


def test_a_refused_target_fails_without_an_attempt() -> None:
    garden = Garden()
    children = garden.run(ROOT, 5)
    garden.apply(r.TargetsRefused(1.0, [children[2]], "no-fit", "too large"))
    assert garden.phase(children[2]) is FAILED
    assert garden.node(children[2]).begun == 0
    assert [run.count for run in garden.tree.runs] == [2, 2]
    assert garden.tree.failed[children[2]]["cause"] == "no-fit"


def test_a_cancelled_chain_counts_as_one_that_cannot_go_on() -> None:
    garden = Garden()
    (one, two) = garden.run(ROOT, 2)
    garden.assign(one)
    garden.apply(r.SubtreesCancelled(1.0, [one]))
    assert not garden.tree.current
    assert garden.phase(one) is CANCELLED
    garden.run(two)
    assert garden.tree.outcome == "failed"


# -- promises ---------------------------------------------------------------------------------------------------------


def taker_of(
    garden: Garden, takes: list[int], after: list[int] | None = None, form: list[object] = PLAIN
) -> tuple[int, int, int]:
    """Two children, and a third that takes promises of theirs; their ids."""
    attempt = garden.assign(ROOT)
    one, two = garden.create(attempt, 2)
    (taker,) = garden.create(attempt, 1, form, extras={0: [takes, after or [], None]})
    garden.commit(attempt)
    return one, two, taker


def test_a_taker_waits_for_the_whole_chain_of_what_it_takes() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [1, 2])
    (follow,) = garden.run(one, follow=True, result=True)
    garden.run(two)
    assert garden.phase(taker) is HELD
    garden.run(follow)
    assert garden.phase(taker) is READY
    takes = garden.node(taker).takes or []
    assert [(key, slot.kind) for key, slot in takes] == [((1, 1, 1), VALUE_INLINE), ((1, 1, 2), VALUE_NONE)]


def test_after_waits_and_takes_nothing() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [], after=[2, 1])
    garden.run(one)
    assert garden.phase(taker) is HELD
    garden.run(two)
    assert garden.phase(taker) is READY
    assert garden.node(taker).takes is None


def test_a_taker_of_what_has_failed_is_blocked() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [1, 2])
    garden.break_down(one)
    assert garden.phase(taker) is BLOCKED
    garden.run(two)
    assert garden.tree.outcome == "failed"
    assert garden.count(BLOCKED) == 1


def test_a_blocked_taker_is_held_again_when_what_failed_is_retried() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [1, 2])
    garden.break_down(one)
    garden.break_down(two)
    garden.apply(r.TargetsRetried(1.0, [one]))
    assert garden.phase(taker) is BLOCKED
    garden.apply(r.TargetsRetried(1.0, [two]))
    assert garden.phase(taker) is HELD
    garden.run(one)
    garden.run(two)
    garden.run(taker)
    assert garden.tree.outcome == "complete"


def test_a_tolerant_taker_that_is_blocked_ends_its_chain_and_is_counted_as_blocked() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [1, 1], form=TOLERANT)
    garden.break_down(one)
    garden.run(two)
    assert garden.count(BLOCKED) == 1, "it never ran, so it is not done"
    assert taker not in garden.tree.nodes
    assert garden.tree.outcome == "failed"


def test_a_returned_promise_is_kept_by_the_target_that_it_names() -> None:
    """An alias is one slot with two names, through as many targets as pass it on."""
    garden = Garden()
    attempt = garden.assign(ROOT)
    garden.create(attempt)
    target = 2
    garden.commit(attempt, result=[1])
    for _ in range(50):
        attempt = garden.assign(target)
        (target,) = garden.create(attempt)
        garden.commit(attempt, result=[1])
    garden.run(target, result=True)
    assert garden.tree.outcome == "complete"
    assert garden.tree.result.kind == VALUE_INLINE


def test_a_returned_promise_may_be_the_follow_ons() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    follow = garden.follow(attempt)
    garden.commit(attempt, result=[0])
    assert garden.tree.result.kind is None
    garden.run(follow, result=[70_000, "sha"])
    assert garden.tree.result.kind == VALUE_BLOB
    assert garden.tree.result.argument == [70_000, "sha", 1, 2]


def test_a_result_is_complete_when_all_promises_inside_it_are() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    one, two = garden.create(attempt, 2)
    garden.commit(attempt, result=True, embeds=[1, 2])
    garden.run(one, result=True)
    garden.run(two)
    embeds = garden.tree.result.embeds
    assert [(key, slot.kind) for key, slot in embeds] == [((1, 1, 1), VALUE_INLINE), ((1, 1, 2), VALUE_NONE)]


def test_a_results_blob_goes_with_its_last_taker() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    (made,) = garden.create(attempt)
    (first,) = garden.create(attempt, extras={0: [[1, 1], [], None]})
    (second,) = garden.create(attempt, extras={0: [[1, 1], [], None]})
    garden.commit(attempt)
    garden.run(made, result=[70_000, "sha"])
    garden.run(first)
    assert garden.tree.unneeded == []
    garden.run(second)
    assert garden.tree.unneeded == [(1, 2, "r")]


def test_a_result_that_nobody_takes_needs_no_blob() -> None:
    garden = Garden()
    (child,) = garden.run(ROOT, 1)
    garden.run(child, result=[70_000, "sha"])
    assert garden.tree.unneeded == [(1, 2, "r")]


def test_the_blob_inside_a_result_stays_as_long_as_the_result() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    (outer,) = garden.create(attempt)
    (taker,) = garden.create(attempt, extras={0: [[1, 1], [], None]})
    garden.commit(attempt)
    attempt = garden.assign(outer)
    (inner,) = garden.create(attempt)
    garden.commit(attempt, result=True, embeds=[1, 1])
    garden.run(inner, result=[70_000, "sha"])
    assert garden.tree.unneeded == []
    garden.run(taker)
    assert garden.tree.unneeded == [(1, 3, "r")]


# -- chains and their temp dirs ---------------------------------------------------------------------------------------


def test_a_chain_hands_its_temp_dir_on_and_it_goes_when_the_chain_has_ended() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    follow = garden.follow(attempt)
    garden.commit(attempt, temp=True)
    assert garden.node(follow).temp == "01/1-1.1"
    attempt = garden.assign(follow)
    (child,) = garden.create(attempt)
    garden.commit(attempt)
    assert garden.tree.ended_chains == []
    garden.run(child)
    assert garden.tree.ended_chains == [1]


def test_a_follow_on_that_is_the_first_to_ask_has_the_dir_named_after_the_chain() -> None:
    garden = Garden()
    (follow,) = garden.run(ROOT, follow=True)
    node = garden.node(follow)
    assert garden.tree.temp_of(node, 1, 2) == "01/1-1.2"
    attempt = garden.assign(follow)
    garden.commit(attempt, temp=True)
    assert garden.tree.ended_chains == [1]


def test_a_founder_that_is_run_again_gets_a_fresh_dir() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    assert garden.tree.temp_of(garden.node(ROOT), *attempt) is None
    garden.fail(attempt, retry_at=0.0)
    attempt = garden.assign(ROOT)
    garden.commit(attempt, temp=True)
    assert garden.tree.ended_chains == [1]


def test_a_chain_that_never_asked_has_nothing_to_remove() -> None:
    garden = Garden()
    (follow,) = garden.run(ROOT, follow=True)
    garden.run(follow)
    assert garden.tree.ended_chains == []


# -- attempts ---------------------------------------------------------------------------------------------------------


def test_a_returned_attempt_counts_for_nothing() -> None:
    garden = Garden()
    attempt = garden.assign(ROOT)
    garden.apply(r.AttemptsReturned(1.0, [list(attempt)]))
    node = garden.node(ROOT)
    assert (node.phase, node.begun, node.tries, node.losses) == (READY, 0, 0, 0)


def test_a_lost_attempt_counts_as_begun_only_if_it_may_have_begun() -> None:
    garden = Garden()
    garden.apply(r.AttemptsLost(1.0, 1, "gone", [[*garden.assign(ROOT), 0]]))
    node = garden.node(ROOT)
    assert (node.begun, node.tries, node.losses) == (0, 0, 0)
    garden.apply(r.AttemptsLost(1.0, 1, "gone", [[*garden.assign(ROOT), 1]]))
    assert (node.begun, node.tries, node.losses) == (1, 0, 1)


def test_an_attempt_that_the_journal_has_not_heard_of_can_be_adopted() -> None:
    garden = Garden()
    children = garden.run(ROOT, 5)
    garden.apply(r.AttemptsAdopted(1.0, 7, [[1, 99, children[2]]]))
    node = garden.tree.current[1, 99]
    assert (node.id, node.phase, node.worker) == (children[2], RUNNING, 7)
    garden.run(children[0])


def test_an_epoch_numbers_its_attempts_from_1() -> None:
    garden = Garden()
    (child,) = garden.run(ROOT, 1)
    garden.apply(r.EpochBegan(1.0, 2, "host", 2, {}))
    assert garden.assign(child) == Attempt(2, 1)


def test_retrying_gives_all_attempts_again() -> None:
    garden = Garden()
    garden.fail(garden.assign(ROOT), retry_at=0.0)
    garden.fail(garden.assign(ROOT))
    node = garden.node(ROOT)
    assert (node.tries, node.begun) == (2, 2)
    garden.apply(r.TargetsRetried(1.0, [ROOT]))
    assert (node.tries, node.begun) == (0, 2), "what users see goes on counting"


# -- sizes ------------------------------------------------------------------------------------------------------------


def many(garden: Garden, pieces: int, size: int) -> None:
    attempt = garden.assign(ROOT)
    for number in range(pieces):
        garden.tree.apply(
            r.TargetsCreated(
                [3] * size, b"abc" * size, 0.0, *attempt, 2 + number * size, 1 + number * size, [PLAIN], [0, size], {}
            )
        )
    garden.commit(attempt)


def test_a_hundred_thousand_children_of_one_target_wait_as_runs() -> None:
    garden = Garden()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    many(garden, 100, 1000)
    each = (tracemalloc.get_traced_memory()[0] - before) / 100_000
    tracemalloc.stop()
    assert garden.count(READY) == 100_000
    assert len(list(garden.tree.runs)) == 100
    assert all(isinstance(what, Run) for what in garden.tree.fresh[1:])
    assert each < 400, f"a waiting target costs {each:.0f} bytes"
    garden.assign(2, 1000)
    assert garden.count(READY) == 99_000


def test_a_chain_of_two_thousand_follow_ons() -> None:
    garden = Garden()
    target = ROOT
    for _ in range(2000):
        (target,) = garden.run(target, follow=True)
    garden.run(target)
    assert garden.tree.outcome == "complete"
    assert garden.count(DONE) == 2001


def test_recursion_a_thousand_deep() -> None:
    garden = Garden()
    target = ROOT
    for _ in range(1000):
        attempt = garden.assign(target)
        (target,) = garden.create(attempt)
        garden.follow(attempt)
        garden.tree.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [garden.row(attempt)]))
    garden.run(target)
    for follow in sorted((node.id for node in garden.tree.nodes.values() if node.phase in (HELD, READY)), reverse=True):
        attempt = Attempt(1, garden.tree.next_number)
        garden.tree.apply(r.AttemptsAssigned(0.0, 1, attempt.number, [follow, 1]))
        garden.tree.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [garden.row(attempt)]))
    assert garden.tree.outcome == "complete"


def test_a_failure_a_thousand_deep_reaches_the_root() -> None:
    garden = Garden()
    target = ROOT
    for _ in range(1000):
        attempt = garden.assign(target)
        (target,) = garden.create(attempt)
        garden.tree.apply(r.AttemptsCommitted([0], b"", 0.0, 1, [garden.row(attempt)]))
    garden.break_down(target)
    assert garden.tree.outcome == "failed"
    garden.apply(r.TargetsRetried(1.0, [target]))
    assert garden.tree.outcome is None


def test_a_replayed_tree_is_the_same() -> None:
    garden = Garden()
    one, two, taker = taker_of(garden, [1, 2], after=[2, 1])
    garden.assign(one)
    garden.run(two, 3, follow=True, result=True, temp=True)
    garden.fail(Attempt(1, 2), retry_at=3.0)
    garden.create(garden.assign(one), 4)
    assert garden.phase(taker) is HELD
    assert garden.same_when_replayed()
