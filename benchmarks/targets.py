"""The targets of the workloads. Times are taken inside, by the clock that all processes of a machine share (`time.monotonic`)."""

from __future__ import annotations

import time
from typing import Any

import jobtree
from jobtree import Promise, Target


@jobtree.target
def noop() -> None:
    """Nothing."""


@jobtree.target
def rest(seconds: float) -> None:
    """Sleep."""
    time.sleep(seconds)


def nothing() -> None:
    """What `noop` does, for the peers."""


def nap(seconds: float) -> None:
    """What `rest` does, for the peers."""
    time.sleep(seconds)


def echo_plainly(data: bytes) -> bytes:
    """What `echo` does, for the peers."""
    return data


@jobtree.target
def echo(data: bytes) -> bytes:
    """Give back."""
    return data


@jobtree.target
def shout(size: int) -> None:
    """Print so many bytes, in lines."""
    print(("x" * 63 + "\n") * (size // 64), end="")


@jobtree.target
def fan_out_echoes(target: Target[Any], count: int, size: int) -> Promise[float]:
    """So many children that give back so many bytes, each others; seconds as below."""
    begun = time.monotonic()
    target.add_children(echo(number.to_bytes(8, "big") + bytes(size)) for number in range(count))
    return target.set_follow_on(since(begun))


@jobtree.target
def fan_out_shouts(target: Target[Any], count: int, size: int) -> Promise[float]:
    """So many children that print so many bytes; seconds as below."""
    begun = time.monotonic()
    target.add_children(shout(size) for _ in range(count))
    return target.set_follow_on(since(begun))


@jobtree.target
def since(begun: float) -> float:
    """Seconds from then to now."""
    return time.monotonic() - begun


@jobtree.target
def fan_out(target: Target[Any], count: int) -> Promise[float]:
    """So many no-op children; the seconds from the first one's creation until all have ended."""
    begun = time.monotonic()
    target.add_children(noop() for _ in range(count))
    return target.set_follow_on(since(begun))


@jobtree.target
def fan_out_naps(target: Target[Any], count: int, seconds: float) -> Promise[float]:
    """So many children that sleep; seconds as above."""
    begun = time.monotonic()
    target.add_children(rest(seconds) for _ in range(count))
    return target.set_follow_on(since(begun))


@jobtree.target
def fan_out_commands(target: Target[Any], count: int) -> Promise[float]:
    """So many children that start /bin/true; seconds as above."""
    begun = time.monotonic()
    target.add_children(jobtree.command(["/bin/true"]) for _ in range(count))
    return target.set_follow_on(since(begun))


@jobtree.target
def chain(target: Target[Any], left: int, times: list[float]) -> Promise[list[float]] | list[float]:
    """A chain of so many follow-ons; the times at which they ran."""
    times.append(time.monotonic())
    return target.set_follow_on(chain(left - 1, times)) if left else times


@jobtree.target
def stamp(earlier: list[float]) -> list[float]:
    """A step of a chain of promises."""
    return [*earlier, time.monotonic()]


@jobtree.target
def chain_of_promises(target: Target[Any], steps: int) -> Promise[list[float]]:
    """So many children, each of which takes the result of the one before."""
    last = target.add_child(stamp([]))
    for _ in range(steps):
        last = target.add_child(stamp(last.value))
    return last


@jobtree.target
def add(parts: list[int]) -> int:
    """Reduces the results of two subtrees."""
    return sum(parts)


@jobtree.target
def leaves(target: Target[Any], depth: int) -> Promise[int] | int:
    """How many leaves a binary tree has, found by growing it: two children, and a follow-on that adds."""
    if depth == 0:
        return 1
    halves = [target.add_child(leaves(depth - 1)) for _ in range(2)]
    return target.set_follow_on(add([half.value for half in halves]))


@jobtree.target
def timed_leaves(target: Target[Any], depth: int) -> Promise[tuple[int, float]]:
    """The same, and the seconds that it took."""
    begun = time.monotonic()
    return target.set_follow_on(finish(target.add_child(leaves(depth)).value, begun))


@jobtree.target
def finish(count: int, begun: float) -> tuple[int, float]:
    """The end of `timed_leaves`."""
    return count, time.monotonic() - begun
