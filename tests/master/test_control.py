"""What a master does about the requests of clients, and what it answers."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.master import records as r
from jobtree.master.events import Asked, BlockSubmitted
from jobtree.master.nodes import Phase
from jobtree.protocol.messages import Type
from tests.support.office import Office

CLIENT = 77


def ask(office: Office, verb: str, **about: Any) -> dict[str, Any]:
    office.turn(Asked(CLIENT, 5, verb, about))
    ((number, answer),) = office.sent(Type.REPLY, CLIENT)
    assert number == 5
    return dict(answer)


def with_children(count: int = 2, **settings: Any) -> Office:
    office = Office(**settings)
    office.hello(1, cpus=2.0)
    office.create(1, Attempt(1, 1), count)
    office.done(1, Attempt(1, 1), created=count)
    return office


def test_a_running_target_that_is_cancelled_is_ended_on_its_worker() -> None:
    office = with_children()
    assert ask(office, "cancel", targets=[2]) == {"targets": [2], "refused": []}
    assert office.sent(Type.CANCEL, 1) == [[[[1, 2]]]]
    assert office.wrote(r.SubtreesCancelled)
    assert office.tree.nodes[2].phase is Phase.CANCELLED


def test_what_a_worker_still_says_of_a_cancelled_attempt_changes_nothing() -> None:
    office = with_children()
    ask(office, "cancel", targets=[2])
    office.create(1, Attempt(1, 2), 3)
    office.done(1, Attempt(1, 2), created=3)
    assert office.tree.nodes[2].phase is Phase.CANCELLED
    assert office.step.records == []


def test_the_room_of_a_cancelled_target_is_given_to_another_one() -> None:
    office = with_children(3)
    ask(office, "cancel", targets=[2])
    assert [target for _, target in office.given(1)] == [4]


def test_a_cancelled_target_is_brought_back_on_request_only() -> None:
    office = with_children()
    ask(office, "cancel", targets=[2])
    office.done(1, Attempt(1, 3))
    assert office.state.outcome is None or office.tree.outcome == "failed"
    again = office.restarted()
    assert again.tree.nodes[2].phase is Phase.CANCELLED


def test_a_cancelled_target_comes_back_while_the_run_goes_on() -> None:
    office = with_children()
    ask(office, "cancel", targets=[2])
    assert ask(office, "retry", targets=[2])["targets"] == [2]
    assert [target for _, target in office.given(1)] == [2]


def test_a_target_that_cancels_a_sibling_has_it_ended_in_the_same_turn() -> None:
    office = with_children()
    row = [*office.row(Attempt(1, 2)), [[1, 1, 2]]]
    office.tree.spans[1] = [(1, 2, 2)]
    office.hear(1, Type.DONE, [[row], [0]])
    assert office.sent(Type.CANCEL, 1) == [[[[1, 3]]]]
    assert office.tree.outcome == "complete"


def test_the_bad_end_of_a_sibling_in_the_same_message_is_fenced() -> None:
    office = with_children()
    office.tree.spans[1] = [(1, 2, 2)]
    rows = [office.row(Attempt(1, 3), "exception"), [*office.row(Attempt(1, 2)), [[1, 1, 2]]]]
    office.hear(1, Type.DONE, [rows, [0, 0]])
    assert office.wrote(r.AttemptsFailed) == []
    assert office.tree.outcome == "complete"


def test_failed_targets_are_tried_again_with_more_memory() -> None:
    office = with_children()
    office.done(1, Attempt(1, 2), "exception")
    assert ask(office, "retry", factor=2.0)["targets"] == [2]
    assert office.tree.nodes[2].form.requests["memory"] == 2 << 30


def test_a_request_that_cant_be_is_refused_in_words() -> None:
    office = with_children()
    assert "ids" in ask(office, "cancel")["error"]
    assert "ids" in ask(office, "cancel", targets=["x"])["error"]
    assert "bytes" in ask(office, "retry", memory=-1)["error"]
    assert "factor" in ask(office, "retry", factor=0)["error"]
    assert "one at least" in ask(office, "scale", most=0)["error"]
    assert "verb" in ask(office, "dance")["error"]
    assert ask(office, "cancel", targets=[99])["refused"] == [[99, "there is no such target"]]


def test_a_run_that_is_asked_to_stop_finishes_what_runs() -> None:
    office = with_children(5)
    ask(office, "stop")
    office.done(1, Attempt(1, 2))
    assert office.given(1) == []
    office.done(1, Attempt(1, 3))
    assert office.sent(Type.STOP, 1)
    assert office.wrote(r.RunEnded)[0].state == "stopped"


def test_a_run_that_is_asked_to_stop_now_does_so() -> None:
    office = with_children(5)
    ask(office, "stop", now=True)
    assert office.sent(Type.STOP, 1)
    assert ask(office, "retry")["error"].startswith("the run is ending")


def test_more_workers_can_be_had() -> None:
    office = with_children(5)
    assert ask(office, "scale", most=3) == {"before": 1, "workers": 3}
    assert office.wrote(r.BlockPlanned)[0].n == 2


def test_a_stack_is_asked_of_the_worker_and_passed_on() -> None:
    office = with_children()
    office.turn(Asked(CLIENT, 9, "stack", {"target": 2}))
    assert office.sent(Type.STACK, 1) == [[[1, 2]]]
    assert office.sent(Type.REPLY) == []
    office.hear(1, Type.STACKED, [1, 2, "here"])
    assert office.sent(Type.REPLY, CLIENT) == [[9, {"stack": "here", "worker": "w1@h"}]]


def test_a_stack_that_does_not_come_is_not_waited_for_long() -> None:
    office = with_children()
    office.turn(Asked(CLIENT, 9, "stack", {"target": 2}))
    assert office.state.deadline is not None
    office.turn(after=6.0)
    assert "not answered" in office.sent(Type.REPLY, CLIENT)[0][1]["error"]


def test_only_what_runs_has_a_stack() -> None:
    office = with_children(4)
    assert "it is ready" in ask(office, "stack", target=5)["error"]
    assert "it is waiting" in ask(office, "stack", target=1)["error"]
    assert "no such" in ask(office, "stack", target=50)["error"]


def test_a_run_that_has_ended_does_not_wait_busily_for_a_worker_that_stays() -> None:
    office = with_children()
    (planned,) = [record for record in office.records if isinstance(record, r.BlockPlanned)]
    office.turn(BlockSubmitted(planned.name, ["w"]))
    ask(office, "stop", now=True)
    for _ in range(20):
        office.turn(after=10.0)
    assert office.state.outcome is None
    assert office.state.deadline is None or office.state.deadline > office.now
