"""Turns of the master, as values: what happened, what was journaled, what was done."""

from __future__ import annotations

from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.master.nodes import Phase
from jobtree.protocol.messages import Type
from tests.support.office import ROOT, Office

FIRST = Attempt(1, 1)


def running(**settings: object) -> Office:
    """A master whose one worker runs the root."""
    office = Office(**settings)  # type: ignore[arg-type]
    office.hello(1)
    assert office.given(1) == [(FIRST, ROOT)]
    return office


def test_a_new_run_asks_for_its_workers_and_plans_before_it_submits() -> None:
    office = Office(workers=3)
    assert [type(record) for record in office.step.records] == [r.RunDescribed, r.EpochBegan, r.TargetsCreated, r.BlockPlanned]
    (submit,) = office.did(want.Submit)
    assert submit.n == 3
    assert not office.step.lazy


def test_a_worker_that_comes_is_welcomed_and_given_work_in_the_same_turn() -> None:
    office = Office()
    office.hello(1)
    assert [type(record) for record in office.step.records] == [r.WorkerJoined, r.AttemptsAssigned]
    assert [effect.type for effect in office.did(want.Send)] == [Type.WELCOME, Type.RUN]


def test_a_dispatch_alone_needs_no_sync() -> None:
    office = running()
    office.create(1, FIRST, 2)
    office.done(1, FIRST, created=2)
    assert not office.step.lazy
    office.hello(2)
    assert not office.step.lazy
    office.turn(happened.PeerLost(2, "gone"))
    office.hear(1, Type.STARTED, [[[1, 2, 100.0]]])
    assert office.step.lazy


def test_a_started_message_is_journaled_and_waits_for_nothing() -> None:
    office = running()
    office.hear(1, Type.STARTED, [[[1, 1, 99.0]]])
    assert office.step.records == [r.AttemptsStarted([[1, 1, 99.0]])]
    assert office.step.lazy


def test_every_message_about_attempts_is_acknowledged_once_a_turn() -> None:
    office = running()
    office.turn(
        office.said(1, Type.STARTED, [[[1, 1, 99.0]]]),
        office.said(1, Type.CHILDREN, [[], [[1, 1, 1, [["t", None, {}]], [0, 1], {}, [1]]]], b"x"),
    )
    assert office.sent(Type.ACK) == [[2, 1, office.tree.records]]


def test_a_beat_is_answered_by_a_beat() -> None:
    office = running()
    office.hear(1, Type.BEAT, [0])
    assert office.sent(Type.BEAT) == [[1]]
    assert not office.step.records


def test_what_a_commit_makes_ready_is_given_out_in_the_same_turn() -> None:
    office = running()
    office.create(1, FIRST, 3)
    assert not office.given(1)
    office.done(1, FIRST, created=3)
    assert office.given(1) == [(Attempt(1, 2), 2)]


def test_the_end_sends_the_workers_home_and_waits_for_the_blocks() -> None:
    office = running()
    office.turn(happened.BlockSubmitted("jt-script-run-1", ["b1"]))
    office.done(1, FIRST)
    assert office.sent(Type.STOP) == [["all targets are done"]]
    assert [record.state for record in office.wrote(r.RunEnded)] == ["complete"]
    assert office.state.outcome is None
    office.turn(happened.BlockGone("jt-script-run-1", "b1", "ended"))
    assert office.state.outcome is not None
    assert office.state.outcome.status == 0


def test_workers_that_do_not_go_are_ended_by_force() -> None:
    office = running(stop_grace=5.0)
    office.turn(happened.BlockSubmitted("jt-script-run-1", ["b1"]))
    office.done(1, FIRST)
    assert not office.did(want.CancelBlocks)
    office.turn(after=5.1)
    assert office.did(want.CancelBlocks) == [want.CancelBlocks(["b1"], True)]


def test_a_failed_root_ends_the_run_with_status_1() -> None:
    office = running()
    office.done(1, FIRST, cause="exception")
    assert [record.state for record in office.wrote(r.RunEnded)] == ["failed"]


def test_fail_fast_stops_at_the_first_failure() -> None:
    office = running(fail_fast=True)
    office.create(1, FIRST, 3)
    office.done(1, FIRST, created=3)
    office.done(1, (1, 2), cause="exception")
    assert [record.state for record in office.wrote(r.RunEnded)] == ["failed"]
    assert not office.given(1)


def test_a_target_that_no_worker_can_run_fails_as_no_fit() -> None:
    office = Office(root=["t", None, {"cpus": 4.0}])
    office.hello(1)
    (refused,) = office.wrote(r.TargetsRefused)
    assert (refused.targets, refused.cause) == ([ROOT], "no-fit")
    assert "4 cpus" in refused.message
    assert office.tree.outcome == "failed"


def test_a_target_is_not_refused_while_a_worker_that_fits_may_be_on_its_way() -> None:
    office = Office(root=["t", None, {"cpus": 4.0}])
    office.hello(1, cpus=4.0)
    assert office.given(1) == [(FIRST, ROOT)]


