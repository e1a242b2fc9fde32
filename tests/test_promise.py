"""A promise can be passed on and nothing else."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import pytest

from jobtree import Cancelled, Failure, Promise
from jobtree.ids import PromiseKey

PROMISE: Any = Promise[int](PromiseKey(1, 7, 3))


@pytest.mark.parametrize(
    "use",
    [
        bool,
        iter,
        len,
        str,
        int,
        float,
        list,
        math.floor,
        operator.neg,
        lambda promise: promise + 1,
        lambda promise: 1 + promise,
        lambda promise: promise[0],
        lambda promise: promise == 3,
        lambda promise: promise != 3,
        lambda promise: promise < 3,
        lambda promise: 3 in promise,
        lambda promise: f"{promise}",
        lambda promise: promise.attribute,
        lambda promise: [1, 2][promise],
    ],
)
def test_using_a_promise_too_early_says_what_to_do(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="not known until the target runs; pass it to a target"):
        use(PROMISE)


@pytest.mark.parametrize("use", [lambda promise: {promise}, lambda promise: {promise: 1}, hash])
def test_a_promise_is_no_dict_key_and_no_member_of_a_set(use: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match="dict key or the member of a set"):
        use(PROMISE)


def test_the_value_of_a_promise_is_the_promise_itself() -> None:
    assert PROMISE.value is PROMISE


def test_a_promise_shows_whose_it_is() -> None:
    assert repr(PROMISE) == "<Promise of child 3 of attempt 1.7>"
    assert repr(Promise[int](PromiseKey(1, 7, 0))) == "<Promise of the follow-on of attempt 1.7>"


def test_inspectors_that_try_special_names_are_told_that_they_are_not_there() -> None:
    assert not hasattr(PROMISE, "_repr_html_")
    assert not callable(PROMISE)


def test_what_takes_the_place_of_a_missing_result_is_falsy() -> None:
    assert not Failure("name", "exit", "words")
    assert not Cancelled("name")
    assert Failure("name") == Failure("name")
