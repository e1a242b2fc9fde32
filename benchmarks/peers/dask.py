"""Dask: dask.distributed with worker processes on this machine; in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.peers.futures import Futures
from benchmarks.targets import nap


class Dask(Futures):
    """One worker process of one thread for each slot; calls are submitted one by one, results gathered."""

    name = "Dask"

    @contextmanager
    def warm(self, slots: int) -> Iterator[_Caller]:
        """A cluster whose workers have run something."""
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=slots, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
            ) as cluster,
            Client(cluster) as client,
        ):
            caller = _Caller(client)
            caller.results([caller.submit(nap, 0.05) for _ in range(2 * slots)])
            yield caller


class _Caller:
    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, pure=False)

    def results(self, futures: list[Any]) -> list[Any]:
        gathered: list[Any] = self._client.gather(futures)
        return gathered
