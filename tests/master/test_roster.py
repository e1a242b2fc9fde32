"""Workers, sessions, and the comparison of what is held with what should be."""

from __future__ import annotations

import pytest

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.roster import Roster, Worker, about_worker, reconcile
from jobtree.protocol.messages import HELD_RUNNING, VERDICT_ADOPT, VERDICT_CANCEL
from tests.support.garden import Garden

JOINED = r.WorkerJoined(1.0, 1, "u", "h", 2, "b", 0, 2.0, 100)


@pytest.fixture
def roster() -> Roster:
    made = Roster()
    made.join(JOINED)
    return made


def test_a_worker_begins_with_all_that_it_has_free(roster: Roster) -> None:
    (worker,) = roster
    assert (worker.free_cpus, worker.free_memory, worker.name) == (2.0, 100, "w1@h")
    assert roster.next_number == 2


def test_a_new_session_replaces_the_old_one(roster: Roster) -> None:
    (worker,) = roster
    assert roster.open_session(worker, 5, 1.0) is None
    assert roster.open_session(worker, 6, 2.0) == 5
    assert list(roster.by_peer) == [6]


def test_a_worker_without_a_session_has_some_time_to_come_back(roster: Roster) -> None:
    (worker,) = roster
    roster.open_session(worker, 5, 1.0)
    assert roster.close_session(5, 10.0, 60.0) is worker
    assert worker.lost_at == 70.0
    roster.open_session(worker, 6, 20.0)
    assert worker.lost_at is None
    assert roster.close_session(5, 30.0, 60.0) is None, "the old session's end means nothing any more"


def test_a_worker_that_leaves_is_forgotten_everywhere(roster: Roster) -> None:
    (worker,) = roster
    roster.open_session(worker, 5, 1.0)
    roster.leave(1)
    assert (len(roster), roster.by_peer, roster.by_uid) == (0, {}, {})


def compared(
    garden: Garden, held: list[list[int]], mine: list[Attempt] | None = None
) -> tuple[list[list[int]], list[list[int]], list[Attempt]]:
    worker = Worker(1, "u", "h", 1, "", 0, 1.0, 1)
    for attempt in mine or []:
        worker.held[attempt] = garden.tree.current[attempt]
    found = reconcile(garden.tree, worker, held)
    return found.verdicts, found.adopted, found.missing


def test_what_both_sides_know_goes_on_and_the_worker_learns_how_much_is_on_disk() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    garden.create(attempt, 4)
    assert compared(garden, [[1, 1, 1, 9, HELD_RUNNING]], [attempt]) == ([[1, 1, VERDICT_ADOPT, 4]], [], [])


def test_what_the_worker_does_not_list_is_missing() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    assert compared(garden, [], [attempt]) == ([], [], [attempt])


def test_an_attempt_of_an_earlier_epoch_is_adopted_if_its_target_is_ready() -> None:
    garden = Garden()
    (child, _) = garden.run(1, 2)
    garden.apply(r.EpochBegan(1.0, 2, "host", 1, {}))
    assert compared(garden, [[1, 9, child, 0, HELD_RUNNING]]) == ([[1, 9, VERDICT_ADOPT, 0]], [[1, 9, child]], [])


def test_an_attempt_that_another_worker_is_noted_for_changes_hands() -> None:
    garden = Garden()
    garden.assign(1, worker=7)
    assert compared(garden, [[1, 1, 1, 0, HELD_RUNNING]]) == ([[1, 1, VERDICT_ADOPT, 0]], [[1, 1, 1]], [])


def test_an_attempt_is_cancelled_whose_target_is_done_failed_or_runs_elsewhere() -> None:
    garden = Garden()
    done, failed, elsewhere = garden.run(1, 3)
    garden.run(done)
    garden.break_down(failed)
    garden.assign(elsewhere)
    held = [[1, 50 + target, target, 0, HELD_RUNNING] for target in (done, failed, elsewhere, 99)]
    verdicts, adopted, _ = compared(garden, held)
    assert {verdict[2] for verdict in verdicts} == {VERDICT_CANCEL}
    assert adopted == []


def test_an_attempt_that_was_given_back_is_not_adopted() -> None:
    garden = Garden()
    attempt = garden.assign(1)
    garden.apply(r.AttemptsReturned(1.0, [list(attempt)]))
    assert compared(garden, [[1, 1, 1, 0, HELD_RUNNING]])[0] == [[1, 1, VERDICT_CANCEL, 0]]


def test_a_hello_makes_the_record_of_a_worker() -> None:
    hello = {"uid": "u", "host": "h", "pid": 2, "block": "b", "index": 0, "cpus": 2, "memory": 100, "gpus": 0}
    assert about_worker(hello, 1, 1.0) == JOINED
