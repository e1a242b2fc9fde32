"""How many workers are asked for, and when no more are."""

from __future__ import annotations

from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
from jobtree.protocol.messages import Type
from tests.support.office import Office

NAME = "jt-script-run-1"


def test_a_worker_that_ends_is_replaced() -> None:
    office = Office(workers=2)
    office.turn(happened.BlockSubmitted(NAME, ["a", "b"]))
    assert not office.did(want.Submit)
    office.turn(happened.BlockGone(NAME, "a", "killed"))
    (submit,) = office.did(want.Submit)
    assert (submit.name, submit.n) == ("jt-script-run-2", 1)
    assert [type(record) for record in office.step.records] == [r.BlockEnded, r.BlockPlanned]


def test_a_submission_that_brings_fewer_is_made_up_for() -> None:
    office = Office(workers=3)
    office.turn(happened.BlockSubmitted(NAME, ["a", "b"]))
    assert [submit.n for submit in office.did(want.Submit)] == [1]


def test_three_workers_in_a_row_that_never_come_end_the_run_with_the_reason() -> None:
    office = Office(workers=1)
    for number in (1, 2, 3):
        office.turn(happened.BlockSubmitted(f"jt-script-run-{number}", [f"b{number}"]))
        office.turn(happened.BlockGone(f"jt-script-run-{number}", f"b{number}", "exit 127", "no such file"))
    (ended,) = office.wrote(r.RunEnded)
    assert ended.state == "stopped"
    assert "no such file" in ended.reason
    assert not office.did(want.Submit)


def test_one_worker_that_comes_shows_that_the_road_is_open() -> None:
    office = Office(workers=1)
    for number in (1, 2):
        office.turn(happened.SubmitFailed(f"jt-script-run-{number}", "busy"))
    office.hello(1, block="jt-script-run-3")
    office.turn(happened.SubmitFailed("jt-script-run-3", "busy"))
    assert not office.wrote(r.RunEnded)


def test_news_of_a_block_that_is_not_known_is_nothing() -> None:
    office = Office()
    office.turn(
        happened.BlockGone("other", "x", "gone"), happened.BlockSubmitted("other", ["x"]), happened.SubmitFailed("other", "no")
    )
    assert not office.step.records


def test_workers_of_an_earlier_master_that_ended_while_there_was_none_are_no_sign_that_none_can_be_started() -> None:
    office = Office(workers=3)
    later = office.restarted()
    assert [find.name for find in later.did(want.Find)] == [NAME]
    later.turn(happened.BlockSubmitted(NAME, ["a", "b", "c"]))
    later.turn(*(happened.BlockGone(NAME, ident, "no such process any more") for ident in "abc"))
    assert not later.wrote(r.RunEnded)
    assert [(submit.name, submit.n) for submit in later.did(want.Submit)] == [("jt-script-run-2", 3)]


def cluster(least: int = 0, most: int = 6, **settings: object) -> Office:
    """A master whose workers come through a batch system."""
    sizes = {"worker_cpus": 1.0, "worker_memory": 4 << 30}
    return Office(workers=most, workers_least=least, on_cluster=True, **{**sizes, **settings})  # type: ignore[arg-type]


def test_on_a_cluster_what_waits_decides_how_many_are_asked_for() -> None:
    office = cluster()
    (submit,) = office.did(want.Submit)
    assert submit.n == 1, "one target, one worker"
    assert [submit.n for submit in cluster(least=3).did(want.Submit)] == [3]
    assert [submit.n for submit in cluster(least=6).did(want.Submit)] == [6]
    assert not cluster(most=0).did(want.Submit)


def test_a_worker_that_says_goodbye_needs_no_word_of_the_batch_system() -> None:
    office = cluster(least=1, most=1)
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.hello(1, block=NAME, index=0)
    office.turn(office.said(1, Type.BYE, ["its time is up"]))
    assert [(ended.id, ended.reason) for ended in office.wrote(r.BlockEnded)] == [("a", "its worker has left: its time is up")]
    office.turn(after=2.0)
    assert len(office.did(want.Submit)) == 1, "and is replaced"


def test_a_worker_that_has_nothing_to_do_is_sent_home_after_a_while() -> None:
    office = cluster(worker_idle=10.0)
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.hello(1, block=NAME, index=0)
    office.hello(2, block="forgotten", index=0)
    office.turn(after=2.0)
    sent = [send.peer for send in office.did(want.Send) if send.type is Type.STOP]
    assert sent == [2], "who was given up and came back is one too many, and leaves at once"
    for _ in range(12):
        office.turn(office.said(1, Type.BEAT, [1]), after=1.0)
    assert not office.did(want.Submit)


