"""Puts what ended an attempt into words: the cause of death, and the map that its row carries."""

from __future__ import annotations

import platform
import sys
import traceback
from enum import Enum
from pathlib import Path
from typing import Any

from jobtree.errors import Cause, CommandFailed, Unpicklable, UsageError
from jobtree.protocol import payload
from jobtree.protocol.tracebacks import skip_ours
from jobtree.resources import LONGEST_WORD, exception_name

from .texts import LARGEST_NAME, beginning_of

#: The classes of an error that its row names: itself and its nearest bases.
_MOST_TYPES = 50
#: What an exit status may be said to be, in a record of the journal.
_STATUSES = range(-(1 << 31), 1 << 31)
_PACKAGE = str(Path(__file__).resolve().parents[1])


class Stage(Enum):
    """How far an attempt has come."""

    LOADING = "loading"
    RUNNING = "running"
    FINISHING = "finishing"


def failure_of(error: BaseException, stage: Stage, import_error: str) -> tuple[str, dict[str, Any]]:
    """The cause of death, and its map; `import_error` says why the script could not be imported, if so."""
    cause = _cause(error, stage, import_error)
    message = _import_message(error, import_error) if cause is Cause.IMPORT else _last_line(error)
    return cause.value, {
        "message": beginning_of(message),
        "host": platform.node(),
        "exit": _status(error),
        "output": "",  # the supervisor has it
        "type": beginning_of(_class_name(type(error)), LARGEST_NAME),
        "types": _types(error),
        "where": beginning_of(where(error)),
    }


def _status(error: BaseException) -> int | None:
    return error.status if isinstance(error, CommandFailed) and error.status in _STATUSES else None


def _types(error: BaseException) -> list[str]:
    """The names that `retry_on` may have for the error: the longest of those are shorter than what is cut."""
    names = [exception_name(kind) for kind in type(error).__mro__ if issubclass(kind, BaseException)]
    return [beginning_of(name, 4 * LONGEST_WORD) for name in names[:_MOST_TYPES]]


def where(error: BaseException) -> str:
    """The user's own frame that is nearest to the error, as `file.py:12 in function`; empty if none is."""
    frames = traceback.extract_tb(skip_ours(error.__traceback__))
    for frame in reversed(frames):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno} in {frame.name}"
    return ""


def describe_import_error(error: BaseException) -> str:
    """Why the script could not be imported, with the user's own frame."""
    at = where(error)
    return f"{_last_line(error)} ({at})" if at else _last_line(error)


def _cause(error: BaseException, stage: Stage, import_error: str) -> Cause:
    if isinstance(error, CommandFailed):
        return error.cause
    if isinstance(error, Unpicklable):
        return Cause.UNPICKLABLE
    if isinstance(error, MemoryError):
        return Cause.MEMORY
    if stage is Stage.LOADING and payload.is_import_failure(error):
        return Cause.IMPORT
    if stage is Stage.LOADING and import_error and isinstance(error, UsageError):
        return Cause.IMPORT  # the script's own code was looked for
    return Cause.EXCEPTION


def _import_message(error: BaseException, import_error: str) -> str:
    if import_error:
        return f"the script could not be imported: {import_error}; sys.path is {sys.path}"
    name = getattr(error, "name", None)
    missing = f"module {name!r}: " if name and isinstance(error, ImportError) else ""
    return f"{missing}{_last_line(error)}; sys.path is {sys.path}"


def _last_line(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception_only(type(error), error)).strip()
    except Exception:  # noqa: BLE001  # __str__ is the user's
        return _class_name(type(error))


def _class_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
