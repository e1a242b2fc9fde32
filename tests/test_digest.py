"""Roots are told apart by what they hold, and not by the order in which a process happens to keep its sets."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobtree._digest import digest_of
from jobtree.protocol import payload
from tests.support.scripts import SOURCE

VALUES = {
    "a set": "{'a', 'b', 'c', 'd', 'e', 'f'}",
    "a large set": "{str(i) for i in range(5000)}",
    "frozen sets of tuples": "[frozenset({('a', 1), ('a', 2), ('b', 'a')}), 'a', {'x': frozenset('abc')}]",
    "a lambda with a set": "lambda x: x in {'q', 'r', 's', 't'}",
    "tuples that differ in one place": "{(name, kind, 1) for name in 'abcd' for kind in ('x', 'y')}",
    "objects in several sets": "(lambda u, v: [u, {u, v}, {v: {u}}, frozenset({(u, v), (v, u)})])(('u', 1), ('v', 2))",
    "sets in sets": "{frozenset({'a', 'b'}), frozenset({'b', 'c'}), frozenset({frozenset('abc'), 'd'})}",
    "a huge number": "{1 << 100_000, 'a', 'b'}",
    "no set": "[1, 'a', 'a', {'b': 2.5}]",
}
ONE, TWO = [1], [1]
ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)
ATOMS = st.one_of(st.integers(0, 3), st.sampled_from(["", "a", "b"]), st.none())


def _grown(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.frozensets(parts, max_size=3), st.lists(parts, max_size=3).map(tuple))


CODE = """
from jobtree._digest import digest_of
from jobtree.protocol import payload
pickled = payload.dumps({}, None)
print(digest_of(pickled.data, pickled.codes))
"""


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_the_digest_is_the_same_in_every_process(value: str) -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", CODE.replace("{}", value, 1)], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONHASHSEED": str(seed)},
        ).stdout
        for seed in range(3)
    }  # fmt: skip
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]),
        ({"a"}, {"b"}),
        ({"a", "b"}, {"a", "b", "c"}),
        ([{"x", "y"}, "a", "b", "a"], [{"x", "y"}, "a", "b", "b"]),
        ([{"x"}, {"y"}], [{"y"}, {"x"}]),
        (({"x"}, 1, 2), ({"x"}, 2, 1)),
        ({"x"}, frozenset({"x"})),
        ([{"x"}, {"a": 1, "b": 2}], [{"x"}, {"a": 2, "b": 1}]),
        (set(range(3000)), set(range(1, 3001))),
        ({("a", "b")}, {("b", "a")}),
        ({(1, 2)}, {(2, 1)}),
        ({(1, 2), (3, 4)}, {(1, 3), (2, 4)}),
        ({frozenset({1, 2}), 3}, {frozenset({1, 3}), 2}),
        ({(1, (2, 3))}, {((1, 2), 3)}),
        ({"1"}, {1}),
        ({b"a"}, {"a"}),
        ({(), "a"}, {((),), "a"}),
        ([{1}, ONE, TWO, ONE], [{1}, ONE, TWO, TWO]),
        ([{1}, ONE, ONE], [{1}, ONE, list(ONE)]),
        ([{1}, ENDLESS], [{1}, [ENDLESS]]),
    ],
)
def test_what_differs_has_another_digest(one: object, other: object) -> None:
    assert _digest(one) != _digest(other)


def test_a_root_nested_deeper_than_python_may_recurse_has_a_digest() -> None:
    def nested(bottom: str) -> bytes:
        return b"\x80\x05" + b"(" * 5000 + pickle.dumps(bottom)[2:-1] + b"\x91" * 5000 + b"."  # frozen sets in frozen sets

    assert digest_of(nested("a"), {}) == digest_of(nested("a"), {}) != digest_of(nested("b"), {})


@given(st.recursive(ATOMS, _grown, max_leaves=8), st.recursive(ATOMS, _grown, max_leaves=8))
def test_digests_are_equal_only_for_what_is_equal(one: object, other: object) -> None:
    if _digest([one, {0}]) == _digest([other, {0}]):
        assert one == other
        assert repr(type(one)) == repr(type(other))


def _digest(value: object) -> str:
    pickled = payload.dumps(value, None)
    return digest_of(pickled.data, pickled.codes)
