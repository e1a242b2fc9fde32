"""A call as `concurrent.futures` makes it: any callable with its arguments and nothing else, after the pool's initializer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

from ._target import Target

_prepared: set[str] = set()


class InitializerFailed(BrokenExecutor):
    """The initializer of an executor has raised; no call can be made."""


class Preparation:
    """What each process is to do once before its first call."""

    def __init__(self, token: str, function: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.token = token
        self.function = function
        self.args = args

    def make_sure(self) -> None:
        """Do it, unless it was done here before."""
        if self.token in _prepared:
            return
        try:
            self.function(*self.args)
        except BaseException as error:
            raise InitializerFailed(f"the initializer has failed: {type(error).__name__}: {error}") from error
        _prepared.add(self.token)


class PlainCall(Target[Any]):
    """Calls a function; unlike `jobtree.call` it never passes the running target."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        preparation: Preparation | None = None,
    ) -> None:
        self._jobtree_plain_call_ = (function, args, kwargs or {}, preparation)

    def _jobtree_default_name_(self) -> str:
        function = self._jobtree_plain_call_[0]
        name = getattr(function, "__qualname__", None)
        return name if isinstance(name, str) else type(function).__qualname__

    def run(self) -> Any:
        """Call it."""
        function, args, kwargs, preparation = self._jobtree_plain_call_
        if preparation is not None:
            preparation.make_sure()
        return function(*args, **kwargs)
