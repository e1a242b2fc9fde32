"""ipyparallel: engines on this machine, behind a load-balanced view; in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.futures import Futures
from benchmarks.targets import nap

ROOT = Path(__file__).resolve().parents[2]


class Ipyparallel(Futures):
    """One engine for each slot."""

    name = "ipyparallel"

    @contextmanager
    def warm(self, slots: int) -> Iterator[_Caller]:
        """Engines that have run something."""
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        import ipyparallel

        with ipyparallel.Cluster(n=slots, log_level=logging.CRITICAL) as client:
            caller = _Caller(client.load_balanced_view())
            caller.results([caller.submit(nap, 0.1) for _ in range(2 * slots)])
            yield caller


class _Caller:
    def __init__(self, view: Any) -> None:
        self._view = view

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._view.apply_async(function, *arguments)

    def results(self, futures: list[Any]) -> list[Any]:
        return [future.get() for future in futures]
