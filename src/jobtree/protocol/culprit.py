"""Finds which part of a thing cannot be pickled, and says by which attributes it is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType

#: Deeper than this nobody wants to read a path, and more parts than this are not tried.
MOST_LEVELS = 20
MOST_PARTS = 1000


def find_culprit(thing: object, error: Exception, failure: Callable[[object], Exception | None]) -> tuple[str, Exception]:
    """The path to the innermost part of `thing` for which `failure` has a reason, and this reason."""
    path = name_of(thing)
    seen = {id(thing)}
    for _ in range(MOST_LEVELS):
        found = _failing_part(thing, seen, failure)
        if found is None:
            break
        step, thing, error = found
        path += step
        seen.add(id(thing))
    return path, error


def name_of(thing: object) -> str:
    """The name of code, the class's name for the rest."""
    name = getattr(thing, "__qualname__", None)
    return name if isinstance(name, str) else type(thing).__qualname__


def _failing_part(
    thing: object, seen: set[int], failure: Callable[[object], Exception | None]
) -> tuple[str, object, Exception] | None:
    for count, (step, part) in enumerate(_parts(thing)):
        if count == MOST_PARTS:
            break
        if id(part) not in seen and (error := failure(part)) is not None:
            return step, part, error
    return None


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    """What pickling would go on to, as far as that is commonly known, with the step that leads there."""
    if isinstance(thing, Mapping):
        for key, value in list(thing.items()):
            yield f"[{key!r:.40}]", value
            yield f".key({key!r:.40})", key
    elif isinstance(thing, (list, tuple)):
        yield from ((f"[{index}]", item) for index, item in enumerate(thing))
    elif isinstance(thing, (set, frozenset)):
        yield from ((f".member({item!r:.40})", item) for item in thing)
    elif isinstance(thing, FunctionType):
        yield from _parts_of_function(thing)
    elif isinstance(thing, MethodType):
        yield ".__self__", thing.__self__
    if not isinstance(thing, (type, FunctionType, MethodType)):
        yield from _attributes(thing)


def _attributes(thing: object) -> Iterator[tuple[str, object]]:
    for name, value in list(getattr(thing, "__dict__", {}).items()):
        if name.startswith("_jobtree_") and isinstance(value, tuple):
            yield from _parts(value)
        else:
            yield f".{name}", value
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name) and name != "__dict__" and name != "__weakref__":
                yield f".{name}", getattr(thing, name)


def _parts_of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=False):
        try:
            yield f".<closure>.{name}", cell.cell_contents
        except ValueError:  # the variable has no value yet
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f".<globals>.{name}", function.__globals__[name]
    yield from ((f".<defaults>[{index}]", value) for index, value in enumerate(function.__defaults__ or ()))