def test_the_first_interrupt_drains() -> None:
    office = running()
    office.create(1, FIRST, 3)
    office.turn(happened.Signalled(1, 130))
    office.done(1, FIRST, created=3)
    assert not office.given(1), "nothing new is begun"
    assert office.sent(Type.STOP) == [["interrupted"]]
    assert [record.state for record in office.wrote(r.RunEnded)] == ["stopped"]


def test_an_interrupt_takes_back_what_has_not_begun() -> None:
    office = Office(root=["t", None, {"cpus": 0.5}])
    office.hello(1)
    office.hear(1, Type.STARTED, [[[1, 1, 99.0]]])
    office.create(1, FIRST, 2, form=["t", None, {"cpus": 0.25}])
    office.done(1, FIRST, created=2)
    office.turn(happened.Signalled(1, 130))
    assert office.sent(Type.RECALL) == [[[[1, 2], [1, 3]]]]


def test_a_draining_master_does_not_ask_for_the_next_look_again_and_again() -> None:
    """A deadline in the past, of somebody who is not asked, is a loop at full speed."""
    office = Office(target_time=100.0)
    office.hello(1)
    office.hello(2)
    office.create(1, FIRST, 20, form=["t", None, {"expected_time": 1.0}])
    office.done(1, FIRST, created=20)
    office.turn(happened.Signalled(1, 130), after=10.0)
    for _ in range(3):
        deadline = office.state.deadline
        assert deadline is not None
        assert deadline > office.now
        office.turn(after=1.0)


def test_the_second_interrupt_stops_at_once() -> None:
    office = running()
    office.turn(happened.Signalled(1, 130))
    assert not office.sent(Type.STOP)
    office.turn(happened.Signalled(2, 130))
    assert office.sent(Type.STOP) == [["interrupted"]]


def test_sigterm_leaves_the_workers_to_their_patience() -> None:
    office = running()
    office.turn(happened.Signalled(1, 143))
    assert not office.sent(Type.STOP)
    assert office.state.outcome is not None
    assert office.state.outcome.status == 143


def test_nothing_is_given_out_while_the_journal_cannot_be_written() -> None:
    office = running()
    office.turn(happened.Paused("no room"))
    office.create(1, FIRST, 1)
    office.done(1, FIRST, created=1)
    assert not office.given(1)
    assert office.wrote(r.AttemptsCommitted), "what comes is taken in, and acknowledged when it is on disk"
    office.turn(happened.Paused(None))
    assert [target for _, target in office.given(1)] == [2]


def test_a_stall_of_the_loop_proves_nothing_about_the_workers() -> None:
    office = running()
    office.turn(happened.Stalled(100.0), after=100.0)
    assert not office.wrote(r.WorkerLeft)
    office.turn(after=61.0)
    assert office.wrote(r.WorkerLeft)


def test_a_message_of_a_worker_that_was_given_up_ends_its_session() -> None:
    office = running()
    office.turn(after=61.0)
    office.done(1, FIRST)
    assert office.did(want.EndSession) == [want.EndSession(1)]
    assert not office.wrote(r.AttemptsCommitted)


def test_a_restart_tries_failed_targets_again_with_all_their_attempts() -> None:
    office = running()
    office.done(1, FIRST, cause="exception")
    office = office.restarted()
    assert [record.targets for record in office.wrote(r.TargetsRetried)] == [[ROOT]]
    assert office.tree.outcome is None
    office.hello(2)
    assert office.given(2) == [(Attempt(2, 1), ROOT)]


def test_a_restart_does_not_bring_a_second_fleet() -> None:
    office = Office(workers=2)
    office.turn(happened.BlockSubmitted("jt-script-run-1", ["a", "b"]))
    office = office.restarted()
    assert not office.did(want.Submit)
    assert not office.did(want.Find)


def test_a_restart_asks_after_a_submission_that_nobody_has_answered() -> None:
    office = Office(workers=2).restarted()
    assert office.did(want.Find) == [want.Find("jt-script-run-1")]
    assert not office.did(want.Submit)
    office.turn(happened.SubmitFailed("jt-script-run-1", "never submitted"))
    assert [submit.n for submit in office.did(want.Submit)] == [2]


def test_an_ended_chain_has_its_temp_dir_removed() -> None:
    office = running()
    row = office.row(FIRST)
    row[4] = 2
    office.hear(1, Type.DONE, [[row], [0]])
    assert office.did(want.RemoveTemp) == [want.RemoveTemp(ROOT)]


def test_a_summary_is_written_at_the_end() -> None:
    office = running()
    office.done(1, FIRST)
    (summary,) = office.wrote(r.Summary)
    assert summary.counts["t"][Phase.DONE] == 1


def test_a_target_that_becomes_ready_because_one_like_it_was_refused_is_refused_too() -> None:
    office = Office()
    office.hello(1)
    office.create(1, (1, 1), count=2, form=["big", True, {"cpus": 5.0}], extras={1: [[], [1, 1], None]})
    office.done(1, (1, 1), created=2)
    assert [record.targets for record in office.wrote(r.TargetsRefused)] == [[2], [3]]
    assert office.tree.outcome == "complete"
