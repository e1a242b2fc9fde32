"""Sessions: who is welcome, what is adopted, who is given up and when."""

from __future__ import annotations

import pytest

from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.protocol.messages import HELD_ENDED, HELD_RUNNING, VERDICT_ADOPT, VERDICT_CANCEL, Type
from tests.support.office import ROOT, Office

FIRST = Attempt(1, 1)


@pytest.mark.parametrize(
    ("about", "word"),
    [({"run": "other"}, "another run"), ({"version": "0.9"}, "jobtree 0.9"), ({"python": "3.12"}, "Python 3.12")],
)
def test_a_worker_that_does_not_fit_is_refused_in_words(about: dict[str, str], word: str) -> None:
    office = Office()
    office.hello(1, **about)
    ((text,),) = office.sent(Type.REJECT)
    assert word in text
    assert office.did(want.EndSession)
    assert not office.step.records


def test_a_worker_that_comes_back_goes_on_with_what_it_holds() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.create(1, FIRST, 2)
    office.turn(happened.PeerLost(1, "cut"))
    office.hello(2, uid="w", held=[[1, 1, ROOT, 2, HELD_RUNNING]])
    ((settings, verdicts),) = office.sent(Type.WELCOME)
    assert settings["worker"] == 1
    assert verdicts == [[1, 1, VERDICT_ADOPT, 2]]
    assert not office.step.records, "nothing has changed, so nothing is journaled"
    office.done(2, FIRST, created=2)
    assert office.wrote(r.AttemptsCommitted)


