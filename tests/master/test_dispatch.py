"""RUN messages, and recalls."""

from __future__ import annotations

from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import records as r
from jobtree.master.effects import Fetch
from jobtree.protocol.messages import VALUE_BLOB, VALUE_INLINE, VALUE_NONE, Type
from tests.support.office import ROOT, Office

FIRST = Attempt(1, 1)


def run_message(office: Office) -> want.Send:
    (send,) = [effect for effect in office.did(want.Send) if effect.type is Type.RUN]
    return send


def test_a_run_of_equal_targets_is_one_group_and_one_fetch() -> None:
    office = Office(target_time=100.0)
    office.hello(1)
    office.create(1, FIRST, 8, form=["quick", None, {"expected_time": 0.1}])
    piece = len(office.records) - 1
    office.done(1, FIRST, created=8)
    send = run_message(office)
    assert send.body == [[["quick", 1.0, 1 << 30, 0.0, None, False]], [[2, 2, 1, 0, 1, None, None], [3, 3, 7, 0, 1, None, None]]]
    assert send.fetches == [Fetch(piece, 0, 1), Fetch(piece, 1, 7)]
    assert [record.targets for record in office.wrote(r.AttemptsAssigned)] == [[2, 1], [3, 7]]


def test_a_target_in_a_blob_is_sent_by_name() -> None:
    office = Office()
    office.hello(1)
    office.create(1, FIRST, 1, extras={0: [[], [], [70_000, "sha"]]})
    office.done(1, FIRST, created=1)
    ((_, groups),) = office.sent(Type.RUN)
    assert groups[0][6] == [[70_000, "sha", 1, 1, 1], []]


def test_a_taker_gets_the_values_and_all_that_is_in_them() -> None:
    office = Office()
    office.hello(1)
    office.create(1, FIRST, 2)
    office.create(1, FIRST, 1, first_n=3, extras={0: [[1, 2], [], None]})
    office.done(1, FIRST, created=3)
    office.create(1, (1, 2), 1)
    row = office.row((1, 2), created=1, result=True)
    row[6] = [1, 1]
    office.hear(1, Type.DONE, [[row], [5]], b"outer")
    committed = len(office.records) - 1 - len(office.wrote(r.AttemptsAssigned))
    (attempt,) = office.tree.current
    office.hear(1, Type.DONE, [[office.row(attempt, result=[9, "sha"])], [0]])
    (attempt,) = office.tree.current
    office.hear(1, Type.DONE, [[office.row(attempt)], [0]])
    send = run_message(office)
    _, groups = send.body
    values = {tuple(value[:3]): value[3:] for value in groups[0][6][1]}
    assert values == {
        (1, 1, 1): [VALUE_INLINE, None], (1, 1, 2): [VALUE_NONE, None], (1, 2, 1): [VALUE_BLOB, [9, "sha", 1, 3]],
    }  # fmt: skip
    assert Fetch(committed, 0, 1) in send.fetches


def test_a_follow_on_is_told_the_dir_of_its_chain() -> None:
    office = Office()
    office.hello(1)
    office.create(1, FIRST, 1, first_n=0)
    row = office.row(FIRST, follow=True)
    row[4] |= 2
    office.hear(1, Type.DONE, [[row], [0]])
    ((_, groups),) = office.sent(Type.RUN)
    assert groups[0][5] == "01/1-1.1"


def crowded() -> Office:
    """Two workers, of which the first has been given everything."""
    office = Office(target_time=100.0)
    office.hello(1)
    office.create(1, FIRST, 9, form=["quick", None, {"expected_time": 0.1}])
    office.done(1, FIRST, created=9)
    assert len(office.given(1)) == 9
    office.turn(after=1.0)
    return office


def test_what_waits_on_one_worker_is_recalled_for_another_that_is_idle() -> None:
    office = crowded()
    assert not office.sent(Type.RECALL)
    office.hello(2)
    office.turn(after=0.1)
    ((recalled,),) = office.sent(Type.RECALL, 1)
    assert recalled == [[1, number] for number in (7, 8, 9, 10)], "the last half"
    office.turn(after=0.1)
    ((more,),) = office.sent(Type.RECALL, 1)
    assert not [attempt for attempt in more if attempt in recalled], "nothing is asked for twice"
    office.hear(1, Type.RETURNED, [recalled, False])
    assert len(office.given(2)) > 0


def test_nothing_is_recalled_while_something_else_waits_for_the_idle_one() -> None:
    office = Office(target_time=100.0)
    office.hello(1)
    office.turn(after=5.0)
    assert not office.sent(Type.RECALL)
    assert office.tree.current[FIRST].id == ROOT


def taken_by_a_follow_on(count: int, size: int) -> Office:
    """A follow-on that takes ``count`` results of ``size`` bytes is ready."""
    office = Office(target_time=100.0, workers=1)
    office.hello(1, cpus=float(count))
    office.create(1, FIRST, count, form=["t", None, {}])
    office.create(1, FIRST, 1, first_n=0, extras={0: [[1, count], [], None]})
    office.done(1, FIRST, created=count, follow=True)
    for number in range(2, count + 2):
        row = office.row(Attempt(1, number), "", 0, False, result=True)
        office.hear(1, Type.DONE, [[row], [size]], b"x" * size)
    return office


def test_many_large_values_of_one_target_go_by_way_of_blobs() -> None:
    """In one message they would be over libzmq's limit, and be lost without a word."""
    send = run_message(taken_by_a_follow_on(30, 60_000))
    assert len(send.spills) == 30
    assert {value[3] for value in send.body[1][0][6][1]} == {VALUE_BLOB}
    assert len(send.fetches) == 1


def test_few_or_small_values_go_in_the_message() -> None:
    send = run_message(taken_by_a_follow_on(3, 60_000))
    assert (len(send.spills), len(send.fetches)) == (0, 4)
    send = run_message(taken_by_a_follow_on(30, 1000))
    assert (len(send.spills), len(send.fetches)) == (0, 31)
