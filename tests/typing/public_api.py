"""What type checkers must infer of the public API; never run, read by mypy --strict and by pyright."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_type

import jobtree
from jobtree import CommandResult, Promise, Target
from jobtree._inline import run_inline


class Setup(Target[int], memory="100M"):
    def __init__(self, path: Path, n: int) -> None:
        super().__init__(cpus=1)
        self.path, self.n = path, n

    def run(self) -> Promise[int]:
        child = self.add_child(Down("x"))
        assert_type(child, Promise[str])
        assert_type(child.value, str)
        assert_type(self.add_children([Down("y")], allow_failure=True), list[Promise[str]])
        assert_type(self.local_temp_dir, Path)
        assert_type(self.remaining_time(), float | None)
        self.log("words", level="WARNING")
        return self.set_follow_on(total([length(child.value)], 1))


@dataclass
class Down(Target[str], cpus=2):
    name: str
    memory: int = 0

    def run(self) -> str:
        return self.name


@jobtree.target
def plain(path: str, n: int = 0) -> int:
    return len(path) + n


@jobtree.target(memory="1G")
def asked(path: str) -> list[str]:
    return [path]


@jobtree.target
def running(target: Target[Any], path: str) -> float:
    target.add_child(plain(path))
    return 1.0


@jobtree.target(cpus=2)
def promising(me: Target[Any], path: str) -> Promise[int]:
    return me.set_follow_on(plain(path))


@jobtree.target
def delayed(path: str) -> Promise[int]:
    return jobtree.current_target().add_child(plain(path))


@jobtree.target
def fib(me: Target[Any], n: int) -> Promise[int] | int:
    return me.set_follow_on(fib(n - 1)) if n else 1


@jobtree.target
def total(parts: list[Target[int]], n: int) -> int:
    return len(parts) + n


@jobtree.target
def untyped(target, parts):  # type: ignore[no-untyped-def]  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
    return parts  # pyright: ignore[reportUnknownVariableType]


def length(text: str) -> Target[int]:
    return jobtree.call(len, text)


def with_running(target: Target[Any], n: int) -> Promise[str]:
    return target.add_child(Down(str(n)))


assert_type(plain("x", n=3), Target[int])
assert_type(asked("x"), Target[list[str]])
assert_type(running("x"), Target[float])
assert_type(promising("x"), Target[int])
assert_type(delayed("x"), Target[int])
assert_type(fib(3), Target[int])
assert_type(plain("x").needs(memory="2G"), Target[int])
assert_type(jobtree.call(len, "abc").needs(memory="2G", cpus=2), Target[int])
assert_type(jobtree.call(plain, "abc"), Target[int])
assert_type(jobtree.call(with_running, 3), Target[str])
assert_type(jobtree.command("sort in > out", cpus=4), Target[CommandResult])
assert_type(Setup(Path("x"), 3).needs(cpus=2), Setup)
assert_type(run_inline(Setup(Path("x"), 3)), int)
assert_type(run_inline(running("x")), float)
assert_type(jobtree.run(Setup(Path("x"), 3)), int)
assert_type(jobtree.run(promising("x")), int)


def with_any(anything: Any) -> None:
    """Arguments without a type, as argparse gives them, do not spoil the result's."""
    assert_type(plain(anything), Target[int])
    assert_type(asked(anything), Target[list[str]])
    assert_type(running(anything), Target[float])
    assert_type(promising(anything), Target[int])
    assert_type(jobtree.call(length, anything), Target[Target[int]])


untyped([1])
running.fn(Setup(Path("x"), 3), "x")

plain(b"x")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
running()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
jobtree.call(len, 3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def executors() -> None:
    with jobtree.Cluster(workers=2) as cluster:
        assert_type(cluster.run(Down("x")), str)
        assert_type(cluster.run([Down("x"), Down("y")]), list[str])
        assert_type(cluster.submit(Down("x")), jobtree.Future[str])
        assert_type(cluster.submit(plain, "x", n=2), jobtree.Future[int])
    with jobtree.Executor(2) as executor:
        assert_type(executor.submit(words, 1), jobtree.Future[str])
        assert_type(list(executor.map(words, [1, 2])), list[str])
        executor.submit(words, "not a number")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def words(n: int) -> str:
    return str(n)


async def asynchronous() -> None:
    assert_type(await jobtree.run_async(Down("x")), str)