def test_while_the_journal_cannot_be_written_a_worker_is_put_off_and_not_taken_for_lost() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.turn(happened.Paused("no room"))
    for peer in range(2, 9):
        office.now += 50.0
        office.hello(peer, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
        busy, *ends = office.step.at_once[-2:]
        assert busy == want.Send(peer, Type.BUSY, [5.0, "no room"])
        assert ends == [want.EndSession(peer)]
        assert not office.step.records, "nothing was decided"
        assert not office.sent(Type.WELCOME)
    office.turn(happened.Paused(None))
    office.hello(9, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    ((_, verdicts),) = office.sent(Type.WELCOME)
    assert verdicts == [[1, 1, VERDICT_ADOPT, 0]]


def test_a_worker_that_is_put_off_has_no_other_session() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.turn(happened.Paused("no room"))
    office.hello(2, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    assert want.EndSession(1) in office.step.at_once
    office.turn(after=59.0)
    assert len(office.state.core.roster) == 1
    office.turn(after=2.0)
    assert len(office.state.core.roster) == 0, "it has not come back"


def test_a_second_session_of_a_worker_ends_the_first() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.hello(2, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    assert office.did(want.EndSession) == [want.EndSession(1)]


def test_what_a_worker_never_got_is_given_again() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.turn(happened.PeerLost(1, "cut"))
    office.hello(2, uid="w")
    assert [record.attempts for record in office.wrote(r.AttemptsReturned)] == [[[1, 1]]]
    assert office.given(2) == [(Attempt(1, 2), ROOT)]


def test_a_lost_attempt_is_adopted_if_nobody_else_has_its_target() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.turn(after=61.0)
    office.hello(2, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    assert [record.attempts for record in office.wrote(r.AttemptsAdopted)] == [[[1, 1, ROOT]]]
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_ADOPT, 0]]
    assert not office.given(2), "its one cpu is taken"
    office.done(2, FIRST)
    assert office.tree.outcome == "complete"


def test_a_lost_attempt_that_had_created_something_is_not_adopted() -> None:
    """What it had created was dropped, with the blobs, and the worker may have forgotten what was acknowledged."""
    office = Office()
    office.hello(1, uid="w")
    office.create(1, FIRST, 1, extras={0: [[], [], [70_000, "sha"]]})
    office.turn(after=61.0)
    assert office.did(want.RemoveBlob) == [want.RemoveBlob(1, 1, "1")]
    office.hello(2, uid="w", held=[[1, 1, ROOT, 1, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_CANCEL, 0]]
    assert office.given(2) == [(Attempt(1, 2), ROOT)]


def test_not_even_when_another_attempt_was_lost_since() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.create(1, FIRST, 1, extras={0: [[], [], [70_000, "sha"]]})
    office.turn(after=61.0)
    office.hello(2)
    assert office.given(2) == [(Attempt(1, 2), ROOT)]
    office.turn(after=61.0)
    office.hello(3, uid="w", held=[[1, 1, ROOT, 1, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_CANCEL, 0]]


def test_an_attempt_is_cancelled_whose_target_somebody_else_runs() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.turn(after=61.0)
    office.hello(2)
    office.hello(3, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_CANCEL, 0]]


def test_an_attempt_that_has_failed_already_is_not_adopted_for_its_retry() -> None:
    """The acknowledgement was lost: its end must not be counted twice."""
    office = Office(retries=1)
    office.hello(1, uid="w")
    office.done(1, FIRST, cause="exception")
    office.turn(happened.PeerLost(1, "cut"))
    office.hello(2, uid="w", held=[[1, 1, ROOT, 0, HELD_ENDED]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_CANCEL, 0]]
    assert office.tree.nodes[ROOT].tries == 1


def test_after_a_restart_a_worker_of_the_journal_is_waited_for_and_its_attempts_are_adopted() -> None:
    office = Office(adopt_grace=60.0)
    office.hello(1, uid="w")
    office = office.restarted()
    office.turn(after=59.0)
    assert not office.wrote(r.AttemptsLost)
    office.hello(1, uid="w", held=[[1, 1, ROOT, 0, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_ADOPT, 0]]
    office.done(1, FIRST)
    assert office.tree.outcome == "complete"


def test_after_a_restart_a_worker_that_stays_away_is_given_up_after_the_grace() -> None:
    office = Office(adopt_grace=60.0)
    office.hello(1, uid="w")
    office = office.restarted()
    assert office.state.deadline == pytest.approx(160.0)
    office.turn(after=60.5)
    assert [record.attempts for record in office.wrote(r.AttemptsLost)] == [[[1, 1, 1]]]


def test_a_worker_whose_process_is_said_to_live_is_waited_for_until_its_patience_is_surely_over() -> None:
    office = Office(adopt_grace=60.0, worker_patience=600.0)
    (submission,) = office.did(want.Submit)
    office.turn(happened.BlockSubmitted(submission.name, ["b.0"]))
    office.hello(1, uid="w", block=submission.name, index=0)
    office = office.restarted()
    assert office.state.deadline == pytest.approx(office.now + 660.0)
    office.turn(after=600.0)
    assert not office.wrote(r.AttemptsLost)
    office.turn(happened.BlockGone(submission.name, "b.0", "no such process any more"))
    assert [record.attempts for record in office.wrote(r.AttemptsLost)] == [[[1, 1, 1]]]


def test_an_attempt_whose_record_was_lost_with_the_power_is_adopted() -> None:
    office = Office()
    office.hello(1, uid="w")
    office.records = [record for record in office.records if not isinstance(record, r.AttemptsAssigned)]
    office = office.restarted()
    office.hello(1, uid="w", held=[[1, 1, ROOT, 3, HELD_RUNNING]])
    assert [record.attempts for record in office.wrote(r.AttemptsAdopted)] == [[[1, 1, ROOT]]]
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_ADOPT, 0]]


def test_a_hello_that_a_later_one_has_overtaken_takes_nothing_back() -> None:
    """It came late, on a connection that its worker has given up; what was given out since is not in it."""
    office = Office()
    office.turn(office.greeting(1, uid="w", session=2))
    assert office.given(1) == [((1, 1), ROOT)]
    office.turn(office.greeting(2, uid="w", session=1))
    assert office.step.records == []
    assert office.did(want.EndSession) == [want.EndSession(2)]
    office.done(1, (1, 1))
    assert office.tree.outcome == "complete"


def test_nor_does_one_of_a_worker_that_has_left_bring_it_back() -> None:
    office = Office()
    office.turn(office.greeting(1, uid="w", session=2))
    office.hear(1, Type.BYE, ["enough"])
    office.turn(office.greeting(2, uid="w", session=1))
    assert not office.wrote(r.WorkerJoined)


def test_a_silent_worker_is_lost_after_a_minute_and_not_before() -> None:
    office = Office()
    office.hello(1)
    office.turn(after=59.0)
    assert not office.wrote(r.WorkerLeft)
    office.turn(after=2.0)
    assert office.wrote(r.WorkerLeft)
    assert office.did(want.EndSession) == [want.EndSession(1)]


def test_how_long_a_worker_may_be_silent_is_an_option() -> None:
    office = Office(lost_after=6.0)
    office.hello(1)
    office.turn(after=5.9)
    assert not office.wrote(r.WorkerLeft)
    office.turn(after=0.2)
    assert "6 s" in office.wrote(r.WorkerLeft)[0].reason


def test_a_worker_out_of_contact_is_lost_after_a_minute_and_not_before() -> None:
    office = Office()
    office.hello(1)
    office.turn(happened.PeerLost(1, "cut"))
    office.turn(after=59.0)
    assert not office.wrote(r.WorkerLeft)
    office.turn(after=2.0)
    assert office.wrote(r.WorkerLeft)


def test_a_worker_whose_process_is_known_to_be_gone_is_lost_at_once() -> None:
    office = Office()
    office.turn(happened.BlockSubmitted("jt-script-run-1", ["b"]))
    office.hello(1, block="jt-script-run-1")
    office.turn(happened.BlockGone("jt-script-run-1", "b", "it was killed"))
    assert office.wrote(r.AttemptsLost)
    assert office.wrote(r.WorkerLeft)
    assert [submit.n for submit in office.did(want.Submit)] == [1]


def test_good_bye_gives_the_rest_to_others() -> None:
    office = Office()
    office.hello(1)
    office.hello(2)
    office.hear(1, Type.BYE, ["ended by SIGTERM"])
    assert office.given(2) == [(Attempt(1, 2), ROOT)]


def test_a_worker_that_was_told_more_than_the_journal_has_ends_the_run_until_that_is_accepted() -> None:
    office = Office()
    office.hello(1, "u")
    known = office.tree.records
    after = office.restarted()
    after.hello(2, "u", seen=[1, known + 1])
    assert after.state.outcome is not None
    assert (after.state.outcome.status, after.sent(Type.WELCOME)) == (3, [])
    assert "has lost what was acknowledged" in after.state.outcome.reason
    assert after.sent(Type.STOP) == []  # the workers are left alone


def test_a_worker_that_knows_as_much_as_the_journal_is_welcome_after_any_restart() -> None:
    office = Office()
    office.hello(1, "u")
    known = office.tree.records
    after = office.restarted().restarted()
    after.hello(2, "u", seen=[1, known])
    assert len(after.sent(Type.WELCOME)) == 1


def test_after_an_accepted_loss_who_knows_more_is_sent_away_and_what_it_held_runs_again() -> None:
    office = Office()
    office.hello(1, "u")
    ((attempt, target),) = office.given(1)
    known = office.tree.records
    records = [*office.records, r.LossAccepted(0.0, 2, known, "")]
    after = Office(records=records)
    after.hello(2, "u", seen=[1, known + 5], held=[[*attempt, target, 0, 1]])
    assert after.state.outcome is None
    assert "runs again" in after.sent(Type.REJECT, 2)[0][0]
    after.hello(3, "v")
    assert [again for _, again in after.given(3)] == [target]


def test_an_attempt_from_before_an_accepted_loss_is_not_adopted_by_its_targets_number() -> None:
    office = Office()
    records = [*office.records, r.LossAccepted(0.0, 2, office.tree.records, "")]
    after = Office(records=records)
    after.hello(2, "u", held=[[1, 99, ROOT, 0, 1]])
    assert after.sent(Type.WELCOME)[0][1] == [[1, 99, VERDICT_CANCEL, 0]]
