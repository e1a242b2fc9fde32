"""What a worker tells the master, and what it keeps until that is on disk."""

from __future__ import annotations

from typing import Any

from jobtree.ids import Attempt
from jobtree.protocol.codec import Message, encode
from jobtree.protocol.messages import FLAG_FOLLOW_ON, ROW_EMBEDS, ROW_FAILURE, ROW_MESSAGES, Type, failure_row
from jobtree.worker.effects import Task
from jobtree.worker.events import Printed
from jobtree.worker.held import Held, Holdings, PieceKept
from jobtree.worker.outbox import LOG_WINDOW, Outbox

FORM = ["t", 1.0, 1, 0.0, None, False]


class Line:
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Type, list[Any], bytes]] = []

    def __call__(self, kind: Type, body: list[Any], data: bytes) -> int:
        self.sent.append((kind, body, data))
        return len(self.sent)

    def take(self) -> list[Type]:
        return [kind for kind, _, _ in self.sent]


def held_by(holdings: Holdings, number: int) -> Held:
    return holdings.add(Task(Attempt(1, number), number, 1, FORM, "", b""))


def piece_of(held: Held, first: int, count: int) -> PieceKept:
    kept = PieceKept([*held.attempt, first, [], [], {}, [1] * count], [], b"x" * count, count)
    held.pieces.append(kept)
    held.backlog += kept.bytes
    held.created += count
    return kept


def begun() -> tuple[Holdings, Line, Outbox]:
    holdings, line = Holdings(), Line()
    outbox = Outbox(holdings, line)
    outbox.begin_session([])
    return holdings, line, outbox


def test_creations_go_before_the_end_that_counts_them_and_code_before_both() -> None:
    holdings, line, outbox = begun()
    held = held_by(holdings, 1)
    held.row = failure_row(held.attempt, "", {})
    outbox.ended(held)
    outbox.piece(held, piece_of(held, 1, 2))
    outbox.code("sha", b"code")
    outbox.flush(leaving=False)
    assert line.take() == [Type.CHILDREN, Type.CHILDREN, Type.DONE]
    assert line.sent[0][1] == [[["sha", 4]], []]
    assert line.sent[0][2] == b"code"


def test_what_was_created_out_of_contact_is_sent_once_in_the_next_session() -> None:
    """Sent twice, it would be acknowledged twice, and a later piece would be forgotten before it has arrived."""
    holdings, line, outbox = begun()
    outbox.end_session()
    held = held_by(holdings, 1)
    outbox.piece(held, piece_of(held, 1, 10))
    held.row = failure_row(held.attempt, "", {}, created=10)
    outbox.ended(held)
    holdings.adopted(held, 0)
    outbox.begin_session([held])
    outbox.flush(leaving=False)
    assert line.take() == [Type.CHILDREN, Type.DONE]
    assert len(line.sent[0][1][1]) == 1
    assert len(line.sent[1][1][0]) == 1
    outbox.acknowledged(1)
    assert held.delivered == 10


def test_a_session_sends_what_the_master_has_not_got_of_an_adopted_attempt() -> None:
    holdings, line, outbox = begun()
    held = held_by(holdings, 1)
    for first in (1, 11, 21):
        outbox.piece(held, piece_of(held, first, 10))
    outbox.flush(leaving=False)
    outbox.end_session()
    holdings.adopted(held, 10)
    outbox.begin_session([held])
    line.sent.clear()
    outbox.flush(leaving=False)
    assert [piece[2] for piece in line.sent[0][1][1]] == [11, 21]


def test_code_is_sent_until_it_is_on_disk() -> None:
    _, line, outbox = begun()
    outbox.code("sha", b"code")
    outbox.flush(leaving=False)
    outbox.end_session()
    outbox.begin_session([])
    line.sent.clear()
    outbox.flush(leaving=False)
    assert line.take() == [Type.CHILDREN]
    outbox.acknowledged(1)
    outbox.end_session()
    outbox.begin_session([])
    line.sent.clear()
    outbox.flush(leaving=False)
    assert line.take() == []


