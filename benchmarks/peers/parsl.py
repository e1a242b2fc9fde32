"""Parsl: its high-throughput executor with a local provider; in memory."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.peers.futures import Futures
from benchmarks.targets import nap

ROOT = Path(__file__).resolve().parents[2]


class Parsl(Futures):
    """One block with a process for each slot; calls go straight to the executor, without Parsl's own graph."""

    name = "Parsl HTEX"

    @contextmanager
    def warm(self, slots: int) -> Iterator[_Caller]:
        """An executor whose processes have run something."""
        import parsl
        from parsl.config import Config
        from parsl.executors import HighThroughputExecutor
        from parsl.providers import LocalProvider

        logging.getLogger("parsl").setLevel(logging.CRITICAL)
        programs = os.path.dirname(sys.executable)  # its own, which it looks for in the PATH
        if programs not in os.environ["PATH"].split(os.pathsep):
            os.environ["PATH"] = os.pathsep.join([programs, os.environ["PATH"]])
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with tempfile.TemporaryDirectory() as directory:
            executor = HighThroughputExecutor(
                label="bench", max_workers_per_node=slots, cores_per_worker=1e-3, address="127.0.0.1", encrypted=False,
                provider=LocalProvider(init_blocks=1, max_blocks=1, worker_init=f"export PYTHONPATH={path}"),
            )  # fmt: skip
            config = Config(executors=[executor], run_dir=directory, initialize_logging=False, strategy="none")
            with parsl.load(config) as kernel:
                caller = _Caller(kernel)
                caller.results([caller.submit(nap, 0.1) for _ in range(2 * slots)])
                yield caller


class _Caller:
    def __init__(self, kernel: Any) -> None:
        from parsl import python_app

        self._kernel = kernel
        self._app = python_app
        self._apps: dict[Callable[..., Any], Any] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        app = self._apps.get(function)
        if app is None:
            app = self._apps[function] = self._app(function, data_flow_kernel=self._kernel)
        return app(*arguments)

    def results(self, futures: list[Any]) -> list[Any]:
        return [future.result() for future in futures]
