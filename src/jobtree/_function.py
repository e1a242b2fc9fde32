"""Functions as targets: `@jobtree.target` and `jobtree.call`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast, get_origin, overload

from jobtree._promise import Promise
from jobtree._target import Target
from jobtree.errors import UsageError
from jobtree.resources import NO_REQUESTS, Requests

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T", bound=Target[Any])

_TARGET_ANNOTATION = re.compile(r"""['"]?(\w+\.)*Target(\[.*\])?['"]?""")


class FunctionTarget(Generic[P, R_co]):
    """A function whose call makes a target, which calls the function when it runs; `fn` is the function."""

    fn: Callable[..., Any]
    __wrapped__: Callable[..., Any]
    __name__: str
    __qualname__: str

    def __init__(self, fn: Callable[..., Any], requests: Requests) -> None:
        update_wrapper(cast(Any, self), fn)
        self.fn = fn
        self.requests = requests
        self.wants_target = wants_target(fn)

    # The running target is left out where the function asks for it. This is told by the type of
    # `self`, because overloads of the decorator would be ambiguous to mypy wherever an argument is
    # of type Any.
    @overload
    def __call__(self: FunctionTarget[Concatenate[Target[Any], Q], Any], *args: Q.args, **kwargs: Q.kwargs) -> Target[R_co]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Target[R_co]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Make a target that calls the function with these arguments when it runs."""
        return FunctionCall(self, args, kwargs)

    def _jobtree_call_again_(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Target[R_co]:
        """The target that such a call had made, for `payload`."""
        return FunctionCall(self, args, kwargs)

    def __get__(self, instance: object, owner: type) -> FunctionTarget[P, R_co]:
        if instance is not None:
            raise UsageError(f"{self.__qualname__}: a method cannot be a target; use a function or a class")
        return self

    def __repr__(self) -> str:
        return f"<function target {self.__qualname__}>"


class FunctionCall(Target[R_co]):
    """The target that a function target or `call` makes."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._jobtree_call_ = (function, args, kwargs)

    @property
    def _jobtree_call_of_name_(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None:
        """What is called, and with what, if calling it again would make this target (see `payload`)."""
        call = self._jobtree_call_
        return call if type(call[0]) is FunctionTarget and len(self.__dict__) == 1 else None

    def _jobtree_base_requests_(self) -> Requests:
        function = self._jobtree_call_[0]
        return function.requests if isinstance(function, FunctionTarget) else NO_REQUESTS

    def _jobtree_default_name_(self) -> str:
        function = self._jobtree_call_[0]
        name = getattr(function, "__qualname__", None)
        return name if isinstance(name, str) else type(function).__qualname__

    def run(self) -> Any:
        """Call the function, with this target as the first argument if it asks for that."""
        function, args, kwargs = self._jobtree_call_
        if isinstance(function, FunctionTarget):
            wanted, function = function.wants_target, function.fn
        else:
            wanted = wants_target(function)
        return function(self, *args, **kwargs) if wanted else function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<target {self._jobtree_default_name_()}(...)>"


# A type checker takes the first overload that fits: so functions that return a promise stand before
# those that may return a value.
@overload
def target(fn: Callable[P, Promise[R]], /) -> FunctionTarget[P, R]: ...
@overload
def target(fn: Callable[P, Promise[R] | R], /) -> FunctionTarget[P, R]: ...
@overload
def target(**requests: Any) -> _Decorator: ...
def target(fn: Callable[..., Any] | None = None, /, **requests: Any) -> Any:
    """Make a function a target: calling it makes a target, which calls the function when it runs.

    Requests are keywords as for `Target`: `@jobtree.target(memory="1G")`. The running target is passed to a
    first parameter that is annotated Target, or not annotated and named `target`; elsewhere use
    `current_target()`.
    """
    decorate = _Decorator(Requests.of(**requests))
    return decorate if fn is None else decorate(fn)


class _Decorator:
    """What `@target(...)` with requests decorates with."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    @overload
    def __call__(self, fn: Callable[P, Promise[R]], /) -> FunctionTarget[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, Promise[R] | R], /) -> FunctionTarget[P, R]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Any:
        if isinstance(fn, type) and issubclass(fn, Target):
            raise UsageError(f"{fn.__qualname__} is a target already; requests are keywords of the class")
        if not callable(fn):
            raise UsageError(f"{fn!r} is not a function")
        return FunctionTarget(fn, self._requests)


@overload
def call(fn: FunctionTarget[Concatenate[Target[Any], P], R], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
@overload
def call(fn: FunctionTarget[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
@overload
def call(fn: Callable[Concatenate[Target[Any], P], Promise[R]], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
@overload
def call(fn: Callable[Concatenate[Target[Any], P], Promise[R] | R], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
@overload
def call(fn: Callable[P, Promise[R]], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
@overload
def call(fn: Callable[P, Promise[R] | R], /, *args: P.args, **kwargs: P.kwargs) -> Target[R]: ...
def call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """A target that calls any callable with these arguments; `.needs(memory="2G")` gives it requests.

    The running target is passed as for `@jobtree.target`. Raises UsageError if `fn` cannot be called.
    """
    if not callable(fn):
        raise UsageError(f"{fn!r} cannot be called")
    return FunctionCall(fn, args, kwargs)


def wants_target(fn: Callable[..., Any]) -> bool:
    """Whether the running target is passed to the first parameter of `fn`."""
    function = getattr(fn, "__func__", fn)
    skipped = 1 if function is not fn else 0  # a method's self
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    code = getattr(function, "__code__", None)
    if code is None or code.co_argcount <= skipped:
        return False
    first = code.co_varnames[skipped]
    if first not in function.__annotations__:
        return bool(first == "target")
    annotation = function.__annotations__[first]
    if isinstance(annotation, str):
        return _TARGET_ANNOTATION.fullmatch(annotation) is not None
    return annotation is Target or get_origin(annotation) is Target
