"""What workers report of their attempts, and what becomes of attempts whose worker is gone."""

from __future__ import annotations

import pytest

from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.nodes import Phase
from jobtree.protocol.messages import Type
from tests.support.office import ROOT, Office

FIRST = Attempt(1, 1)


@pytest.fixture
def office() -> Office:
    office = Office()
    office.hello(1)
    return office


def test_a_repeated_piece_is_journaled_once(office: Office) -> None:
    office.create(1, FIRST, 3)
    office.create(1, FIRST, 3)
    assert not office.wrote(r.TargetsCreated)
    office.create(1, FIRST, 2, first_n=4)
    assert [record.first_n for record in office.wrote(r.TargetsCreated)] == [4]
    assert office.tree.current[FIRST].created == 5


def test_a_repeated_follow_on_is_journaled_once(office: Office) -> None:
    office.create(1, FIRST, 1, first_n=0)
    office.create(1, FIRST, 1, first_n=0)
    assert not office.wrote(r.TargetsCreated)


def test_a_follow_on_may_come_between_children(office: Office) -> None:
    office.create(1, FIRST, 2)
    office.create(1, FIRST, 1, first_n=0)
    office.create(1, FIRST, 2, first_n=3)
    office.done(1, FIRST, created=4, follow=True)
    assert [len(record.rows) for record in office.wrote(r.AttemptsCommitted)] == [1]


def test_a_piece_before_which_one_is_missing_ends_the_session(office: Office) -> None:
    office.create(1, FIRST, 1, first_n=5)
    assert not office.wrote(r.TargetsCreated)
    assert office.did(want.EndSession) == [want.EndSession(1)]


def test_an_end_that_counts_other_creations_ends_the_session_and_the_second_time_the_attempt(office: Office) -> None:
    office.done(1, FIRST, created=2)
    assert office.did(want.EndSession) == [want.EndSession(1)]
    assert not office.step.records
    office.done(1, FIRST, created=2)
    assert [record.attempts for record in office.wrote(r.AttemptsLost)] == [[[1, 1, 1]]]


def test_the_end_of_an_attempt_that_is_not_the_current_one_changes_nothing(office: Office) -> None:
    office.turn(happened.PeerLost(1, "gone"), after=1.0)
    office.turn(after=61.0)
    office.hello(2)
    assert office.given(2) == [(Attempt(1, 2), ROOT)]
    office.hello(1)
    assert not office.wrote(r.AttemptsAdopted)
    office.done(1, FIRST)
    assert not office.wrote(r.AttemptsCommitted)
    office.create(1, FIRST, 2)
    assert not office.wrote(r.TargetsCreated)
    assert office.tree.current[1, 2].created == 0


def test_the_end_of_somebody_elses_attempt_changes_nothing(office: Office) -> None:
    office.hello(2)
    office.done(2, FIRST)
    assert not office.wrote(r.AttemptsCommitted)


def test_ends_of_one_message_are_committed_and_failed_apart() -> None:
    office = Office(root=["t", None, {"cpus": 0.5}])
    office.hello(1)
    office.create(1, FIRST, 3, form=["t", None, {"cpus": 0.25}])
    office.done(1, FIRST, created=3)
    rows = [office.row((1, 2)), office.row((1, 3), cause="exception"), office.row((1, 4))]
    office.hear(1, Type.DONE, [rows, [1, 2, 3]], b"abbccc")
    (committed,) = office.wrote(r.AttemptsCommitted)
    assert ([row[1] for row in committed.rows], committed.lengths, committed.data) == ([2, 4], [1, 3], b"accc")
    (failed,) = office.wrote(r.AttemptsFailed)
    assert ([row[1] for row in failed.rows], failed.data) == ([3], b"bb")


def test_a_failed_attempt_is_tried_again_after_a_growing_pause() -> None:
    office = Office(retries=2)
    office.hello(1)
    pauses = []
    for _ in range(3):
        (attempt,) = office.tree.current
        office.done(1, attempt, cause="exception")
        (failed,) = office.wrote(r.AttemptsFailed)
        verdict = failed.verdicts[0]
        if verdict is None:
            break
        assert not office.given(1)
        pauses.append(verdict - office.now)
        office.turn(after=verdict - office.now)
        assert len(office.given(1)) == 1
    assert 0.125 <= pauses[0] <= 0.25 <= pauses[1] <= 0.5
    assert office.tree.outcome == "failed"


