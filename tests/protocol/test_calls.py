"""Calls with plain arguments take the short way, all others the long one, and nobody can tell by what comes back."""

from __future__ import annotations

import datetime as dt
import pickle
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import jobtree
from jobtree import Promise
from jobtree._digest import digest_of
from jobtree.ids import PromiseKey
from jobtree.protocol import calls, payload

KEY = PromiseKey(1, 7, 3)


class Colour(Enum):
    RED = "red"


class Text(str):
    __slots__ = ()


@jobtree.target
def count(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


@jobtree.target(memory="1G")
def heavy(path: Path) -> Path:
    return path


def plain() -> None:
    """Was a function target once."""


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.complex_numbers(allow_nan=False),
)
VALUES = st.recursive(
    ATOMS, lambda parts: st.one_of(st.lists(parts), st.tuples(parts, parts), st.dictionaries(st.text(), parts)), max_leaves=8
)


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=3))
def test_plain_arguments_come_back_as_they_were(args: list[Any], kwargs: dict[str, Any]) -> None:
    pickled = payload.dumps(count(*args, **kwargs))
    assert pickled.data.startswith(calls.MARK)
    assert payload.loads(pickled.data).run() == (tuple(args), kwargs)


def test_the_requests_of_the_function_come_with_its_name() -> None:
    pickled = payload.dumps(heavy(Path("/data")))
    assert pickled.data.startswith(calls.MARK)
    target = payload.loads(pickled.data)
    assert target.run() == Path("/data")
    assert target.memory == 1 << 30


@pytest.mark.parametrize(
    "argument",
    [Colour.RED, Text("x"), plain, len, Colour, [lambda: 5]],
    ids=["an enum", "a subclass", "a function", "a builtin", "a class", "a lambda"],
)
def test_what_needs_code_takes_the_long_way(argument: Any) -> None:
    pickled = payload.dumps(count(argument))
    assert not pickled.data.startswith(calls.MARK)
    ((back,), _) = payload.loads(pickled.data, code=pickled.codes.__getitem__).run()
    assert type(back) is type(argument)
    assert back == argument or back[0]() == 5


def test_requests_of_one_call_alone_are_kept() -> None:
    pickled = payload.dumps(count(1).needs(cpus=3))
    assert payload.loads(pickled.data).cpus == 3


def test_a_function_without_a_name_takes_the_long_way() -> None:
    local = jobtree.target(lambda x: x + 1)
    pickled = payload.dumps(local(1))
    assert not pickled.data.startswith(calls.MARK)
    assert payload.loads(pickled.data, code=pickled.codes.__getitem__).run() == 2


def test_promises_in_plain_arguments_are_found_and_kept() -> None:
    pickled = payload.dumps(count([Promise(KEY)], x={"deep": (Promise(KEY), 1)}), Promise)
    assert pickled.data.startswith(calls.MARK)
    assert pickled.promises == (KEY,)
    assert payload.loads(pickled.data, {KEY: "kept"}).run() == ((["kept"],), {"x": {"deep": ("kept", 1)}})
    stored = payload.Stored(lambda: payload.dumps([1, 2]).data)
    assert payload.loads(pickled.data, {KEY: stored}).run()[0] == ([[1, 2]],)


def test_a_promise_that_is_not_kept_is_an_error_on_the_short_way_too() -> None:
    pickled = payload.dumps(count(Promise(KEY)), Promise)
    with pytest.raises(Exception, match="was not given"):
        payload.loads(pickled.data, {PromiseKey(1, 7, 4): "other"})


def test_what_cannot_be_pickled_is_named_as_ever() -> None:
    with pytest.raises(jobtree.JobtreeError, match="generator"):
        payload.dumps(count(x for x in "abc"))


def test_a_function_that_is_no_target_any_more_is_not_run_while_loading() -> None:
    data = payload.dumps(count()).data.replace(b"count", b"plain")
    with pytest.raises(AttributeError, match=r"'plain' of .* is none any more") as caught:
        payload.loads(data)
    assert payload.is_import_failure(caught.value)


def test_what_is_the_same_object_stays_the_same() -> None:
    shared: list[int] = []
    (one, two), _ = payload.loads(payload.dumps(count(shared, shared)).data).run()
    assert one is two
    assert one == []


def test_the_mark_is_no_pickle() -> None:
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(payload.dumps(count(dt.timedelta(1))).data)


def test_equal_calls_with_sets_have_one_digest() -> None:
    forth, back = {"a", "b", "c", "d"}, set("dcba")
    assert digest_of(payload.dumps(count(forth)).data, {}) == digest_of(payload.dumps(count(back)).data, {})
    assert digest_of(payload.dumps(count(forth)).data, {}) != digest_of(payload.dumps(count({"a"})).data, {})
