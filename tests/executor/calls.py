"""What the tests submit: functions that runners can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import jobtree

_set_by_initializer: list[Any] = ["nothing"]


def capture(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return args, kwargs


def divide(one: int, other: int) -> tuple[int, int]:
    return divmod(one, other)


def touch(path: str) -> None:
    Path(path).write_text("ran")


def wait_for(path: str, seconds: float = 60.0) -> str:
    """Return when there is a file at ``path``."""
    until = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(0.01)
    return path


def begin_and_wait(began: str, go: str) -> str:
    touch(began)
    return wait_for(go)


def set_value(value: object) -> None:
    _set_by_initializer[0] = value


def get_value(_: int = 0) -> object:
    return _set_by_initializer[0]


def fail_to_initialize() -> None:
    raise RuntimeError("no such luck")


class Rude(Exception):
    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} and {other}")


def raise_rude() -> None:
    try:
        raise KeyError("inner")
    except KeyError as inner:
        raise Rude("this", "that") from inner


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Unpicklable:
    def __reduce__(self) -> str | tuple[Any, ...]:
        raise TypeError("this one stays here")


class FailsToLoad:
    def __reduce__(self) -> str | tuple[Any, ...]:
        return _explode, ()


def _explode() -> None:
    raise ZeroDivisionError("while it was loaded")


def make_unpicklable() -> Unpicklable:
    return Unpicklable()


def make_fails_to_load() -> FailsToLoad:
    return FailsToLoad()


def many_bytes(size: int) -> bytes:
    return b"x" * size


def same(thing: object) -> object:
    return thing


def first_is_target(target: str) -> str:
    return target.upper()


@jobtree.target
def tree(target: jobtree.Target[int], depth: int) -> Any:
    if not depth:
        return 1
    return target.set_follow_on(total([target.add_child(tree(depth - 1)) for _ in range(2)]))


@jobtree.target
def total(parts: list[int]) -> int:
    return sum(parts)


@jobtree.target
def pair(target: jobtree.Target[Any]) -> Any:
    return {"a": target.add_child(tree(1)), "b": target.add_child(jobtree.call(many_bytes, 100_000))}


@jobtree.target
def fails_below(target: jobtree.Target[Any]) -> None:
    target.add_child(jobtree.call(raise_rude))