def test_a_targets_own_retries_count_more_than_the_options() -> None:
    office = Office(root=["t", None, {"retries": 0}], retries=5)
    office.hello(1)
    office.done(1, FIRST, cause="exception")
    assert office.tree.outcome == "failed"


@pytest.mark.parametrize("cause", ["signal", "exit", "time"])
def test_a_target_whose_process_is_killed_uses_up_its_tries(cause: str) -> None:
    """In the original it did not: such a target was tried again for ever."""
    office = Office(retries=1)
    office.hello(1)
    office.done(1, FIRST, cause=cause)
    office.turn(after=1.0)
    (attempt,) = office.tree.current
    office.done(1, attempt, cause=cause)
    assert office.tree.outcome == "failed"


def test_a_lost_worker_is_no_fault_of_the_target(office: Office) -> None:
    office.hear(1, Type.STARTED, [[[1, 1, 99.0]]])
    office.turn(after=61.0)
    node = office.tree.nodes[ROOT]
    assert (node.phase, node.tries, node.losses, node.begun) == (Phase.READY, 0, 1, 1)


def test_the_fourth_worker_lost_with_a_target_fails_it() -> None:
    office = Office()
    for peer in (1, 2, 3):
        office.hello(peer)
        office.hear(peer, Type.STARTED, [[[1, peer, 99.0]]])
        office.turn(after=61.0)
        assert office.wrote(r.AttemptsLost)
        assert office.tree.outcome is None
    office.hello(4)
    office.hear(4, Type.STARTED, [[[1, 4, 99.0]]])
    office.turn(after=61.0)
    (failed,) = office.wrote(r.AttemptsFailed)
    assert failed.rows[0][2] == "poison"
    assert office.tree.outcome == "failed"


def test_what_had_only_been_pushed_ahead_is_not_counted_when_a_worker_is_lost() -> None:
    office = Office(target_time=100.0)
    office.hello(1)
    office.create(1, FIRST, 4, form=["t", None, {"expected_time": 1.0}])
    office.done(1, FIRST, created=4)
    assert len(office.given(1)) == 4
    office.turn(after=61.0)
    assert [record.attempts for record in office.wrote(r.AttemptsLost)] == [[[1, 2, 1], [1, 3, 0], [1, 4, 0], [1, 5, 0]]]


def test_a_code_blob_is_journaled_once_and_sent_to_who_needs_it(office: Office) -> None:
    piece = [*FIRST, 1, [["t", None, {}]], [0, 1], {}, [1]]
    office.hear(1, Type.CHILDREN, [[["sha", 4]], [piece]], b"codex")
    (added,) = office.wrote(r.CodeAdded)
    assert (added.sha, added.data) == ("sha", b"code")
    number = len(office.records) - 2
    second = [*FIRST, 2, [["t", None, {}]], [0, 1], {}, [1]]
    office.hear(1, Type.CHILDREN, [[["sha", 4]], [second]], b"codex")
    assert not office.wrote(r.CodeAdded)
    office.hear(1, Type.NEED, [["sha", "unknown"]])
    (send,) = [effect for effect in office.did(want.Send) if effect.type is Type.BLOB]
    assert send.body == [["sha"]]
    assert [tuple(fetch) for fetch in send.fetches] == [(number, 0, 1)]


def test_output_goes_to_the_log_store_with_the_targets_name(office: Office) -> None:
    office.hear(1, Type.LOG, [[[1, 1, 1, 0, 2, 5.0], [9, 9, 1, 0, 3, 5.0]]], b"hixxx")
    (output,) = office.did(want.Output)
    assert (output.target, output.name, output.ordinal, output.stream, output.data) == (ROOT, "t", 1, 1, b"hi")


def test_a_worker_that_drains_gives_back_what_it_has_not_begun_and_gets_nothing_new(office: Office) -> None:
    office.hear(1, Type.RETURNED, [[[1, 1]], True])
    assert [record.attempts for record in office.wrote(r.AttemptsReturned)] == [[[1, 1]]]
    assert not office.given(1)
    office.hello(2)
    assert office.given(2) == [(Attempt(1, 2), ROOT)]
