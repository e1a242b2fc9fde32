"""The tables of the protocol."""

from __future__ import annotations

from jobtree.ids import NOBODY, Attempt, PromiseKey
from jobtree.protocol.codec import check_row
from jobtree.protocol.messages import MAY_SEND, ROW_FIELDS, Role, Type, default_temp, failure_row


def test_every_type_has_a_sender_and_only_a_beat_has_two() -> None:
    both = MAY_SEND[Role.MASTER] & MAY_SEND[Role.WORKER]
    assert both == {Type.BEAT}
    assert MAY_SEND[Role.MASTER] | MAY_SEND[Role.WORKER] | MAY_SEND[Role.CLIENT] == set(Type)
    assert MAY_SEND[Role.CLIENT] == {Type.REQUEST, Type.SUBMIT}


def test_types_never_change_their_numbers() -> None:
    assert {kind.name: int(kind) for kind in Type} == {
        "HELLO": 1, "STARTED": 2, "CHILDREN": 3, "DONE": 4, "LOG": 5, "BEAT": 6, "RETURNED": 7, "NEED": 8, "BYE": 9,
        "WELCOME": 20,
        "REJECT": 21, "BUSY": 22, "NOSESSION": 23, "RUN": 24, "BLOB": 25, "ACK": 26, "CANCEL": 27, "RECALL": 28, "STOP": 31,
        "STACK": 32, "STACKED": 10, "REQUEST": 40, "REPLY": 41, "SUBMIT": 42, "RESULT": 43,
        "EVENT": 44,
    }  # fmt: skip


def test_the_row_of_a_failure_is_a_row() -> None:
    row = failure_row((1, 2), "signal", {"message": "killed"}, created=3)
    assert len(row) == ROW_FIELDS
    assert check_row(row)


def test_a_temp_dir_is_named_after_chain_and_attempt() -> None:
    assert default_temp(0x1234, 2, 7) == "34/4660-2.7"


def test_an_attempt_is_written_with_a_dot() -> None:
    assert str(Attempt(2, 7)) == "2.7"
    assert NOBODY == (0, 0)
    assert PromiseKey(1, 2, 3)[:2] == Attempt(1, 2)
