"""Ray, on this machine; in memory."""

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


class Ray(Futures):
    """As many cpus as slots; calls are submitted one by one, results got together."""

    name = "Ray"

    @contextmanager
    def warm(self, slots: int) -> Iterator[_Caller]:
        """An instance whose processes have run something."""
        import ray

        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        ray.init(
            num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level=logging.CRITICAL,
            runtime_env={"env_vars": {"PYTHONPATH": path}},
        )  # fmt: skip
        try:
            caller = _Caller(ray)
            caller.results([caller.submit(nap, 0.2) for _ in range(2 * slots)])
            yield caller
        finally:
            ray.shutdown()


class _Caller:
    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._remote: dict[Callable[..., Any], Any] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        remote = self._remote.get(function)
        if remote is None:
            remote = self._remote[function] = self._ray.remote(function)
        return remote.remote(*arguments)

    def results(self, futures: list[Any]) -> list[Any]:
        got: list[Any] = self._ray.get(futures)
        return got
