"""How many workers are asked for, and when no more are."""

from __future__ import annotations

from jobtree.master import effects as want
from jobtree.master import events as happened
from jobtree.master import records as r
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


def test_the_worker_whose_process_has_ended_is_told_by_its_index() -> None:
    office = Office(workers=2)
    later = office.restarted()
    later.turn(happened.BlockSubmitted(NAME, ["ended before", "lives"]))
    later.hello(1, block=NAME, index=1)
    later.turn(happened.BlockGone(NAME, "ended before", "no such process any more"))
    assert [worker.index for worker in later.state.core.roster] == [1]
    later.turn(happened.BlockGone(NAME, "lives", "killed"))
    assert not list(later.state.core.roster)
