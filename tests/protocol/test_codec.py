"""Envelopes to bytes and back; nothing that a peer sends is believed."""

from __future__ import annotations

import os
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtree.errors import ProtocolError
from jobtree.protocol.codec import HELLO_FIELDS, Message, decode, encode, packed_size
from jobtree.protocol.messages import MESSAGE_LIMIT, PROTOCOL, Role, Type, failure_row

HELLO = {
    "version": "1", "python": "3.11", "run": "r", "uid": "u", "block": "", "index": 0, "host": "h", "pid": 1, "cpus": 1.5,
    "memory": 100, "gpus": 0, "left": 60.5, "seen": [0, 0], "held": [[1, 2, 3, 4, 1]],
}  # fmt: skip
PIECE = [
    1,
    2,
    1,
    [["t", None, {"cpus": 2.0}], ["u", True, {}]],
    [0, 2, 1, 1],
    {1: [[1, 1], [], None], 2: [[], [1, 2], [9, "sha"]]},
    [3, 4, 0],
]
ROW = [1, 2, "", 3, 0, True, [1, 2], 1.5, 2, 0.0, 0.0, 100, [[1.0, "INFO", "x"]], None]
GOOD: list[tuple[Type, list[Any], bytes]] = [
    (Type.HELLO, [HELLO], b""),
    (Type.STARTED, [[[1, 2, 1.5]]], b""),
    (Type.CHILDREN, [[["sha", 2]], [PIECE]], b"ccaaabbbb"),
    (Type.CHILDREN, [[], [[1, 2, 0, [["t", None, {}]], [0, 1], {}, [1]]]], b"x"),
    (Type.DONE, [[ROW, failure_row((1, 3), "signal", {})], [2, 0]], b"xx"),
    (Type.DONE, [[[*ROW[:5], [3], *ROW[6:]]], [0]], b""),
    (Type.LOG, [[[1, 2, 1, 0, 2, 1.5]]], b"hi"),
    (Type.BEAT, [3], b""),
    (Type.RETURNED, [[[1, 2], [1, 3]], False], b""),
    (Type.RETURNED, [[], True], b""),
    (Type.NEED, [["sha"]], b""),
    (Type.BYE, ["reason"], b""),
]


def envelope(kind: Any, body: Any, protocol: Any = PROTOCOL, epoch: Any = 1, session: Any = 2, number: Any = 3) -> bytes:
    packed: bytes = msgpack.packb([protocol, kind, epoch, session, number, body])
    return packed


@pytest.mark.parametrize(("kind", "body", "data"), GOOD)
def test_a_message_comes_back_as_it_was(kind: Type, body: list[Any], data: bytes) -> None:
    message = Message(kind, 1, 2, 3, body, data)
    assert decode(encode(message), Role.WORKER) == message


@pytest.mark.parametrize("kind", [Type.RUN, Type.WELCOME, Type.STOP, Type.CANCEL])
def test_a_worker_may_not_speak_as_a_master(kind: Type) -> None:
    with pytest.raises(ProtocolError, match=f"a worker may not send {kind.name}"):
        decode([envelope(int(kind), [])], Role.WORKER)


def test_a_master_may_not_speak_as_a_worker() -> None:
    with pytest.raises(ProtocolError, match="a master may not send DONE"):
        decode([envelope(int(Type.DONE), [[], []])], Role.MASTER)


@pytest.mark.parametrize(
    "frames",
    [
        [], [b"", b"", b""], [b""], [b"\xc1"], [b"\x00\x00"], [msgpack.packb({})], [msgpack.packb([1, 2, 3])],
        [envelope(99, [])], [envelope(4, {})], [envelope("4", [])], [envelope(True, [])], [envelope(4, [], protocol=2)],
        [envelope(4, [], epoch=-1)], [envelope(4, [], session=1.5)], [envelope(4, [], number=None)], [b"\xdd\xff\xff\xff\xff"],
        [b"\x91" * 5000 + b"\x90"],
    ],
)  # fmt: skip
def test_what_is_no_envelope_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        decode(frames, Role.WORKER)


def test_an_envelope_over_the_limit_is_not_even_looked_at() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        decode([bytes(MESSAGE_LIMIT + 1)], Role.WORKER)


def spoilt(piece_field: int, value: Any) -> list[Any]:
    piece = list(PIECE)
    piece[piece_field] = value
    return [[], [piece]]


