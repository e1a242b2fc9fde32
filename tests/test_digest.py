"""Roots are told apart by what they hold, and not by the order in which a process happens to keep its sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jobtree._digest import digest_of
from jobtree.protocol import payload
from tests.support.scripts import SOURCE

VALUES = {
    "a set": "{'a', 'b', 'c', 'd', 'e', 'f'}",
    "a large set": "{str(i) for i in range(5000)}",
    "frozen sets of tuples": "[frozenset({('a', 1), ('a', 2), ('b', 'a')}), 'a', {'x': frozenset('abc')}]",
    "a lambda with a set": "lambda x: x in {'q', 'r', 's', 't'}",
    "no set": "[1, 'a', 'a', {'b': 2.5}]",
}
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
    ],
)
def test_what_differs_has_another_digest(one: object, other: object) -> None:
    assert _digest(one) != _digest(other)


def _digest(value: object) -> str:
    pickled = payload.dumps(value, None)
    return digest_of(pickled.data, pickled.codes)
