"""concurrent.futures.ProcessPoolExecutor: what Python brings along; on one machine, in memory, without a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from benchmarks.peers.futures import Futures
from benchmarks.targets import nap


class Pool(Futures):
    """Processes started beforehand by `fork`, calls submitted one by one."""

    name = "ProcessPoolExecutor"

    @contextmanager
    def warm(self, slots: int) -> Iterator[_Caller]:
        """A pool whose processes are there."""
        with ProcessPoolExecutor(slots, mp_context=get_context("fork")) as pool:
            caller = _Caller(pool)
            caller.results([caller.submit(nap, 0.05) for _ in range(slots)])
            yield caller


class _Caller:
    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(function, *arguments)

    def results(self, futures: list[Future[Any]]) -> list[Any]:
        return [future.result() for future in futures]