@pytest.mark.parametrize(
    "body",
    [
        [], [[]], [[], [[]]], [[["sha"]], []], [[["sha", -1]], []], spoilt(0, -1), spoilt(2, "1"), spoilt(3, [["t", 1, {}]]),
        spoilt(3, [["t", None, {1: 2}], ["u", None, {}]]), spoilt(4, [0, 2]), spoilt(4, [5, 3]), spoilt(4, [0, 2, 1]),
        spoilt(5, {7: [[], [], None]}), spoilt(5, {0: [[1], [], None]}), spoilt(5, {0: [[], [], [1]]}), spoilt(5, []),
        spoilt(6, [3, 4]), spoilt(6, []), spoilt(2, 0),
    ],
)  # fmt: skip
def test_pieces_of_the_wrong_shape_are_refused(body: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="CHILDREN"):
        decode([envelope(int(Type.CHILDREN), body), b"aaabbbb"], Role.WORKER)


def test_a_piece_must_name_all_of_its_data() -> None:
    with pytest.raises(ProtocolError, match="6 bytes of payload where 7 are named"):
        decode([envelope(int(Type.CHILDREN), [[], [PIECE]]), b"aaabbb"], Role.WORKER)


@pytest.mark.parametrize(
    ("field", "value"), [(0, "1"), (3, -1), (5, "x"), (5, [1, 2, 3, "x"]), (6, [1]), (9, None), (12, 5), (13, {})]
)
def test_rows_of_the_wrong_shape_are_refused(field: int, value: Any) -> None:
    row = list(ROW)
    row[field] = value
    with pytest.raises(ProtocolError, match="a row has the wrong shape"):
        decode([envelope(int(Type.DONE), [[row], [0]])], Role.WORKER)


def test_a_failure_needs_its_words_and_a_success_has_none() -> None:
    with pytest.raises(ProtocolError):
        decode([envelope(int(Type.DONE), [[[*ROW[:2], "signal", *ROW[3:]]], [0]])], Role.WORKER)


@pytest.mark.parametrize("key", HELLO_FIELDS)
def test_a_hello_without_one_of_its_fields_is_refused(key: str) -> None:
    with pytest.raises(ProtocolError, match=key):
        decode([envelope(int(Type.HELLO), [{**HELLO, key: None}])], Role.WORKER)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Type.STARTED, [[[1, 2]]]), (Type.RETURNED, [[[1, 2]]]), (Type.RETURNED, [[[1, 2]], 1]), (Type.RETURNED, [[[1]], True]),
        (Type.NEED, [[1]]), (Type.BYE, [1]), (Type.LOG, [[[1, 2, 1, 0, 5, 1.5]]]), (Type.LOG, [[[1, 2, -1, 0, 0, 1.5]]]),
        (Type.HELLO, [{**HELLO, "held": [[1, 2]]}]), (Type.HELLO, []),
    ],
)  # fmt: skip
def test_other_bodies_of_the_wrong_shape_are_refused(kind: Type, body: list[Any]) -> None:
    with pytest.raises(ProtocolError, match=kind.name):
        decode([envelope(int(kind), body)], Role.WORKER)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3) | st.integers(0, 5), inner, max_size=3),
    max_leaves=30,
)


@given(st.sampled_from(list(Type)), ANYTHING, st.binary(max_size=20))
def test_nonsense_is_refused_and_nothing_else_is_raised(kind: Type, body: Any, data: bytes) -> None:
    try:
        decode([envelope(int(kind), body), data], Role.WORKER)
    except ProtocolError:
        pass


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_noise_is_refused_and_nothing_else_is_raised(frames: list[bytes]) -> None:
    try:
        decode(frames, Role.WORKER)
    except ProtocolError:
        pass


def test_bytes_that_are_no_text_pass_through_texts_unchanged() -> None:
    """A variable, an argument or a path may be any bytes; Python has them as lone surrogates."""
    strange = os.fsdecode(b"a\xff\xfe")
    message = Message(Type.WELCOME, 1, 2, 3, [{"environ": {strange: strange}}])
    assert decode(encode(message), Role.MASTER).body == [{"environ": {strange: strange}}]


def test_the_packed_size_is_what_an_envelope_has_of_it() -> None:
    for value in (None, [1, "x" * 300, [2**40] * 70], {"message": os.fsdecode(b"\xff")}):
        with_it = encode(Message(Type.DONE, 1, 1, 1, [[value], []]))[0]
        without = encode(Message(Type.DONE, 1, 1, 1, [[], []]))[0]
        assert len(with_it) - len(without) == packed_size(value)


@pytest.mark.parametrize(
    "odd",
    [{"left": float("nan")}, {"left": 1e300}, {"held": [[0, 0, 3, 0, 1]]}, {"held": [[1, 2, 0, 0, 1]]}, {"cpus": float("nan")}],
)
def test_a_hello_beyond_all_measure_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="HELLO"):
        decode([envelope(int(Type.HELLO), [{**HELLO, **odd}])], Role.WORKER)