def test_an_attempt_that_has_ended_is_not_said_to_have_begun() -> None:
    holdings, line, outbox = begun()
    held = held_by(holdings, 1)
    outbox.started(held.attempt, 1.0)
    held.row = failure_row(held.attempt, "", {}, created=0)
    held.row[4] = FLAG_FOLLOW_ON
    outbox.ended(held)
    outbox.flush(leaving=False)
    assert line.take() == [Type.DONE]


def test_a_draining_worker_says_so_once_a_session() -> None:
    _, line, outbox = begun()
    outbox.flush(leaving=True)
    outbox.flush(leaving=True)
    assert [body for _, body, _ in line.sent] == [[[], True]]
    outbox.end_session()
    outbox.begin_session([])
    outbox.flush(leaving=True)
    assert line.take() == [Type.RETURNED] * 2


def test_output_waits_for_a_master_that_does_not_keep_up() -> None:
    _, line, outbox = begun()
    chunk = b"x" * 100_000
    for place in range(2 * LOG_WINDOW // len(chunk)):
        outbox.printed(Printed(Attempt(1, 1), 1, place * len(chunk), chunk, 0.0))
        outbox.flush(leaving=False)
    flying = sum(len(data) for _, _, data in line.sent)
    assert LOG_WINDOW <= flying < LOG_WINDOW + 2 * len(chunk)
    outbox.acknowledged(len(line.sent))
    outbox.flush(leaving=False)
    assert sum(len(data) for _, _, data in line.sent) > flying


def sizes_of_dones(line: Line) -> list[int]:
    return [len(frame) for kind, body, data in line.sent for frame in [b"".join(encode(Message(kind, 1, 1, 1, body, data)))]]


def test_ends_with_much_beside_their_data_are_cut_into_messages_that_fit_into_a_frame() -> None:
    holdings, line, outbox = begun()
    for number in range(1, 13):
        held = held_by(holdings, number)
        held.row = failure_row(held.attempt, "", {})
        held.row[ROW_FAILURE] = None
        held.data = b"x" * 65_536
        held.row[ROW_EMBEDS] = [1_000_000, 1] * 60_000 if number % 4 == 0 else None
        held.row[ROW_MESSAGES] = [[1.0, "INFO", "é" * 30_000]] if number % 3 == 0 else None
        if number % 4 == 1:
            held.row = failure_row(held.attempt, "exception", {"message": "é" * 4000, "output": "é" * 32_000})
        outbox.ended(held)
    outbox.flush(leaving=False)
    assert [row[1] for _, body, _ in line.sent for row in body[0]] == list(range(1, 13))
    assert max(sizes_of_dones(line)) < 768 * 1024


def test_small_ends_share_a_message() -> None:
    holdings, line, outbox = begun()
    for number in range(1, 101):
        held = held_by(holdings, number)
        held.row = failure_row(held.attempt, "exception", {"message": "no", "output": "x" * 100})
        outbox.ended(held)
    outbox.flush(leaving=False)
    assert line.take() == [Type.DONE]


def test_pieces_with_many_forms_are_not_all_put_into_one_message() -> None:
    holdings, line, outbox = begun()
    held = held_by(holdings, 1)
    for first in range(1, 101):
        kept = piece_of(held, first, 1)
        kept.piece[3] = [["x" * 200_000, None, {}]]
        outbox.piece(held, kept)
    outbox.flush(leaving=False)
    assert sum(len(body[1]) for _, body, _ in line.sent) == 100
    assert max(sizes_of_dones(line)) < 1024 * 1024


def test_an_end_waits_for_the_output_of_its_attempt() -> None:
    holdings, line, outbox = begun()
    held = held_by(holdings, 1)
    chunk = b"x" * 100_000
    for place in range(2 * LOG_WINDOW // len(chunk)):
        outbox.printed(Printed(held.attempt, 1, place * len(chunk), chunk, 0.0))
        outbox.flush(leaving=False)
    held.row = failure_row(held.attempt, "", {})
    outbox.ended(held)
    outbox.flush(leaving=False)
    assert Type.DONE not in line.take()
    while Type.DONE not in line.take():
        sent = len(line.sent)
        outbox.acknowledged(sent)
        outbox.flush(leaving=False)
        assert len(line.sent) > sent, "nothing more comes"
    assert line.take()[-1] is Type.DONE
    assert line.take().count(Type.DONE) == 1
