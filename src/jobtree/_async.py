"""Runs for asyncio: `jobtree.run_async` and `jobtree.wrap_future`."""

from __future__ import annotations

import argparse
import asyncio
from concurrent import futures
from typing import Any, TypeVar

from ._cluster import Cluster
from ._target import Target
from .options import Options

R = TypeVar("R")


async def run_async(target: Target[R], options: argparse.Namespace | Options | None = None, /, **keywords: Any) -> R:
    """Run a target and all that it leads to, beside the event loop; its result.

    The master is a process of its own (see `Cluster`, whose options these are). Cancelling the task stops the run. Raises the
    exception that has ended the target, or TargetsFailed where there is none.
    """
    cluster = await asyncio.to_thread(Cluster, options, **keywords)
    future = cluster.submit(target)
    try:
        result: R = await asyncio.wrap_future(future)
        return result
    except BaseException:
        cluster._session.stop()
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(cluster.shutdown))


def wrap_future(future: futures.Future[R], *, loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Future[R]:
    """A future of a `Cluster` or an `Executor` as one of asyncio."""
    return asyncio.wrap_future(future, loop=loop)


__all__ = ["run_async", "wrap_future"]
