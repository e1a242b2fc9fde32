"""How a running target speaks to whoever runs it, and which target is running."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol


class Context(Protocol):
    """What a running target may ask for. One of it belongs to one attempt."""

    @property
    def target(self) -> Any:
        """The target that runs."""

    @property
    def attempt(self) -> int:
        """Which execution of the target this is, from 1."""

    @property
    def granted(self) -> Mapping[str, Any]:
        """The requests as they were granted, defaults filled in, by their names; may be incomplete."""

    def add_child(self, target: Any, *, allow_failure: bool | None, after: Iterable[Any]) -> Any:
        """Serialise `target` as a child."""

    def set_follow_on(self, target: Any) -> Any:
        """Serialise `target` as the follow-on."""

    def log(self, text: str, level: str, *, live: bool = True) -> None:
        """Send a line to the master's log; with `live` now, else only when the attempt has ended well."""

    def local_temp_dir(self) -> Path:
        """The attempt's directory on this node, made when first asked for."""

    def global_temp_dir(self) -> Path:
        """The chain's directory inside the tree, made when first asked for."""

    def remaining_time(self) -> float | None:
        """Seconds until the attempt is ended by its time limit or the worker's; None without a limit."""

    def cancel(self, promise: Any) -> None:
        """Cancel the target whose result is promised, or that a handle names, with all below it."""

    def hands_out_handles(self) -> None:
        """Others may cancel what this attempt creates."""

    def made(self, target: Any, filename: str, line: int) -> None:
        """A target was made at this line of the running code; it should be added before the attempt ends."""

    def unmade(self, target: Any) -> tuple[str, int] | None:
        """Take a note of `made` back, and tell it."""


# Threads that user code starts see no context variable of the thread that started them, hence the second one.
_here: ContextVar[Context | None] = ContextVar("jobtree_context", default=None)
_everywhere: Context | None = None

_in_runner = False


def current() -> Context | None:
    """The context of the attempt that runs in this thread, or else in this process."""
    return _here.get() or _everywhere


@contextmanager
def running(context: Context | None) -> Iterator[None]:
    """Make `context` the current one; with None no target is running for a while."""
    global _everywhere
    before, _everywhere = _everywhere, context
    token = _here.set(context)
    try:
        yield
    finally:
        _here.reset(token)
        _everywhere = before


def enter_runner() -> None:
    """Say that this process runs targets for a worker; to be called before any user code is loaded."""
    global _in_runner
    _in_runner = True


def inside_runner() -> bool:
    """Whether this process runs targets for a worker, so that `jobtree.run` in it is a mistake."""
    return _in_runner
