"""Takes exceptions apart into what can be pickled, and puts them together: arguments, chain, frames."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from types import FunctionType, TracebackType
from typing import Any, cast

import tblib  # type: ignore[import-untyped]

#: Of a longer traceback the first and the last half of this many frames are kept.
MOST_FRAMES = 200

#: The frames of these packages stand between the process's start and the user's code, and tell the user
#: nothing.
OURS = "jobtree."

Frames = list[tuple[str, str, str, int]]


def reduce_exception(error: BaseException) -> tuple[Any, ...]:
    """As `__reduce_ex__` does, but complete: the chain, the notes and the traceback come along."""
    make, args, state = _how_to_make(error)
    chained = (error.__cause__, error.__context__, error.__suppress_context__)
    return _rebuild, (make, args), (state, chained, frames_of(error.__traceback__)), None, None, _complete


def words_of(error: BaseException) -> str:
    """The last line of what Python would print; never raises."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # __str__ is the user's
        words = "(its text cannot be shown)"
    return f"{type(error).__qualname__}: {words}" if words else type(error).__qualname__


def text_of(error: BaseException) -> str:
    """The traceback as Python would print it, without our own first frames; never raises."""
    try:
        lines = traceback.format_exception(type(error), error, skip_ours(error.__traceback__))
    except Exception:  # noqa: BLE001  # __str__ is the user's
        return f"{type(error).__name__}: (its text cannot be shown)\n"
    return "".join(lines)


def skip_ours(frames: TracebackType | None) -> TracebackType | None:
    """The traceback from the user's first frame on; the whole of it where no frame is the user's."""
    at = frames
    while at is not None and str(at.tb_frame.f_globals.get("__name__", "")).startswith(OURS):
        at = at.tb_next
    return at or frames


def frames_of(frames: TracebackType | None) -> Frames:
    """File, function, module and line of each frame, outermost first; flat, for tracebacks may be long."""
    found = list(_walk(skip_ours(frames)))
    if len(found) > MOST_FRAMES:
        found = found[: MOST_FRAMES // 2] + found[-MOST_FRAMES // 2 :]
    return found


def _walk(frames: TracebackType | None) -> Iterator[tuple[str, str, str, int]]:
    while frames is not None:
        code = frames.tb_frame.f_code
        module = str(frames.tb_frame.f_globals.get("__name__", ""))
        yield code.co_filename, code.co_name, module, frames.tb_lineno
        frames = frames.tb_next


def _how_to_make(error: BaseException) -> tuple[Callable[..., BaseException], tuple[Any, ...], object]:
    """As the user's own `__reduce__` says; else without the user's `__init__`, who may want other things."""
    kind = type(error)
    reduced = error.__reduce_ex__(4)
    if isinstance(reduced, str):
        raise TypeError(f"{kind.__qualname__}.__reduce__ returned a name")
    make, args, *rest = reduced
    state = rest[0] if rest else None
    if isinstance(kind.__reduce__, FunctionType) or isinstance(kind.__reduce_ex__, FunctionType):
        return make, args, state
    return _without_init, (kind, args), state


def _without_init(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """`args` are those that reached the nearest class of Python's own, so its __init__ wants them."""
    error = kind.__new__(kind, *args)
    python_own = next(base for base in kind.__mro__ if base.__module__ == "builtins")
    python_own.__init__(error, *args)  # type: ignore[misc]
    return error


def _rebuild(make: Callable[..., BaseException], args: tuple[Any, ...]) -> BaseException:
    return make(*args)


def _complete(error: BaseException, all_state: tuple[object, tuple[Any, Any, bool], Frames]) -> None:
    state, (cause, context, suppressed), frames = all_state
    if state is not None:
        error.__setstate__(cast(dict[str, Any], state))
    error.__cause__ = cause
    error.__context__ = context
    error.__suppress_context__ = suppressed
    error.__traceback__ = _traceback(frames)


def _traceback(frames: Frames) -> TracebackType | None:
    """A real traceback, over frames that never ran here, by tblib."""
    link: Any = None
    for filename, function, module, line in reversed(frames):
        code = _Made(co_filename=filename, co_name=function)
        names = {"__name__": module, "__file__": filename}
        frame = _Made(f_code=code, f_globals=names, f_locals={}, f_lineno=line)
        link = _Made(tb_frame=frame, tb_lineno=line, tb_next=link)
    return None if link is None else cast(TracebackType, tblib.Traceback(link).as_traceback())


class _Made:
    """Something with attributes."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)
