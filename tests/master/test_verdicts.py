"""Whether, when and with what a failed target is tried again."""

from __future__ import annotations

import pytest

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.effects import TellFailure
from jobtree.master.verdicts import BACKOFF, BACKOFF_MOST, pause
from jobtree.protocol.messages import Type
from tests.support.office import Office

GIB = 1 << 30


def test_pauses_grow_and_differ_from_target_to_target_but_not_from_time_to_time() -> None:
    for tries in range(10):
        whole = min(BACKOFF_MOST, BACKOFF * 2**tries)
        assert all(whole / 2 <= pause(target, tries) <= whole for target in range(100))
    assert len({pause(target, 3) for target in range(100)}) == 100
    assert pause(7, 3) == pause(7, 3)


@pytest.mark.parametrize("cause", ["signal", "exit", "exception", "time"])
def test_whatever_ends_an_attempt_uses_up_one_of_its_tries(cause: str) -> None:
    """A process that is killed again and again was tried for ever by the original."""
    office = Office(retries=2)
    office.hello(1)
    for number in (1, 2, 3):
        office.done(1, Attempt(1, number), cause)
        if number < 3:
            assert office.tree.outcome is None
            office.turn(after=60.0)
    assert office.tree.outcome == "failed"
    assert len([record for record in office.records if isinstance(record, r.AttemptsFailed)]) == 3


def test_who_runs_out_of_memory_gets_twice_as_much_up_to_the_largest_worker() -> None:
    office = Office()
    office.hello(1, memory=3 * GIB, cpus=4.0)
    asked = []
    for number in (1, 2, 3):
        ((forms, _),) = office.sent(Type.RUN)
        asked.append(forms[0][2])
        office.done(1, Attempt(1, number), "memory")
        office.turn(after=60.0)
    assert [round(size / GIB, 2) for size in asked] == [0.75, 1.5, 3.0]
    assert office.tree.outcome == "failed"


def test_more_memory_costs_no_try_and_is_given_so_often_only() -> None:
    office = Office(retries=1, oom_retries=1)
    office.hello(1, memory=64 * GIB, cpus=1.0)
    verdicts = []
    for number in (1, 2, 3):
        office.done(1, Attempt(1, number), "memory")
        (failed,) = office.wrote(r.AttemptsFailed)
        verdicts.append((failed.verdicts[0] is not None, failed.memory))
        office.turn(after=60.0)
    assert verdicts == [(True, {0: 2 * GIB}), (True, {}), (False, {})]


def test_a_restart_gives_all_tries_again_and_keeps_the_memory() -> None:
    office = Office(oom_retries=1)
    office.hello(1, memory=64 * GIB)
    for number in (1, 2):
        office.done(1, Attempt(1, number), "memory")
        office.turn(after=60.0)
    assert office.tree.outcome == "failed"
    again = office.restarted()
    assert again.tree.outcome is None
    node = again.tree.nodes[1]
    assert (node.tries, node.grown, node.form.requests["memory"]) == (0, 0, 2 * GIB)


def test_a_target_that_says_what_it_may_be_retried_on_is_retried_on_nothing_else() -> None:
    office = Office(root=["t", None, {"retries": 3, "retry_on": ["OSError", 75, "time"]}])
    office.hello(1)
    for number, (cause, more) in enumerate([("time", {}), ("exit", {"exit": 75}), ("exception", {"types": ["OSError"]})], 1):
        row = office.row(Attempt(1, number), cause)
        row[-1] = {"message": "", **more}
        office.hear(1, Type.DONE, [[row], [0]])
        office.turn(after=60.0)
        assert office.tree.outcome is None
    office.done(1, Attempt(1, 4), "exception")
    assert office.tree.outcome == "failed"


@pytest.mark.parametrize(("how", "cause"), [("silent", "node-lost"), ("gone", "worker-lost"), ("late", "walltime")])
def test_a_lost_attempt_has_a_cause_too(how: str, cause: str) -> None:
    office = Office()
    office.hello(1, left=20.0 if how == "late" else 0.0)
    if how == "silent":
        for _ in range(20):
            office.turn(after=10.0)
            if office.wrote(r.AttemptsLost):
                break
    else:
        office.hear(1, Type.BYE, ["it is over"])
    (lost,) = office.wrote(r.AttemptsLost)
    assert lost.cause == cause


def test_poison_names_how_the_last_worker_was_lost() -> None:
    office = Office()
    for peer in (1, 2, 3, 4):
        office.hello(peer)
        office.hear(peer, Type.BYE, ["it had to go"])
    (failed,) = office.wrote(r.AttemptsFailed)
    assert failed.rows[0][2] == "poison"
    assert "4 workers were lost while running it, the last one w4@h (worker-lost): it had to go" in failed.rows[0][-1]["message"]


def test_who_asks_for_it_is_told_of_each_failure_and_tries_again_without_a_pause() -> None:
    office = Office(retries=1, tell_failures=True, backoff_most=0.0)
    office.hello(1)
    told = []
    for number in (1, 2):
        office.done(1, Attempt(1, number), "exception")
        told += [(failure.id, failure.tries_left) for failure in office.did(TellFailure)]
        office.turn()
    assert told == [(1, 1), (1, 0)]
    assert office.tree.outcome == "failed"


def test_nobody_else_is_told() -> None:
    office = Office()
    office.hello(1)
    office.done(1, Attempt(1, 1), "exception")
    assert not office.did(TellFailure)
