"""A worker with a key and an attempt says what can't be: that ends its session, in words, and never the master."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from jobtree.errors import ProtocolError
from jobtree.ids import Attempt
from jobtree.master import effects as want
from jobtree.master import records as r
from jobtree.protocol.codec import Message, decode, encode
from jobtree.protocol.messages import HELD_RUNNING, JOURNALED_LIMIT, VERDICT_ADOPT, VERDICT_CANCEL, Role, Type
from tests.support.office import ROOT, Office

FIRST = Attempt(1, 1)
SOUND: list[Any] = [1, 1, "", 0, 0, None, None, 1.0, 1.0, 0.0, 0.0, 0, None, None]


@pytest.fixture
def office() -> Office:
    office = Office()
    office.hello(1)
    return office


def refused(office: Office) -> bool:
    """Whether the session was ended, people were told why, and nothing of it was journaled; the second time the attempt goes."""
    said = [effect.text for effect in office.did(want.Tell) if "what can't be" in effect.text]
    return bool(said) and office.did(want.EndSession) == [want.EndSession(1)] and not office.step.records


@pytest.mark.parametrize(
    "row", [{"result": [7]}, {"result": [0]}, {"embeds": [1, 2**60]}, {"embeds": [2, 2]}, {"embeds": [0, 1]}]
)
def test_a_result_of_targets_that_are_not_there(office: Office, row: dict[str, Any]) -> None:
    office.create(1, FIRST, 2)
    said = office.row(FIRST, created=2, result=row.get("result"))
    said[6] = row.get("embeds")
    office.hear(1, Type.DONE, [[said], [0]])
    assert refused(office)
    office.hear(1, Type.DONE, [[said], [0]])
    assert [record.attempts for record in office.wrote(r.AttemptsLost)] == [[[1, 1, 1]]]


def test_a_result_of_the_last_child_or_of_the_follow_on_may_be_passed_on(office: Office) -> None:
    office.create(1, FIRST, 2)
    office.create(1, FIRST, 1, first_n=0)
    said = office.row(FIRST, created=2, follow=True, result=[0])
    said[6] = [0, 3]
    office.hear(1, Type.DONE, [[said], [0]])
    assert office.wrote(r.AttemptsCommitted)


@pytest.mark.parametrize("ranges", [[2, 1], [1, 2], [0, 1], [1, 2**60], [1, 1, 1, 1], [2**63, 1]])
@pytest.mark.parametrize("place", [0, 1])
def test_a_target_that_waits_for_others_than_those_before_it(office: Office, ranges: list[int], place: int) -> None:
    extra: list[Any] = [[], [], None]
    extra[place] = ranges
    office.create(1, FIRST, 2, extras={1: extra})
    assert refused(office)


def test_a_target_may_wait_for_all_before_it(office: Office) -> None:
    office.create(1, FIRST, 2)
    office.create(1, FIRST, 2, first_n=3, extras={1: [[1, 3], [], None]})
    office.create(1, FIRST, 1, first_n=0, extras={0: [[1, 4], [2, 1], None]})
    assert office.tree.current[FIRST].created == 5


@pytest.mark.parametrize(
    "requests",
    [
        {"cpus": "many"}, {"cpus": float("nan")}, {"cpus": -1}, {"memory": "2G"}, {"memory": 2**70}, {"priority": []},
        {"resources": {"licence": "x"}}, {"retries": None}, {"expected_time": float("inf")}, {"name": "x"}, {"else": [[]]},
    ],
)  # fmt: skip
def test_requests_that_nobody_can_make(office: Office, requests: dict[str, Any]) -> None:
    office.create(1, FIRST, 1, form=["t", None, requests])
    assert refused(office)


def test_what_is_said_twice_in_one_message_happens_once(office: Office) -> None:
    office.create(1, FIRST, 3)
    office.done(1, FIRST, created=3)
    given = [attempt for attempt, _ in office.given(1)]
    office.hear(1, Type.RETURNED, [[list(given[0])] * 3, False])
    assert [record.attempts for record in office.wrote(r.AttemptsReturned)] == [[list(given[0])]]
    held = office.state.core.roster.by_peer[1].held
    twice = [office.row(attempt) for attempt in held for _ in range(2)]
    office.hear(1, Type.DONE, [twice, [0] * len(twice)])
    assert [len(record.rows) for record in office.wrote(r.AttemptsCommitted)] == [len(twice) // 2]


HELD: list[tuple[list[list[int]], list[int]]] = [
    ([[1, 5, ROOT, 0, HELD_RUNNING], [1, 6, ROOT, 0, HELD_RUNNING]], [VERDICT_ADOPT, VERDICT_CANCEL]),
    ([[1, 5, ROOT, 0, HELD_RUNNING], [1, 5, 99, 0, HELD_RUNNING]], [VERDICT_ADOPT, VERDICT_CANCEL]),
    ([[2, 5, ROOT, 0, HELD_RUNNING]], [VERDICT_CANCEL]),  # nobody has been given that yet
    ([[3, 1, ROOT, 0, HELD_RUNNING]], [VERDICT_CANCEL]),
]


@pytest.mark.parametrize(("held", "verdicts"), HELD)
def test_attempts_that_were_never_given_out_are_not_adopted(held: list[list[int]], verdicts: list[int]) -> None:
    office = Office().restarted()
    office.hello(1, held=held)
    assert [verdict[2] for verdict in office.sent(Type.WELCOME)[0][1]] == verdicts


def test_an_attempt_is_not_adopted_under_another_targets_name(office: Office) -> None:
    office.create(1, FIRST, 1)
    office.hello(2, uid="u1", held=[[1, 1, ROOT + 1, 0, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 1, VERDICT_CANCEL, 0]]


def test_an_attempt_of_a_target_that_was_cancelled_meanwhile_is_not_adopted() -> None:
    """The record that gave it out was lost with the power, and somebody has cancelled its creator since."""
    office = Office()
    office.hello(1)
    office.create(1, FIRST, 3)
    office.done(1, FIRST, created=3)
    office = Office(records=[record for record in office.records if getattr(record, "first", None) != 2 or record.code != 5])
    office.state.core.emit(r.SubtreesCancelled(office.now, [ROOT]))
    office.hello(1, held=[[1, 9, 3, 0, HELD_RUNNING]])
    assert office.sent(Type.WELCOME)[0][1] == [[1, 9, VERDICT_CANCEL, 0]]


# -- what is refused where it comes in --------------------------------------------------------------------------------


def is_taken(kind: Type, body: list[Any], data: bytes = b"") -> bool:
    """Whether the decoder lets it pass."""
    try:
        decode(encode(Message(kind, 1, 1, 1, body, data)), Role.WORKER)
    except ProtocolError:
        return False
    return True


@pytest.mark.parametrize("place", [7, 8, 9, 10, 11])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e300, 2**64 - 1])
def test_times_and_sizes_beyond_all_measure(place: int, value: float) -> None:
    row = list(SOUND)
    assert is_taken(Type.DONE, [[row], [0]])
    row[place] = value
    assert not is_taken(Type.DONE, [[row], [0]])


@pytest.mark.parametrize("result", [[], [1, 2], [1, 2, 3], [-1], [-1, "sha"]])
def test_results_that_are_neither_a_blob_nor_a_target(result: list[Any]) -> None:
    assert not is_taken(Type.DONE, [[[*SOUND[:5], result, *SOUND[6:]]], [0]])


def test_words_of_a_failure_that_the_journal_could_not_pack() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    failed = [1, 1, "exception", *SOUND[3:13]]
    assert is_taken(Type.DONE, [[[*failed, {"message": "x", "exit": 3, "types": ["A"]}]], [0]])
    for words in ({"message": deep}, {"types": [deep]}, {"types": [[]]}):
        assert not is_taken(Type.DONE, [[[*failed, words]], [0]])


def test_times_that_come_short_and_would_be_long_in_the_journal() -> None:
    rows = [[1, 1, "signal", 0, 0, None, None, 1.5, 1.5, 1.5, 1.5, 1.5, None, {}]] * 20_000
    short: bytes = msgpack.packb([1, int(Type.DONE), 1, 1, 1, [rows, [0] * len(rows)]], use_single_float=True)
    assert len(short) < JOURNALED_LIMIT
    with pytest.raises(ProtocolError, match="in the journal"):
        decode([short], Role.WORKER)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Type.STARTED, [[[1, 1, float("nan")]]]), (Type.STARTED, [[[1, 1, 1.0, 5]]]), (Type.RETURNED, [[[1, 1, 1]], False]),
        (Type.LOG, [[[1, 1, 3, 0, 0, 1.0]]]), (Type.LOG, [[[1, 1, 1, 2**63, 0, 1.0]]]), (Type.LOG, [[[1, 1, 1, 0, 0, 1e99]]]),
    ],
)  # fmt: skip
def test_other_messages_beyond_all_measure(kind: Type, body: list[Any]) -> None:
    assert not is_taken(kind, body)
