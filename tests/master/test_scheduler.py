"""Which ready target goes where, and how much is pushed ahead."""

from __future__ import annotations

from typing import Any

from jobtree.ids import NOBODY, Attempt
from jobtree.master.nodes import Form, Node, Phase, Run, Source
from jobtree.master.roster import Worker
from jobtree.master.scheduler import MOST_IN_A_TURN, Scheduler

PARENT = Node(1, None, Form("p", None, {}, [0] * 9), Source(0, 0), NOBODY, 1, 0)


def form(name: str = "t", **requests: Any) -> Form:
    return Form(name, None, requests, [0] * 9)


def run_of(count: int, what: Form, first: int = 2, depth: int = 1) -> Run:
    parent = Node(1, None, what, Source(0, 0), NOBODY, 1, depth - 1)
    return Run(parent, Attempt(1, 1), what, first, 1, count, Source(5, 0), 10, 0.0)


def node_of(target: int, what: Form, depth: int = 1) -> Node:
    return Node(target, PARENT, what, Source(5, 0), Attempt(1, 1), 1, depth)


def worker(number: int = 1, cpus: float = 1.0, memory: int = 8 << 30, gpus: float = 0.0) -> Worker:
    return Worker(number, f"u{number}", "h", 1, "", 0, cpus, memory, gpus)


def scheduler(target_time: float = 0.2) -> Scheduler:
    return Scheduler(1.0, 1 << 30, target_time)


def given(one: Scheduler, workers: list[Worker], now: float = 0.0) -> list[tuple[int, int, int]]:
    """Worker, first target, count; made true as the caller does."""
    found = []
    for to, what, amount in one.assign(workers, now):
        first = what.first if isinstance(what, Run) else what.id
        found.append((to.number, first, amount))
        if isinstance(what, Run):
            what.first += amount
            what.count -= amount
        else:
            what.phase = Phase.RUNNING
        for offset in range(amount):
            to.held[1, first + offset] = node_of(first + offset, what.form)
    return found


def test_free_slots_are_filled_evenly() -> None:
    one = scheduler()
    one.ready(run_of(10, form()), 0.0)
    assert given(one, [worker(1, 2.0), worker(2, 1.0)]) == [(1, 2, 2), (2, 4, 1)]
    assert one.queued == 7
    assert given(one, [worker(3, 64.0), worker(4, 64.0)]) == [(3, 5, 4), (4, 9, 3)]


def test_the_deepest_come_first_and_a_higher_priority_before_them() -> None:
    one = scheduler()
    one.ready(node_of(10, form(), depth=1), 0.0)
    one.ready(node_of(20, form(), depth=5), 0.0)
    one.ready(node_of(30, form(priority=1), depth=0), 0.0)
    assert [first for _, first, _ in given(one, [worker(1, 3.0)])] == [30, 20, 10]


def test_equals_go_in_the_order_in_which_they_became_ready() -> None:
    one = scheduler()
    same = form()
    for target in (5, 4, 6):
        one.ready(node_of(target, same), 0.0)
    assert [first for _, first, _ in given(one, [worker(1, 3.0)])] == [5, 4, 6]


def test_a_target_that_was_begun_before_goes_to_the_front() -> None:
    one = scheduler()
    again = node_of(9, form())
    again.begun = 1
    one.ready(node_of(5, form()), 0.0)
    one.ready(again, 0.0)
    assert given(one, [worker()]) == [(1, 9, 1)]


def test_what_fits_nowhere_does_not_stop_the_rest() -> None:
    one = scheduler()
    one.ready(node_of(5, form(cpus=2.0), depth=9), 0.0)
    one.ready(node_of(6, form()), 0.0)
    assert given(one, [worker()]) == [(1, 6, 1)]
    assert [shape.cpus for shape in one.waiting()] == [2.0]


def test_memory_and_gpus_are_reserved_like_cpus() -> None:
    one = scheduler()
    one.ready(run_of(9, form(cpus=0.5, memory=3 << 30)), 0.0)
    one.ready(run_of(9, form("g", cpus=0.5, gpus=1.0), first=20), 0.0)
    a = worker(1, 8.0, memory=7 << 30, gpus=1.0)
    assert sorted(given(one, [a])) == [(1, 2, 2), (1, 20, 1)]
    assert (a.free_cpus, a.free_gpus) == (6.5, 0.0)


def test_a_target_that_says_nothing_of_memory_takes_its_share_of_a_small_worker() -> None:
    one = scheduler()
    one.ready(run_of(9, form()), 0.0)
    a = worker(1, 4.0, memory=1 << 30)
    assert given(one, [a]) == [(1, 2, 4)]
    assert a.free_memory == 0