def test_a_lost_workers_job_is_ended_and_replaced_though_the_batch_system_still_lists_it() -> None:
    office = cluster(least=1, most=1)
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.hello(1, block=NAME, index=0)
    office.turn(after=61.0)
    assert [cancel.ids for cancel in office.did(want.CancelBlocks)] == [["a"]]
    assert office.wrote(r.BlockEnded)
    assert len(office.did(want.Submit)) == 1


def test_a_second_start_of_a_job_is_refused_while_the_first_is_at_work_and_takes_its_place_when_it_is_silent() -> None:
    office = cluster(least=1, most=1)
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.hello(1, "first", block=NAME, index=0)
    office.hello(2, "second", block=NAME, index=0)
    (reject,) = [send for send in office.did(want.Send) if send.type is Type.REJECT]
    assert "started this worker twice" in reject.body[0]
    office.turn(happened.PeerLost(1, "cut"))
    office.hello(3, "third", block=NAME, index=0)
    assert [worker.uid for worker in office.state.core.roster] == ["third"]


def test_what_the_batch_system_says_of_jobs_that_wait_is_told_once_and_remembered() -> None:
    office = cluster()
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.turn(happened.BlockSeen(NAME, "held", 1, "JobHeldUser"))
    (tell,) = office.did(want.Tell)
    assert (tell.level, tell.text) == ("WARNING", f"{NAME}: 1 of 1 workers can't start (held): JobHeldUser")
    office.turn(happened.BlockSeen(NAME, "held", 1, "JobHeldUser"))
    assert not office.did(want.Tell)
    assert office.state.core.ledger.blocks[NAME].note == ("held", 1, "JobHeldUser")
    office.turn(happened.BlockSeen(NAME, "running", 1, ""))
    assert [note.state for note in office.wrote(r.BlockNoted)] == ["running"]


def test_a_refusal_ends_the_run_and_a_busy_system_is_tried_again_later_and_later() -> None:
    office = cluster()
    office.turn(happened.SubmitFailed(NAME, "no room", "busy"))
    assert not office.did(want.Submit)
    office.turn(after=6.0)
    assert len(office.did(want.Submit)) == 1
    office.turn(happened.SubmitFailed("jt-script-run-2", "no room", "busy"), after=1.0)
    office.turn(after=6.0)
    assert not office.did(want.Submit), "twice as long"
    office.turn(after=6.0)
    assert len(office.did(want.Submit)) == 1
    office.turn(happened.SubmitFailed("jt-script-run-3", "no such queue", "refused"))
    (ended,) = office.wrote(r.RunEnded)
    assert "no such queue" in ended.reason


def test_a_successor_is_asked_for_before_a_workers_time_is_up() -> None:
    office = cluster(least=1, most=1, worker_time=400.0)
    office.turn(happened.BlockSubmitted(NAME, ["a"]))
    office.hello(1, block=NAME, index=0, left=400.0)
    office.turn(office.said(1, Type.BEAT, [1]), after=50.0)
    assert not office.did(want.Submit)
    for _ in range(6):
        office.turn(office.said(1, Type.BEAT, [1]), after=45.0)
        if office.did(want.Submit):
            break
    assert 250.0 < office.now - 100.0 < 400.0


def test_at_the_end_those_that_wait_in_the_queue_are_taken_back() -> None:
    office = cluster(least=2, most=2)
    office.turn(happened.BlockSubmitted(NAME, ["a", "b"]))
    office.hello(1, block=NAME, index=0)
    office.turn(happened.Signalled(2, 130))
    assert [cancel.ids for cancel in office.did(want.CancelBlocks)] == [["b"]]
    office.turn(happened.BlocksCancelled(["b"]))
    assert office.state.outcome is None, "one is still leaving"
    office.turn(office.said(1, Type.BYE, ["bye"]))
    assert office.state.outcome is not None


def test_the_worker_whose_process_has_ended_is_told_by_its_index() -> None:
    office = Office(workers=2)
    later = office.restarted()
    later.turn(happened.BlockSubmitted(NAME, ["ended before", "lives"]))
    later.hello(1, block=NAME, index=1)
    later.turn(happened.BlockGone(NAME, "ended before", "no such process any more"))
    assert [worker.index for worker in later.state.core.roster] == [1]
    later.turn(happened.BlockGone(NAME, "lives", "killed"))
    assert not list(later.state.core.roster)
