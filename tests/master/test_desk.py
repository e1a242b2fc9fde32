"""What a master does about the targets that a client submits, and about their results."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.audit import dump
from jobtree.master.effects import RemoveBlob
from jobtree.master.events import Asked, Submitted
from jobtree.master.ledger import Ledger
from jobtree.master.nodes import Phase
from jobtree.master.snapshot import items, restore
from jobtree.master.tree import Tree
from jobtree.protocol.messages import VALUE_BLOB, VALUE_CANCELLED, VALUE_FAILURE, VALUE_NONE, Type
from tests.support.office import Office

CLIENT = 77
FORM = ["f", True, {}]


def session() -> Office:
    office = Office(about={"session": True})
    ask(office, "open")
    office.hello(1, cpus=4.0)
    return office


def ask(office: Office, verb: str, **about: Any) -> dict[str, Any]:
    office.turn(Asked(CLIENT, 5, verb, about))
    ((_, answer),) = office.sent(Type.REPLY, CLIENT)
    return dict(answer)


def submit(office: Office, first_n: int = 1, count: int = 1) -> None:
    office.turn(Submitted(CLIENT, [], [[0, 0, first_n, [FORM], [0, count], {}, [1] * count]], b"p" * count))


def results(office: Office) -> list[list[Any]]:
    return [result for body in office.sent(Type.RESULT, CLIENT) for result in body[0]]


def test_the_root_of_a_session_is_given_to_nobody_and_keeps_it_open() -> None:
    office = session()
    assert office.given(1) == []
    assert office.tree.outcome is None
    assert office.tree.nodes[1].phase is Phase.WAITING


def test_what_is_submitted_runs_at_once_and_its_result_is_sent_once() -> None:
    office = session()
    submit(office, count=2)
    assert [target for _, target in office.given(1)] == [2, 3]
    office.done(1, Attempt(1, 1))
    assert results(office) == [[1, 2, [[0, 0, 1, VALUE_NONE, None]], None]]
    office.done(1, Attempt(1, 2))
    assert [result[0] for result in results(office)] == [2]
    assert len(office.tree.nodes) == 1
    assert not office.tree.nodes[1].promises


def test_a_submission_that_is_repeated_or_comes_too_early_changes_nothing() -> None:
    office = session()
    submit(office)
    submit(office)
    assert office.wrote(r.TargetsCreated) == []
    submit(office, first_n=3)
    assert office.wrote(r.TargetsCreated) == []


def test_the_result_comes_when_the_whole_chain_has_ended() -> None:
    office = session()
    submit(office)
    office.create(1, Attempt(1, 1), 1)
    office.create(1, Attempt(1, 1), 1, first_n=0)
    office.done(1, Attempt(1, 1), created=1, follow=True)
    assert results(office) == []
    office.done(1, Attempt(1, 2))
    assert results(office) == []
    office.done(1, Attempt(1, 3))
    assert [result[0] for result in results(office)] == [1]


def test_a_target_that_fails_is_told_of_and_the_session_goes_on() -> None:
    office = session()
    submit(office)
    office.done(1, Attempt(1, 1), "exception")
    ((n, target, (value,), _),) = results(office)
    assert (n, target, value[3], value[4]["message"]) == (1, 2, VALUE_FAILURE, "it failed")
    assert office.tree.outcome is None
    submit(office, first_n=2)
    assert [target for _, target in office.given(1)] == [3]


def test_a_failure_below_is_the_failure_of_what_was_submitted() -> None:
    office = session()
    submit(office)
    office.create(1, Attempt(1, 1), 1)
    office.done(1, Attempt(1, 1), created=1)
    office.done(1, Attempt(1, 2), "exception")
    ((n, _, (value,), _),) = results(office)
    assert (n, value[3], value[4]["id"]) == (1, VALUE_FAILURE, 3)


def test_what_is_dropped_is_ended_on_its_worker() -> None:
    office = session()
    submit(office, count=2)
    assert ask(office, "drop", ns=[1, 9]) == {"dropped": 1}
    assert office.sent(Type.CANCEL, 1) == [[[[1, 1]]]]
    ((n, _, (value,), _),) = results(office)
    assert (n, value[3]) == (1, VALUE_CANCELLED)


def test_a_chain_that_has_gone_on_can_be_dropped() -> None:
    office = session()
    submit(office)
    office.create(1, Attempt(1, 1), 1, first_n=0)
    office.done(1, Attempt(1, 1), follow=True)
    assert ask(office, "drop", ns=[1]) == {"dropped": 1}
    assert [result[0] for result in results(office)] == [1]
    assert len(office.tree.nodes) == 1


def test_a_large_result_is_kept_until_the_client_has_it() -> None:
    office = session()
    submit(office)
    office.done(1, Attempt(1, 1), result=[100_000, "sha"])
    ((_, _, (value,), _),) = results(office)
    assert value[3:] == [VALUE_BLOB, [100_000, "sha", 1, 1]]
    assert office.did(RemoveBlob) == []
    ask(office, "taken", ns=[1])
    assert office.did(RemoveBlob) == [RemoveBlob(1, 1, "r")]


def test_the_run_is_complete_when_the_door_is_closed_and_all_has_ended() -> None:
    office = session()
    submit(office)
    ask(office, "close")
    assert office.tree.outcome is None
    submit(office, first_n=2)
    assert office.wrote(r.TargetsCreated) == []
    office.done(1, Attempt(1, 1))
    assert results(office)
    assert office.tree.outcome == "complete"


def test_an_empty_session_is_complete_when_its_door_is_closed() -> None:
    office = session()
    ask(office, "close")
    assert office.tree.outcome == "complete"


def test_a_master_that_takes_up_a_session_finishes_what_was_submitted() -> None:
    office = session()
    submit(office, count=2)
    office.done(1, Attempt(1, 1))
    again = office.restarted()
    again.hello(1, uid="u1", held=[[1, 2, 3, 0, 1]], cpus=4.0)
    again.done(1, Attempt(1, 2))
    assert again.tree.outcome == "complete"


def test_a_run_that_is_no_session_takes_no_targets() -> None:
    office = Office()
    assert "no session" in ask(office, "open")["error"]
    submit(office)
    assert office.wrote(r.TargetsCreated) == []


def test_a_snapshot_of_a_session_is_the_session() -> None:
    office = session()
    submit(office, count=3)
    office.done(1, Attempt(1, 1))
    office.done(1, Attempt(1, 2), "exception")
    tree = Tree()
    ledger = restore(items(office.tree, office.state.core.ledger), tree)
    assert dump(tree, ledger) == dump(office.tree, office.state.core.ledger)
    assert (tree.door, tree.submitted) == (1, 3)


def test_a_session_that_is_replayed_is_the_same() -> None:
    office = session()
    submit(office, count=3)
    office.done(1, Attempt(1, 1))
    ask(office, "drop", ns=[2])
    tree, ledger = Tree(), Ledger()
    for record in office.records:
        bare = r.decode(r.encode(record)[0])
        tree.apply(bare)
        ledger.apply(bare)
    assert dump(tree, ledger) == dump(office.tree, office.state.core.ledger)