def test_an_unknown_name_is_not_pushed_ahead() -> None:
    one = scheduler()
    one.ready(run_of(100, form()), 0.0)
    assert given(one, [worker()]) == [(1, 2, 1)]


def test_a_known_quick_name_is_pushed_ahead_up_to_the_target_time() -> None:
    one = scheduler(target_time=0.2)
    quick = form()
    for _ in range(5):
        one.learn(quick, 0.01)
    one.ready(run_of(100, quick), 0.0)
    assert given(one, [worker()]) == [(1, 2, 1), (1, 3, 19)]


def test_an_expected_time_that_was_given_serves_until_one_was_learned() -> None:
    one = scheduler()
    assert one.expected(form(expected_time=3.0)) == 3.0
    assert one.expected(form()) is None
    for _ in range(5):
        one.learn(form(), 1.0)
    assert one.expected(form(expected_time=3.0)) == 1.0


def test_nobody_gets_the_whole_end_of_a_queue() -> None:
    one = scheduler(target_time=100.0)
    quick = form(expected_time=0.1)
    one.ready(run_of(12, quick), 0.0)
    counts = dict.fromkeys((1, 2), 0)
    for number, _, amount in given(one, [worker(1), worker(2)]):
        counts[number] += amount
    assert counts[1] < 12
    assert counts[2] > 1


def test_nothing_is_pushed_behind_a_target_that_is_overdue() -> None:
    one = scheduler()
    quick = form(expected_time=0.01)
    one.ready(run_of(100, quick), 0.0)
    a = worker()
    given(one, [a])
    a.begun[1, 2] = 0.0
    assert given(one, [a], now=50.0) == []


def test_a_target_waits_for_its_time_to_be_tried_again() -> None:
    one = scheduler()
    later = node_of(5, form())
    later.not_before = 7.0
    one.ready(later, 1.0)
    assert given(one, [worker()]) == []
    assert one.next_wake == 7.0
    one.wake(7.0)
    assert given(one, [worker()]) == [(1, 5, 1)]


def test_a_node_that_is_not_ready_any_more_is_passed_over() -> None:
    one = scheduler()
    gone = node_of(5, form())
    one.ready(gone, 0.0)
    one.ready(node_of(6, form()), 0.0)
    gone.phase = Phase.CANCELLED
    assert given(one, [worker()]) == [(1, 6, 1)]
    assert one.queued == 0


def test_what_is_given_back_is_free_again() -> None:
    one = scheduler()
    a = worker()
    one.reserve(a, form(), 3)
    assert a.free_cpus == -2.0
    one.reserve(a, form(), -3)
    assert (a.free_cpus, a.free_memory, a.backlog) == (1.0, 8 << 30, 0.0)


def test_fractions_of_cpus_do_not_drift_away() -> None:
    """Three tenths taken at once and given back one by one leave less than was there, in floating point."""
    one = scheduler()
    tenth, whole = form(cpus=0.1), form("whole")
    place = worker(1, 1.0)
    for number in range(3):
        place.held[1, number] = node_of(number + 2, tenth)
    one.reserve(place, tenth, 3)
    for number in range(3):
        del place.held[1, number]
        one.release(place, tenth)
    one.ready(run_of(1, whole), 0.0)
    assert given(one, [place]) == [(1, 2, 1)]


def test_an_expected_time_of_nothing_is_a_short_one() -> None:
    one = scheduler()
    one.ready(run_of(100, form(expected_time=0)), 0.0)
    assert sum(count for _, _, count in given(one, [worker(1)])) == 100


def test_one_worker_gets_no_more_in_a_turn_than_fits_into_a_few_records() -> None:
    one = scheduler(target_time=1e6)
    for first in range(2, 50_000, 1000):
        one.ready(run_of(1000, form(expected_time=0.001), first), 0.0)
    assert sum(count for _, _, count in given(one, [worker(1)])) <= 1001


def test_a_turn_ends_though_there_is_more_room_and_more_to_do_and_the_next_one_goes_on() -> None:
    one = scheduler()
    one.ready(run_of(12_000, form()), 0.0)
    many = [worker(number, 64.0, memory=1 << 50) for number in range(1, 201)]
    turns = [sum(count for _, _, count in given(one, many)) for _ in range(7)]
    assert MOST_IN_A_TURN <= turns[0] < MOST_IN_A_TURN + 64
    assert sum(turns) == 12_000
    assert not one.unsettled
    assert max(len(worker.held) for worker in many) <= 64
