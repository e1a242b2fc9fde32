"""What stands for the result of a target until it has run, and what takes its place if there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from jobtree import _context
from jobtree.ids import PromiseKey

T_co = TypeVar("T_co", covariant=True)

TOO_EARLY = "not known until the target runs; pass it to a target"


class Promise(Generic[T_co]):
    """The result of a target that has not run yet.

    Pass it to targets of the same `run()`, anywhere inside their arguments or attributes: they start after
    the promised target's chain has ended, and find the result in the promise's place. Returned from
    `run()`, it passes the promised target's result on. Any use of it before that raises TypeError.
    """

    __slots__ = ("_jobtree_key_",)

    def __init__(self, key: PromiseKey) -> None:
        self._jobtree_key_ = key

    @property
    def value(self) -> T_co:
        """The promise itself; to a type checker the result, so that it can be passed where that is wanted."""
        return cast(T_co, self)

    @property
    def handle(self) -> Handle:
        """What names the promised target and does not wait for it: a sibling that is given it may cancel that target."""
        context = _context.current()
        if context is not None:
            context.hands_out_handles()
        return Handle(self._jobtree_key_)

    def __repr__(self) -> str:
        epoch, number, n = self._jobtree_key_
        return f"<Promise of {'the follow-on' if n == 0 else f'child {n}'} of attempt {epoch}.{number}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            # A pickler, an inspector or a notebook that tries a special name must be told that it is not
            # there.
            kind = AttributeError if name.startswith("_") else TypeError
            raise kind(f".{name} of a promise: {TOO_EARLY}")

    def __copy__(self) -> Promise[T_co]:
        return self

    def __deepcopy__(self, memo: object) -> Promise[T_co]:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a promise can only be passed to a target of the run() that made it")


def _too_early(self: Promise[Any], *_: object) -> NoReturn:
    raise TypeError(f"{self!r}: {TOO_EARLY}")


def _unhashable(self: Promise[Any]) -> NoReturn:
    raise TypeError(f"a promise cannot be a dict key or the member of a set: its value is {TOO_EARLY}")


_OPERATORS = (
    "bool iter next len getitem setitem delitem contains enter exit str format bytes int float complex "
    "index add radd sub rsub mul rmul matmul rmatmul truediv rtruediv floordiv rfloordiv mod rmod divmod "
    "rdivmod pow rpow lshift rlshift rshift rrshift and rand or ror xor rxor neg pos abs invert round trunc "
    "floor ceil lt le gt ge eq ne fspath reversed await aiter anext"
)
for _operator in _OPERATORS.split():
    setattr(Promise, f"__{_operator}__", _too_early)
setattr(Promise, "__hash__", _unhashable)  # noqa: B010  # a type checker knows object's


@dataclass(frozen=True)
class Handle:
    """Names a target that was added: ``promise.handle``. Unlike a promise it can be passed to a sibling without making that wait.

    For ``target.cancel(handle)`` in a sibling: the first of many to find what all look for.
    """

    key: PromiseKey


@dataclass(frozen=True)
class Failure:
    """Takes the place of the result of a child that was allowed to fail, and did. Falsy.

    `cause` is a cause of death (one word), `message` the last line of what was said of it.
    """

    name: str = ""
    cause: str = "exception"
    message: str = ""

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True)
class Cancelled:
    """Takes the place of the result of a target that was cancelled by `target.cancel`. Falsy."""

    name: str = ""

    def __bool__(self) -> bool:
        return False
