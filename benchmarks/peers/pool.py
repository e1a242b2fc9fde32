"""concurrent.futures.ProcessPoolExecutor: what Python brings along; on one machine, in memory, without a journal."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from multiprocessing import get_context

from benchmarks.targets import nap, nothing


class Pool:
    """Processes started beforehand by `fork`, calls submitted one by one."""

    name = "ProcessPoolExecutor"

    def fan_out(self, count: int, slots: int) -> float:
        """Seconds for so many no-op calls, results awaited."""
        with _warm(slots) as pool:
            begun = time.monotonic()
            for future in [pool.submit(nothing) for _ in range(count)]:
                future.result()
            return time.monotonic() - begun

    def chain(self, steps: int, slots: int) -> list[float]:
        """The seconds of each call."""
        with _warm(slots) as pool:
            times = [time.monotonic()]
            for _ in range(steps):
                pool.submit(nothing).result()
                times.append(time.monotonic())
        return [later - earlier for earlier, later in pairwise(times)]

    def naps(self, count: int, seconds: float, slots: int) -> float:
        """Seconds for so many calls that sleep."""
        with _warm(slots) as pool:
            begun = time.monotonic()
            for future in [pool.submit(nap, seconds) for _ in range(count)]:
                future.result()
            return time.monotonic() - begun


def _warm(slots: int) -> ProcessPoolExecutor:
    """A pool whose processes are there."""
    pool = ProcessPoolExecutor(slots, mp_context=get_context("fork"))
    for future in [pool.submit(nap, 0.05) for _ in range(slots)]:
        future.result()
    return pool
