"""`jobtree.Executor`: a cluster as an executor of `concurrent.futures`."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import Any, ParamSpec, TypeVar, overload

from ._cluster import Cluster
from ._function import FunctionTarget
from ._futures import Future
from ._map import in_order
from ._plain_call import PlainCall, Preparation
from ._target import Target

P = ParamSpec("P")
R = TypeVar("R")


class Executor(futures.Executor):
    """Runs calls on the workers of a cluster: a drop-in for `ProcessPoolExecutor` that reaches beyond one machine.

        with jobtree.Executor(max_workers=4) as executor:
            futures = [executor.submit(pow, n, 2) for n in range(10)]

    ``max_workers`` and further keywords are options of `jobtree.run` (``workers``, ``launcher``, ...). ``initializer`` is called
    with ``initargs`` in each process before its first call; if it raises, the executor is broken. A call that goes down with its
    process is tried again as every target is, and breaks nothing. Raises ValueError or TypeError as other executors do, and
    UsageError if no master can be had.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        if max_workers is not None:
            if max_workers <= 0:
                raise ValueError("max_workers must be greater than 0")
            options["workers"] = max_workers
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        options.setdefault("progress", "none")
        self._preparation = Preparation(uuid.uuid4().hex, initializer, initargs) if initializer is not None else None
        self.cluster = Cluster(**options)

    @overload
    def submit(self, fn: Target[R], /) -> Future[R]: ...
    @overload
    def submit(self, fn: FunctionTarget[..., R], /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a call made (or a target run); its future."""
        if isinstance(fn, Target) or self._preparation is None:
            return self.cluster.submit(fn, *args, **kwargs)
        return self.cluster.submit(PlainCall(fn, args, kwargs, self._preparation))

    def map(
        self,
        fn: Callable[..., R],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[R]:
        """The results in order. ``chunksize`` calls make one target, of which at most ``buffersize`` are on their way."""
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        calls = zip(*iterables, strict=False)
        if chunksize == 1:
            return in_order(self.submit, fn, calls, timeout, buffersize)
        chunks = in_order(self.submit, _Chunk(fn), _cut(calls, chunksize), timeout, buffersize)
        return itertools.chain.from_iterable(chunks)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; the workers go when all is done. With ``cancel_futures`` only what runs is finished."""
        self.cluster.shutdown(wait, cancel_futures=cancel_futures)


class _Chunk:
    """Several calls as one."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__qualname__ = getattr(fn, "__qualname__", type(fn).__qualname__)

    def __call__(self, *calls: tuple[Any, ...]) -> list[Any]:
        return [self.fn(*args) for args in calls]


def _cut(calls: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    items = iter(calls)
    while chunk := tuple(itertools.islice(items, size)):
        yield chunk


__all__ = ["Executor"]
