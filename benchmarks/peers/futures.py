"""The workloads for whatever takes calls one by one and gives a future for each: most peers do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Protocol

from benchmarks.targets import echo_plainly, nap, nothing


class Caller(Protocol):
    """Warm processes."""

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Begin a call."""

    def results(self, futures: list[Any]) -> list[Any]:
        """Wait for all of these calls."""


class Futures:
    """A peer is made of this by saying how its processes are started and warmed up."""

    name = ""

    @contextmanager
    def warm(self, slots: int) -> Iterator[Caller]:
        """So many processes that have run something already."""
        raise NotImplementedError
        yield

    def fan_out(self, count: int, slots: int) -> float:
        """Seconds for so many no-op calls, results awaited."""
        with self.warm(slots) as caller:
            begun = time.monotonic()
            caller.results([caller.submit(nothing) for _ in range(count)])
            return time.monotonic() - begun

    def chain(self, steps: int, slots: int) -> list[float]:
        """The seconds of each call."""
        with self.warm(slots) as caller:
            times = [time.monotonic()]
            for _ in range(steps):
                caller.results([caller.submit(nothing)])
                times.append(time.monotonic())
        return [later - earlier for earlier, later in pairwise(times)]

    def naps(self, count: int, seconds: float, slots: int) -> float:
        """Seconds for so many calls that sleep."""
        with self.warm(slots) as caller:
            begun = time.monotonic()
            caller.results([caller.submit(nap, seconds) for _ in range(count)])
            return time.monotonic() - begun

    def echo(self, count: int, size: int, slots: int) -> float:
        """Seconds for so many calls that give back their argument of so many bytes, each another one."""
        with self.warm(slots) as caller:
            begun = time.monotonic()
            caller.results([caller.submit(echo_plainly, number.to_bytes(8, "big") + bytes(size)) for number in range(count)])
            return time.monotonic() - begun
