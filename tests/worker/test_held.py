"""What a worker keeps until the master has it on disk."""

from __future__ import annotations

from jobtree.ids import Attempt
from jobtree.protocol.messages import HELD_ENDED, HELD_RUNNING, HELD_WAITING
from jobtree.worker.effects import Task
from jobtree.worker.held import Held, Holdings, PieceKept

ONE = Attempt(1, 1)


def holding() -> tuple[Holdings, Held]:
    holdings = Holdings()
    held = holdings.add(Task(ONE, 7, 1, ["t", 1.0, 1, 0.0, None, False], "", b""))
    return holdings, held


def create(held: Held, size: int) -> PieceKept:
    piece = PieceKept([], [], b"x" * size, size)
    held.pieces.append(piece)
    held.created += size
    return piece


def test_a_listing_says_how_far_each_attempt_is() -> None:
    holdings, held = holding()
    assert holdings.listing() == [[1, 1, 7, 0, HELD_WAITING]]
    held.begun = 5.0
    assert holdings.listing() == [[1, 1, 7, 0, HELD_RUNNING]]
    held.row = [1, 1]
    assert holdings.listing() == [[1, 1, 7, 0, HELD_ENDED]]


def test_an_attempt_that_has_created_something_has_begun() -> None:
    holdings, held = holding()
    create(held, 3)
    assert holdings.listing() == [[1, 1, 7, 3, HELD_RUNNING]]


def test_a_cancelled_attempt_is_not_listed() -> None:
    holdings, held = holding()
    held.cancelled = True
    assert holdings.listing() == []


def test_pieces_are_kept_until_they_are_acknowledged() -> None:
    holdings, held = holding()
    first, second = create(held, 3), create(held, 2)
    holdings.sent(5, [], [(held, 3)])
    holdings.sent(6, [], [(held, 2)])
    holdings.acknowledged(4)
    assert list(held.pieces) == [first, second]
    holdings.acknowledged(5)
    assert list(held.pieces) == [second]
    holdings.acknowledged(9)
    assert not held.pieces


def test_an_end_is_kept_until_it_is_acknowledged() -> None:
    holdings, held = holding()
    holdings.sent(5, [held], [])
    assert len(holdings) == 1
    holdings.acknowledged(5)
    assert len(holdings) == 0


def test_what_was_sent_in_a_session_that_is_over_is_kept() -> None:
    holdings, held = holding()
    piece = create(held, 3)
    holdings.sent(5, [held], [(held, 3)])
    holdings.session_over()
    holdings.acknowledged(100)
    assert holdings.get(ONE) is held
    assert list(held.pieces) == [piece]


def test_what_the_master_has_on_disk_is_not_sent_again() -> None:
    holdings, held = holding()
    create(held, 3)
    second = create(held, 2)
    holdings.adopted(held, 3)
    assert list(held.pieces) == [second]
    holdings.adopted(held, 5)
    assert not held.pieces


def test_a_piece_that_is_on_disk_in_part_is_sent_again_whole() -> None:
    holdings, held = holding()
    piece = create(held, 3)
    holdings.adopted(held, 2)
    assert list(held.pieces) == [piece]
