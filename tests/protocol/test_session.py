"""The numbers of a session."""

from __future__ import annotations

from jobtree.protocol.codec import Message
from jobtree.protocol.messages import Type
from jobtree.protocol.session import Session


def message(session: int, number: int) -> Message:
    return Message(Type.BEAT, 1, session, number, [])


def test_messages_are_numbered_from_0() -> None:
    session = Session(3)
    assert [session.next_number() for _ in range(3)] == [0, 1, 2]


def test_the_next_message_is_accepted_once() -> None:
    session = Session(3)
    assert session.accepts(message(3, 0))
    assert not session.accepts(message(3, 0))
    assert session.accepts(message(3, 1))


def test_a_gap_is_not_accepted_and_moves_nothing() -> None:
    session = Session(3)
    assert not session.accepts(message(3, 1))
    assert session.accepts(message(3, 0))


def test_a_message_of_another_session_is_not_accepted() -> None:
    session = Session(3)
    assert not session.accepts(message(2, 0))
    assert session.taken == 0
