"""Calls over iterables: results in order, with no more calls on their way than wanted."""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from .options import Options

R = TypeVar("R")
T = TypeVar("T")


@overload
def map(  # noqa: A001
    function: Callable[[T], R], iterable: Collection[T], options: argparse.Namespace | Options | None = None, /, **keywords: Any
) -> list[R]: ...
@overload
def map(  # noqa: A001
    function: Callable[[T], R],
    iterable: Iterable[T],
    options: argparse.Namespace | Options | None = None,
    /,
    *,
    buffersize: int = ...,
    **keywords: Any,
) -> Iterator[R]: ...
def map(  # noqa: A001  # as in concurrent.futures
    function: Callable[[T], R],
    iterable: Iterable[T],
    options: argparse.Namespace | Options | None = None,
    /,
    *,
    buffersize: int | None = None,
    **keywords: Any,
) -> Any:
    """Call ``function`` on each item, each call a target; the results in order. Options as for ``run``.

    Of a collection (something with a length) it is the list of them, from a run as any other. Of any other iterable, which may
    be endless, and with ``buffersize``, it is an iterator: at most ``buffersize`` calls (default 1,000) are on their way, and
    the workers go when it is used up, closed or forgotten.
    """
    if buffersize is None and isinstance(iterable, Collection):
        from ._function import call
        from ._run import run

        return run([call(function, item) for item in iterable], options, **keywords)
    from ._cluster import AHEAD, Cluster

    check_buffersize(buffersize)
    return _over(Cluster(options, **keywords), function, iterable, buffersize or AHEAD)


def _over(cluster: Any, function: Callable[[T], R], iterable: Iterable[T], buffersize: int) -> Iterator[R]:
    with cluster:
        yield from cluster.map(function, iterable, buffersize=buffersize)


def check_buffersize(buffersize: int | None) -> None:
    """Raises TypeError or ValueError unless it is None or a whole number above 0."""
    if buffersize is None:
        return
    if not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def in_order(
    submit: Callable[..., Future[R]],
    fn: Callable[..., R],
    calls: Iterable[tuple[Any, ...]],
    timeout: float | None,
    buffersize: int | None,
) -> Iterator[R]:
    """The results of the calls, in order; the first are submitted now. What is left is cancelled when nobody wants it."""
    check_buffersize(buffersize)
    until = None if timeout is None else time.monotonic() + timeout
    items = iter(calls)
    waiting: deque[Future[R]] = deque()

    def submit_up_to(most: int | None) -> None:
        while most is None or len(waiting) < most:
            args = next(items, None)
            if args is None:
                return
            waiting.append(submit(fn, *args))

    def results() -> Iterator[R]:
        try:
            while waiting:
                future = waiting.popleft()
                submit_up_to(buffersize - 1 if buffersize is not None else 0)
                try:
                    yield future.result(None if until is None else until - time.monotonic())
                finally:
                    future.cancel()
                submit_up_to(buffersize)
        finally:
            for future in waiting:
                future.cancel()

    submit_up_to(buffersize)
    return results()
