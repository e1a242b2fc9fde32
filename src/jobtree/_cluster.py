"""One master and warm workers over many runs: `jobtree.Cluster`."""

from __future__ import annotations

import argparse
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, overload

from ._child_master import ChildMaster
from ._client import Client
from ._function import FunctionTarget, call
from ._futures import Future
from ._plain_call import InitializerFailed, PlainCall
from ._run import _as_root, _here, _session_tree, refuse_inside_runner
from ._target import Target
from .errors import JobtreeError, NoMaster, TargetFailure, TargetsFailed, UsageError
from .options import Options
from .views.progress import Progress
from .views.snapshot import Snapshot

P = ParamSpec("P")
R = TypeVar("R")

#: Calls that ``map`` keeps on their way, if it is not told how many.
AHEAD = 1_000


class Cluster:
    """A master, in a process of its own, and its workers, for as many targets as one likes, one after the other or at once.

        with jobtree.Cluster(launcher="slurm", workers="0:20") as cluster:
            cluster.run(Setup(path))
            cluster.submit(function, 1).result()

    Options are those of ``jobtree.run``; without ``tree`` a new directory under the user's data directory is used. Leaving the
    ``with`` block waits for what was submitted, or, after an exception, stops it. Raises UsageError if no master can be had.
    """

    def __init__(
        self,
        options: argparse.Namespace | Options | None = None,
        /,
        *,
        tree: str | os.PathLike[str] | None = None,
        **keywords: Any,
    ) -> None:
        refuse_inside_runner()
        from .protocol.references import register_script

        merged = Options.merged(options, tree=tree, **keywords)
        script = register_script()
        path = Path(os.path.abspath(merged.tree)) if "tree" in merged.origins else _session_tree()
        self._session = _Session(path, merged, _here(script))
        self.tree = path
        self._finalizer = weakref.finalize(self, self._session.close)
        self._finalizer.atexit = False  # at the end of the process ``wait_at_exit`` does it

    @overload
    def submit(self, fn: Target[R], /) -> Future[R]: ...
    @overload
    def submit(self, fn: FunctionTarget[..., R], /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a target run, or a call of a function target or of any callable; the future of its result."""
        return self._session.client.submit(as_target(fn, args, kwargs))

    @overload
    def run(self, target: Target[R]) -> R: ...
    @overload
    def run(self, target: list[Target[R]]) -> list[R]: ...
    def run(self, target: Any) -> Any:
        """Run a target and all that it leads to; its result (of a list of targets: a list).

        Raises TargetsFailed if it failed; an interrupt stops it.
        """
        root = _as_root(target)
        future = self.submit(root)
        try:
            error = future.exception()
        except KeyboardInterrupt:
            self._session.client.drop(future)
            raise
        if error is None:
            return future.result()
        raise _as_failed(root, error, self.tree) from error

    def map(
        self, fn: Callable[..., R], /, *iterables: Iterable[Any], timeout: float | None = None, buffersize: int | None = AHEAD
    ) -> Iterator[R]:
        """The results of ``fn`` on the items, in order, as they are asked for.

        At most ``buffersize`` calls are on their way (None: all of them at once), so the iterables may be endless. Raises what
        a call has raised, or TimeoutError if a result is not there ``timeout`` seconds after the call of ``map``.
        """
        from ._map import in_order

        return in_order(self.submit, fn, zip(*iterables, strict=False), timeout, buffersize)

    def scale(self, workers: int) -> None:
        """Have at most so many workers from now on."""
        answer = self._session.client.ask("scale", most=workers).result()
        if "error" in answer:
            raise UsageError(answer["error"])

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take nothing more, and end when all that was submitted is done; with ``cancel_futures`` only what runs is finished."""
        self._session.close()
        if cancel_futures:
            for future in self._session.client.open.all():
                future.cancel()
        if wait:
            self._session.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._session.stop()
        self.shutdown()

    def __repr__(self) -> str:
        return f"<jobtree.Cluster {self.tree}>"


class _Session:
    """What lives as long as the master does, though the cluster itself may be forgotten earlier."""

    def __init__(self, tree: Path, options: Options, around: Any) -> None:
        self._progress = Progress(options.progress, level=options.log_level)
        self._shows = options.progress != "none"
        self._shown: Snapshot | None = None
        self._heard = threading.Lock()
        self._client: Client | None = None
        self.master = ChildMaster(tree, options, around, self._hear, shows=self._shows)
        try:
            self._client = Client(tree, self._failed)
        except BaseException:
            self.master.let_go()
            raise
        atexit.register(self._wait_at_exit)

    @property
    def client(self) -> Client:
        """The line to the master."""
        assert self._client is not None
        return self._client

    def close(self) -> None:
        """No more targets will come."""
        self.client.close()

    def stop(self) -> None:
        """Nobody wants what is left: end it, though it may run."""
        for future in self.client.open.all():
            if not future.cancel():
                self.client.drop(future)

    def wait(self) -> None:
        """Until the master has ended."""
        if threading.current_thread().name == "jobtree-client":
            return  # a callback of a future: it can't wait for itself
        self.master.wait()
        self.client.join()
        atexit.unregister(self._wait_at_exit)

    def _wait_at_exit(self) -> None:
        self.close()
        self.wait()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, (InitializerFailed, NoMaster)):
            self.client.break_(str(error))
            self.master.let_go()

    def _hear(self, word: str, what: Any) -> None:
        with self._heard:
            if word == "said":
                self._progress.say(*what)
            elif word == "shown":
                self._shown = Snapshot(**what)
                self._progress.update(self._shown)
            elif word == "ended":
                self._ended(*what)

    def _ended(self, state: str, reason: str) -> None:
        if self._shown is not None:
            from dataclasses import replace

            self._progress.close(replace(self._shown, state="complete" if state == "complete" else "stopped"))
        client = self._client
        if client is not None:
            if state != "complete":
                client.break_(f"the master of {self.master.tree} has ended: {reason}")
            client.end()
        if state == "lost":
            self._end_workers()

    def _end_workers(self) -> None:
        """They would look for their master for minutes, and there will be none."""
        from ._control import end_workers

        try:
            end_workers(str(self.master.tree))
        except (JobtreeError, OSError) as error:
            words = f"the workers of {self.master.tree} could not be ended, and will find out later: {error}"
            self._progress.say("WARNING", words)


def as_target(fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Target[Any]:
    """What ``submit`` was given, as a target. Raises UsageError if it is none and can't be called."""
    if isinstance(fn, Target):
        if args or kwargs:
            raise UsageError(f"{fn!r} is a target already, and takes no arguments")
        return fn
    if isinstance(fn, FunctionTarget):
        made: Target[Any] = call(fn, *args, **kwargs)
        return made
    if not callable(fn):
        raise UsageError(f"{fn!r} cannot be called")
    return PlainCall(fn, args, kwargs)


def _as_failed(target: Target[Any], error: BaseException, tree: Path) -> BaseException:
    if isinstance(error, TargetsFailed):
        return error
    from ._target import name_of
    from .errors import Cause

    failure = TargetFailure(name_of(target), 0, 1, Cause.EXCEPTION, f"{type(error).__name__}: {error}", exception=error)
    return TargetsFailed([failure], str(tree))


__all__ = ["Cluster"]
